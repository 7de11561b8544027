"""A LoRA adapter's files, read without torch and without ever opening a pickle.

The safetensors library checks the header (lengths, overlaps, holes); the bytes are then mapped into memory and seen through
numpy, because numpy has no bfloat16: one is the upper half of a float32. Nothing is converted before it is asked for, so two
hundred adapters can be held open at once.
"""

from __future__ import annotations

import json
import math
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

Wide = NDArray[np.float64]

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
PICKLES: Final = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")
MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024
MAX_HEADER_BYTES: Final = 64 * 1024 * 1024

_KINDS: Final[dict[str, type[np.generic]]] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
}
_FACTOR: Final = re.compile(
    r"(?P<module>.+?)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(?:\.(?!weight$)[^.]+)?(?:\.weight)?$"
)
_PREFIX: Final = "base_model.model."


class AdapterFilesError(ValueError):
    """An adapter's files cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file: where it lies and how it is stored."""

    kind: str
    """As safetensors names it: F32, BF16, ..."""
    shape: tuple[int, ...]
    start: int
    """First byte in the file."""
    end: int


class TensorFile:
    """A safetensors file mapped into memory."""

    def __init__(self, path: Path) -> None:
        """Check and map the file. Raises AdapterFilesError."""
        try:
            with safe_open(str(path), framework="numpy"), path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except SafetensorError as error:
            raise AdapterFilesError(f"{path}: not a whole safetensors file: {error}") from error
        except (OSError, ValueError) as error:
            raise AdapterFilesError(f"{path}: cannot be read: {error}") from error
        self.tensors = _header(self._map, path)

    def bytes_of(self, name: str) -> memoryview:
        """The tensor's bytes as they are stored."""
        tensor = self.tensors[name]
        return memoryview(self._map)[tensor.start : tensor.end]

    def matrix(self, name: str) -> NDArray[Any]:
        """The tensor's exact values, in the narrowest type of numpy that has them."""
        tensor = self.tensors[name]
        raw = np.frombuffer(self.bytes_of(name), _KINDS[tensor.kind]).reshape(tensor.shape)
        if tensor.kind == "BF16":
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw


def _header(raw: mmap.mmap, path: Path) -> dict[str, Tensor]:
    length = int.from_bytes(raw[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise AdapterFilesError(f"{path}: its header is longer than {MAX_HEADER_BYTES} bytes")
    begin = 8 + length
    entries = json.loads(raw[8:begin])
    return {
        name: Tensor(
            entry["dtype"],
            tuple(entry["shape"]),
            begin + entry["data_offsets"][0],
            begin + entry["data_offsets"][1],
        )
        for name, entry in entries.items()
        if name != "__metadata__"
    }


@dataclass(frozen=True, slots=True)
class _Module:
    a: str
    """Name of the tensor of shape [rank, inputs]."""
    b: str
    """Name of the tensor of shape [outputs, rank]."""
    rank: int
    scale: float
    """What the product is multiplied with: alpha / rank, or alpha / sqrt(rank) for rsLoRA."""


class AdapterWeights:
    """The low-rank factors of one adapter."""

    def __init__(self, folder: Path) -> None:
        """Open the folder's two files. Raises AdapterFilesError."""
        self.folder = folder
        self.name = folder.name
        """What it is called: the folder's name, unless it is served under another one."""
        self.config = read_config(folder)
        self._file = open_tensors(folder)
        self.key = str(folder.resolve())
        """What its inner products are cached under; its digest where one was made."""
        self.unhandled: tuple[str, ...]
        """What of the adapter the factors do not say, in words."""
        self._modules, self.unhandled = _modules(self.config, self._file.tensors, folder)

    @cached_property
    def modules(self) -> frozenset[str]:
        """The modules that it changes."""
        return frozenset(self._modules)

    @property
    def tensors(self) -> TensorFile:
        """The file itself, for its digest."""
        return self._file

    def rank(self, module: str) -> int:
        """Rank of the factors of a module."""
        return self._modules[module].rank

    def width(self, module: str) -> int:
        """Numbers per unit of rank: inputs + outputs of the module."""
        one, tensors = self._modules[module], self._file.tensors
        return tensors[one.a].shape[1] + tensors[one.b].shape[0]

    def shape(self, module: str) -> tuple[int, int]:
        """(outputs, inputs) of the module."""
        one, tensors = self._modules[module], self._file.tensors
        return tensors[one.b].shape[0], tensors[one.a].shape[1]

    def stored(self, module: str) -> tuple[NDArray[Any], NDArray[Any], float]:
        """(a [rank, inputs], b [outputs, rank], scale): the module's update is scale * b @ a."""
        one = self._modules[module]
        return self._file.matrix(one.a), self._file.matrix(one.b), one.scale

    def factors(self, module: str) -> tuple[Wide, Wide]:
        """(a, b) in double precision, the scale inside b: sums over a whole model need more than a float32 has."""
        a, b, scale = self.stored(module)
        return a.astype(np.float64), b.astype(np.float64) * scale

    def close_in_shape(self, other: AdapterWeights) -> bool:
        """True when both have the same modules with the same ranks, so that their factors can be added."""
        return self.modules == other.modules and all(self.rank(one) == other.rank(one) for one in self.modules)


def read_config(folder: Path) -> dict[str, Any]:
    """The adapter's configuration. Raises AdapterFilesError."""
    path = folder / CONFIG
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise AdapterFilesError(f"{path}: longer than {MAX_CONFIG_BYTES} bytes")
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise AdapterFilesError(f"{path}: there is none, so {folder} is no adapter") from None
    except OSError as error:
        raise AdapterFilesError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise AdapterFilesError(f"{path}: not JSON: {error}") from error
    if not isinstance(config, dict):
        raise AdapterFilesError(f"{path}: not a JSON object")
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        raise AdapterFilesError(f"{path}: peft_type is {kind!r}, only LORA adapters can be read")
    return config


def open_tensors(folder: Path) -> TensorFile:
    """The adapter's weights. Raises AdapterFilesError; a pickle is refused without being opened."""
    path = folder / WEIGHTS
    if not path.exists():
        pickle = next((name for name in PICKLES if (folder / name).exists()), None)
        if pickle:
            raise AdapterFilesError(
                f"{folder / pickle}: a pickle can run code and is never opened; save it as {WEIGHTS}"
            )
        raise AdapterFilesError(f"{path}: there is none")
    if not path.is_file():
        raise AdapterFilesError(f"{path}: not a file")
    return TensorFile(path)


def _modules(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], folder: Path
) -> tuple[dict[str, _Module], tuple[str, ...]]:
    """Pair the factors; everything that is no factor is named."""
    found: dict[str, dict[str, str]] = {}
    left: dict[str, int] = {}
    for name, tensor in tensors.items():
        match = _FACTOR.fullmatch(name)
        if match and len(tensor.shape) == 2 and tensor.kind in _KINDS:
            found.setdefault(match["module"].removeprefix(_PREFIX), {})[match["side"]] = name
        else:
            kind = _kind_of(name, tensor)
            left[kind] = left.get(kind, 0) + 1
    modules: dict[str, _Module] = {}
    for module, pair in found.items():
        if pair.keys() != {"A", "B"}:
            raise AdapterFilesError(f"{folder / WEIGHTS}: {module} has only one of its two factors")
        a, b = pair["A"], pair["B"]
        rank = tensors[a].shape[0]
        if 0 in (*tensors[a].shape, *tensors[b].shape):
            raise AdapterFilesError(f"{folder / WEIGHTS}: {module} has a factor without numbers")
        if tensors[b].shape[1] != rank:
            raise AdapterFilesError(
                f"{folder / WEIGHTS}: {module} has factors of ranks {rank} and {tensors[b].shape[1]}"
            )
        modules[module] = _Module(a, b, rank, _scale(config, module, rank, folder))
    if not modules:
        raise AdapterFilesError(f"{folder / WEIGHTS}: holds no low-rank factors")
    return modules, tuple(f"{kind} ({count} tensors)" for kind, count in sorted(left.items()))


def _kind_of(name: str, tensor: Tensor) -> str:
    if "lora_magnitude_vector" in name:
        return "DoRA magnitude vectors: only the direction's low-rank part is compared"
    if _FACTOR.fullmatch(name):
        return f"factors of {len(tensor.shape)} dimensions in {tensor.kind}"
    if name.endswith(".bias") or "lora_B.bias" in name:
        return "bias"
    if "trainable_tokens" in name:
        return "trainable tokens"
    return "modules saved whole (modules_to_save, embeddings)"


def _scale(config: Mapping[str, Any], module: str, rank: int, folder: Path) -> float:
    """PEFT's scaling: lora_alpha / r, or lora_alpha / sqrt(r) for rsLoRA, with what the patterns say of this module."""
    try:
        r = float(_by_pattern(config.get("rank_pattern"), module, config.get("r", rank)))
        alpha = float(_by_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", r)))
    except (TypeError, ValueError, re.error) as error:
        raise AdapterFilesError(
            f"{folder / CONFIG}: r, lora_alpha or their patterns are not numbers: {error}"
        ) from error
    if not (r > 0 and math.isfinite(r) and math.isfinite(alpha)):
        raise AdapterFilesError(f"{folder / CONFIG}: r {r:g} and lora_alpha {alpha:g} give no scale")
    return alpha / math.sqrt(r) if config.get("use_rslora") else alpha / r


def _by_pattern(pattern: Any, module: str, otherwise: Any) -> Any:
    """PEFT's rule: the first key that ends the module's name at a dot."""
    if isinstance(pattern, dict):
        for key, value in pattern.items():
            if re.match(rf"(.*\.)?({key})$", module):
                return value
    return otherwise
