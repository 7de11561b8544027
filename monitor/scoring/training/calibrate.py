"""How two models' logits become one probability: their factors, and a bias per class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from monitor.scoring.encoder import Calibration
from monitor.scoring.weights import CLASSES

_SHRINKAGE = 0.002
"""Pull of each bias towards 0, so that the held rows' mixture of labels is not learned by heart."""


def fit_calibration(
    linear: NDArray[np.float32], encoder: NDArray[np.float32], labels: NDArray[np.int64]
) -> Calibration:
    """Vector scaling of both (Guo et al. 2017), by maximum likelihood on held rows."""
    place = np.arange(len(labels))

    def loss(values: NDArray[np.float64]) -> float:
        logits = values[0] * linear + values[1] * encoder + values[2:]
        logits = logits - logits.max(axis=1, keepdims=True)
        chosen = logits[place, labels] - np.log(np.exp(logits).sum(axis=1))
        return float(-chosen.mean() + _SHRINKAGE * (values[2:] ** 2).sum())

    begin = np.array([0.5, 0.5] + [0.0] * len(CLASSES))
    found = minimize(loss, begin, method="L-BFGS-B", bounds=[(0, 5), (0, 5)] + [(-3, 3)] * len(CLASSES)).x.tolist()
    return Calibration(found[0], found[1], tuple(found[2:]))
