"""The linear scorer's numbers: a plain array file, never a pickle, and a digest that names them."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.records import Outcome

CLASSES = (Outcome.REFUSAL, Outcome.PARTIAL, Outcome.REFUSE_THEN_COMPLY, Outcome.COMPLIANCE)
"""Order of the model's classes."""


class WeightsError(ValueError):
    """The weights file cannot be used; the message names the file and the reason."""


@dataclass(frozen=True)
class Weights:
    """All that training decides."""

    hashed: NDArray[np.float16]
    """Buckets x classes."""
    dense: NDArray[np.float32]
    """Structure features x classes."""
    bias: NDArray[np.float32]
    """Per class."""
    risk: NDArray[np.float16]
    """Buckets, for the prompt's risk."""
    settings: NDArray[np.float32]
    """As in `Settings`: the classes' temperature, the risk's temperature and bias, the decision's thresholds."""

    @property
    def digest(self) -> str:
        """12 hex digits over every number."""
        content = hashlib.sha256()
        for field in fields(self):
            array: NDArray[np.generic] = np.ascontiguousarray(getattr(self, field.name))
            content.update(f"{field.name} {array.dtype} {array.shape}".encode())
            content.update(array.tobytes())
        return content.hexdigest()[:12]


def save_weights(weights: Weights, file: Path) -> None:
    """Write the arrays, compressed."""
    np.savez_compressed(file, **{field.name: getattr(weights, field.name) for field in fields(weights)})


def load_weights(file: Path) -> Weights:
    """Read the arrays; nothing in the file can run. Raises WeightsError."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            weights = Weights(**{field.name: arrays[field.name] for field in fields(Weights)})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{file}: not a weights file of the linear scorer: {error}") from error
    expected = ((len(weights.risk), len(CLASSES)), (len(weights.dense), len(CLASSES)), (len(CLASSES),), (8,))
    if (weights.hashed.shape, weights.dense.shape, weights.bias.shape, weights.settings.shape) != expected:
        raise WeightsError(f"{file}: the arrays' shapes do not fit together")
    return weights
