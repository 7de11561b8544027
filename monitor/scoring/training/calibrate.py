"""How two models' logits become one probability: their factors, a bias per class, and the decision's thresholds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from monitor.scoring.encoder import Calibration
from monitor.scoring.training.metrics import REFUSING, score_event
from monitor.scoring.weights import CLASSES

_SHRINKAGE = 0.002
"""Pull of each bias towards 0, so that the held rows' mixture of labels is not learned by heart."""
_THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
PARTIAL, REFUSE_THEN_COMPLY = 1, 2


def fit_calibration(
    linear: NDArray[np.float32], encoder: NDArray[np.float32], labels: NDArray[np.int64]
) -> Calibration:
    """Vector scaling of both (Guo et al. 2017), by maximum likelihood on held rows; thresholds by the best F1 there."""
    place = np.arange(len(labels))

    def loss(values: NDArray[np.float64]) -> float:
        logits = values[0] * linear + values[1] * encoder + values[2:]
        logits = logits - logits.max(axis=1, keepdims=True)
        chosen = logits[place, labels] - np.log(np.exp(logits).sum(axis=1))
        return float(-chosen.mean() + _SHRINKAGE * (values[2:] ** 2).sum())

    begin = np.array([0.5, 0.5] + [0.0] * len(CLASSES))
    found = minimize(loss, begin, method="L-BFGS-B", bounds=[(0, 5), (0, 5)] + [(-3, 3)] * len(CLASSES)).x.tolist()
    plain = Calibration(found[0], found[1], tuple(found[2:]))
    chances = plain.chances(linear, encoder)
    refusing = chances[:, :REFUSING].sum(axis=1)
    partial = chances[:, PARTIAL] / np.maximum(refusing, 1e-9)
    turned = chances[:, REFUSE_THEN_COMPLY] / np.maximum(1 - refusing, 1e-9)
    return Calibration(
        found[0],
        found[1],
        tuple(found[2:]),
        partial=_best(lambda share: (refusing >= 0.5) & (partial >= share), labels == PARTIAL),
        refuse_then_comply=_best(lambda share: (refusing < 0.5) & (turned >= share), labels == REFUSE_THEN_COMPLY),
    )


def _best(predicted: Callable[[float], NDArray[np.bool_]], true: NDArray[np.bool_]) -> float:
    scores = [score_event(predicted(share), true).f1 for share in _THRESHOLDS]
    return _THRESHOLDS[int(np.argmax(scores))]
