"""Serve vLLM's CPU fallback of the LoRA operations from the file beside this one.

Two measured reasons. The stock fallback copies the adapter's weights once per token, which
makes an adapter seven times slower than the base; and it does not skip slot -1, so requests to
the base that are batched with adapter requests get the last slot's weights. Python imports this
module by itself at the start of every process whose PYTHONPATH names this folder, so nothing
that is installed is changed.
"""

import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

REPLACED = "vllm.lora.ops.torch_ops.lora_ops"
REPLACEMENT = Path(__file__).with_name("lora_ops.py")


class ReplacementFinder(MetaPathFinder):
    """Answers for one module name, and leaves every other import alone."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != REPLACED:
            return None
        return importlib.util.spec_from_file_location(fullname, REPLACEMENT)


sys.meta_path.insert(0, ReplacementFinder())
