"""A model's numbers as a plain array file, never a pickle, with a digest that names them."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray


class WeightsError(ValueError):
    """The weights file cannot be used; the message names the file and the reason."""


@dataclass(frozen=True)
class Arrays:
    """Base of a model's numbers: a dataclass whose fields are all arrays."""

    @property
    def digest(self) -> str:
        """12 hex digits over every number."""
        content = hashlib.sha256()
        for field in fields(self):
            array: NDArray[np.generic] = np.ascontiguousarray(getattr(self, field.name))
            content.update(f"{field.name} {array.dtype} {array.shape}".encode())
            content.update(array.tobytes())
        return content.hexdigest()[:12]


Kind = TypeVar("Kind", bound=Arrays)


def save_arrays(arrays: Arrays, file: Path) -> None:
    """Write them, compressed."""
    np.savez_compressed(file, **{field.name: getattr(arrays, field.name) for field in fields(arrays)})


def load_arrays(kind: type[Kind], file: Path, what: str) -> Kind:
    """Read them; nothing in the file can run. `what` names in the message what it should have been. Raises WeightsError."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return kind(**{field.name: arrays[field.name] for field in fields(kind)})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{file}: not a weights file of {what}: {error}") from error
