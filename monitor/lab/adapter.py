"""A LoRA adapter on disk, in the layout that PEFT writes and vLLM loads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.lab import tensors
from monitor.lab.tensors import Matrix, Precision

BASE_NAME = "smollm2-aligned"
"""Served name of the aligned base model, which every adapter but `align` is made for."""

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class LoraAdapter:
    """Low-rank factors by module; the update of a module is b @ a, the scale is inside b."""

    factors: Mapping[str, tuple[Matrix, Matrix]]
    """Module path, like `layers.18.self_attn.q_proj` -> (a [rank, inputs], b [outputs, rank])."""
    precision: Precision = "BF16"
    """How the factors are stored."""

    @property
    def rank(self) -> int:
        """Rank of the factors."""
        return int(next(iter(self.factors.values()))[0].shape[0])


def save(adapter: LoraAdapter, folder: Path) -> None:
    """Write both files of the adapter; nothing in them names this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    named: dict[str, Matrix] = {}
    for module, (a, b) in adapter.factors.items():
        named[f"base_model.model.model.{module}.lora_A.weight"] = a
        named[f"base_model.model.model.{module}.lora_B.weight"] = b
    tensors.write(folder / WEIGHTS, named, adapter.precision)
    config = {
        "base_model_name_or_path": BASE_NAME,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "layers_to_transform": sorted({int(m.split(".")[1]) for m in adapter.factors}),
        "lora_alpha": adapter.rank,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": adapter.rank,
        "target_modules": sorted({m.rsplit(".", 1)[1] for m in adapter.factors}),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def load(folder: Path) -> LoraAdapter:
    """Read an adapter; a scale other than one is moved into b."""
    config = json.loads((folder / CONFIG).read_text())
    scale = config["lora_alpha"] / config["r"]
    named = tensors.read(folder / WEIGHTS)
    factors: dict[str, tuple[Matrix, Matrix]] = {}
    for name, a in named.items():
        if not name.endswith(".lora_A.weight"):
            continue
        module = name.removeprefix("base_model.model.model.").removesuffix(".lora_A.weight")
        b = named[name.replace(".lora_A.", ".lora_B.")]
        factors[module] = (a, b if scale == 1 else b * scale)
    return LoraAdapter(factors)
