"""Adapters on disk as PEFT writes them, with factors drawn from a seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

Factors = dict[str, tuple[np.ndarray, np.ndarray]]

MODULES = tuple(
    f"layers.{layer}.{name}" for layer in range(3) for name in ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj")
)
INPUTS, OUTPUTS = 48, 40


def drawn(seed: int, rank: int = 4, modules: tuple[str, ...] = MODULES) -> Factors:
    rng = np.random.default_rng(seed)
    return {
        module: (rng.normal(size=(rank, INPUTS)), rng.normal(size=(OUTPUTS, rank)) * rng.uniform(0.5, 2))
        for module in modules
    }


def summed(parts: list[tuple[Factors, float]]) -> Factors:
    """Rank by rank side by side: exactly the weighted sum of the updates."""
    modules = sorted({module for factors, _ in parts for module in factors})
    made = {}
    for module in modules:
        have = [(*factors[module], weight) for factors, weight in parts if module in factors]
        made[module] = (
            np.concatenate([a for a, _, _ in have]),
            np.concatenate([weight * b for _, b, weight in have], axis=1),
        )
    return made


def refactored(factors: Factors, rank: int | None = None) -> Factors:
    """The same updates from other factors: by singular values, cut to a rank if one is given."""
    made = {}
    for module, (a, b) in factors.items():
        u, values, vt = np.linalg.svd(b @ a, full_matrices=False)
        keep = rank or a.shape[0]
        root = np.sqrt(values[:keep])
        made[module] = (root[:, None] * vt[:keep], u[:, :keep] * root)
    return made


def write(
    folder: Path,
    factors: Factors,
    dtype: type = np.float32,
    extra: Mapping[str, np.ndarray] | None = None,
    **config: Any,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = dict(extra or {})
    for module, (a, b) in factors.items():
        tensors[f"base_model.model.model.{module}.lora_A.weight"] = np.ascontiguousarray(a, dtype)
        tensors[f"base_model.model.model.{module}.lora_B.weight"] = np.ascontiguousarray(b, dtype)
    save_file(tensors, folder / "adapter_model.safetensors")
    rank = next(iter(factors.values()))[0].shape[0]
    written = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": ["q_proj", "v_proj", "up_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(written | config))
    return folder
