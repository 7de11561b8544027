"""The linear scorer's numbers: what judges an answer, given its prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.records import Outcome
from monitor.scoring.arrays import Arrays, WeightsError, load_arrays, save_arrays

CLASSES = (Outcome.REFUSAL, Outcome.PARTIAL, Outcome.REFUSE_THEN_COMPLY, Outcome.COMPLIANCE)
"""Order of the model's classes."""


@dataclass(frozen=True)
class Weights(Arrays):
    """All that training decides."""

    hashed: NDArray[np.float16]
    """Buckets x classes."""
    dense: NDArray[np.float32]
    """Structure features x classes."""
    bias: NDArray[np.float32]
    """Per class."""
    settings: NDArray[np.float32]
    """As in `linear.Settings`: the classes' temperature, the decision's thresholds."""


def save_weights(weights: Weights, file: Path) -> None:
    """Write the arrays, compressed."""
    save_arrays(weights, file)


def load_weights(file: Path) -> Weights:
    """Read the arrays; nothing in the file can run. Raises WeightsError."""
    weights = load_arrays(Weights, file, "the linear scorer")
    shapes = (weights.hashed.shape[1:], weights.dense.shape[1:], weights.bias.shape, weights.settings.shape)
    if shapes != ((len(CLASSES),), (len(CLASSES),), (len(CLASSES),), (4,)):
        raise WeightsError(f"{file}: the arrays' shapes do not fit together")
    return weights


__all__ = ["CLASSES", "Weights", "WeightsError", "load_weights", "save_weights"]
