"""The reply path: everything that stands between a client and vLLM."""
