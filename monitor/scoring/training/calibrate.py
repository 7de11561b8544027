"""How two models' opinions become one probability: a multinomial regression on held rows, and the decision's threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from monitor.scoring.encoder import Calibration, log_chances, opinions
from monitor.scoring.training.metrics import REFUSING, score_event
from monitor.scoring.weights import CLASSES

_EVEN = np.concatenate([np.eye(len(CLASSES)), np.eye(len(CLASSES))]) / 2
"""Both opinions count alike: to this the weights are pulled, so that few rows cannot learn their mixture by heart."""
_SHRINKAGE = 10.0
"""Pull per square of a weight's distance, against the sum over rows. Of 0.5 to 80 on the validation fold, cross-fitted: less gives
worse probabilities, more a worse F1 of the rare classes."""
_FOLDS = 5
_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7)


def fit_calibration(
    linear: NDArray[np.float32], encoder: NDArray[np.float32], labels: NDArray[np.int64]
) -> Calibration:
    """Matrix scaling of both (Guo et al. 2017), by penalised maximum likelihood on held rows; thresholds as by default."""
    known = opinions(linear, encoder)
    true = np.eye(len(CLASSES))[labels]
    cells = _EVEN.size

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = values[:cells].reshape(_EVEN.shape), values[cells:]
        chances = log_chances(known @ weights + bias)
        excess = np.exp(chances) - true
        pulled = weights - _EVEN
        total = -(chances * true).sum() + _SHRINKAGE * (pulled**2).sum()
        return float(total), np.concatenate([(known.T @ excess + 2 * _SHRINKAGE * pulled).ravel(), excess.sum(axis=0)])

    begin = np.concatenate([_EVEN.ravel(), np.zeros(len(CLASSES))])
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=[(-5, 5)] * len(begin)).x
    weights = tuple(tuple(row) for row in found[:cells].reshape(_EVEN.shape).tolist())
    return Calibration(weights, tuple(found[cells:].tolist()))


def calibrate(
    linear: NDArray[np.float32], encoder: NDArray[np.float32], labels: NDArray[np.int64], prompts: Sequence[str]
) -> Calibration:
    """As `fit_calibration`, with the refusal's threshold chosen on cross-fitted probabilities."""
    chances = cross_fitted(linear, encoder, labels, prompts)
    return replace(fit_calibration(linear, encoder, labels), refusal=refusal_threshold(chances, labels))


def cross_fitted(
    linear: NDArray[np.float32], encoder: NDArray[np.float32], labels: NDArray[np.int64], prompts: Sequence[str]
) -> NDArray[np.float64]:
    """Each row's probabilities by a calibration that has seen neither it nor another answer to its prompt."""
    number = np.unique(np.array(prompts), return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(int(number.max()) + 1)[number] % _FOLDS
    chances = np.zeros((len(labels), len(CLASSES)))
    for left_out in range(_FOLDS):
        seen, held = fold != left_out, fold == left_out
        chances[held] = fit_calibration(linear[seen], encoder[seen], labels[seen]).chances(linear[held], encoder[held])
    return chances


def refusal_threshold(chances: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The highest threshold whose F1 is within a standard error of the best one's (Breiman et al. 1984, 1-SE rule).

    F1 is flat there, and every step up spares ordinary answers.
    """
    refuses = chances[:, :REFUSING].sum(axis=1)
    found = {one: score_event(refuses >= one, labels < REFUSING) for one in _THRESHOLDS}
    best = max(found.values(), key=lambda score: score.f1)
    error = (best.upper - best.lower) / (2 * 1.96)
    return max(one for one, score in found.items() if score.f1 >= best.f1 - error)
