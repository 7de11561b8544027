"""Safetensors files with numpy alone, bfloat16 included.

The tests and the merges must run where torch is not installed, and numpy has no bfloat16: a
bfloat16 is the upper half of a float32, so it is read and written through integers.
"""

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Precision = Literal["BF16", "F32"]


def to_bfloat16_bits(values: Matrix) -> NDArray[np.uint16]:
    """Round to nearest, ties to even, as torch does."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = bits + (((bits >> 16) & 1) + 0x7FFF)
    return (rounded >> 16).astype(np.uint16)


def from_bfloat16_bits(bits: NDArray[np.uint16]) -> Matrix:
    """The exact float32 values."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def read(path: Path) -> dict[str, Matrix]:
    """Every tensor of the file as float32."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    body = memoryview(raw)[8 + length :]
    tensors: dict[str, Matrix] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        if entry["dtype"] == "BF16":
            flat = from_bfloat16_bits(np.frombuffer(body[start:end], dtype=np.uint16))
        elif entry["dtype"] == "F32":
            flat = np.frombuffer(body[start:end], dtype=np.float32).copy()
        else:
            raise ValueError(f"{path}: tensor {name} has unsupported dtype {entry['dtype']}")
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def write(path: Path, tensors: Mapping[str, Matrix], precision: Precision) -> None:
    """Write the tensors in the order of their names, so that equal tensors give equal bytes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    chunks: list[bytes] = []
    offset = 0
    for name in sorted(tensors):
        values = tensors[name]
        stored = to_bfloat16_bits(values) if precision == "BF16" else values.astype(np.float32)
        data = stored.tobytes()
        header[name] = {
            "dtype": precision,
            "shape": list(values.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        chunks.append(data)
        offset += len(data)
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    # A server that starts beside this one may read the same merge: it must never see half a file.
    half = path.with_name(f"{path.name}.{os.getpid()}")
    half.write_bytes(struct.pack("<Q", len(encoded)) + encoded + b"".join(chunks))
    half.replace(path)
