"""Runtime alignment monitoring sidecar for vLLM multi-LoRA servers."""

__version__ = "0.1.0"
