"""The reply path: everything that stands between a client and vLLM."""

from monitor.proxy.worker import run_worker

__all__ = ["run_worker"]
