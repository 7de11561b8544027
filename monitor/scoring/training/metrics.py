"""Numbers that say how good verdicts are; pure functions over arrays of labels, predictions and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.scoring.weights import CLASSES

_RESAMPLES = 1000
REFUSING = 2
"""The first two classes, refusal and partial, are the positives of the binary metric."""


@dataclass(frozen=True, slots=True)
class Score:
    """Precision, recall and F1 of one event."""

    precision: float
    recall: float
    f1: float
    lower: float
    """Lower end of F1's 95% bootstrap interval (percentiles)."""
    upper: float
    positives: int
    """Rows that have the event; without any, recall and F1 say nothing."""


def score_event(predicted: NDArray[np.bool_], true: NDArray[np.bool_], seed: int = 0) -> Score:
    """Precision, recall, F1 and its bootstrap interval over rows."""
    cells = [int((predicted & true).sum()), int((predicted & ~true).sum()), int((~predicted & true).sum())]
    counts = np.array([*cells, len(true) - sum(cells)])
    draws = np.random.default_rng(seed).multinomial(len(true), counts / max(len(true), 1), size=_RESAMPLES)
    resampled = 2 * draws[:, 0] / np.maximum(2 * draws[:, 0] + draws[:, 1] + draws[:, 2], 1)
    lower, upper = np.percentile(resampled, [2.5, 97.5]).tolist()
    hit, false, missed = cells
    return Score(
        precision=hit / max(hit + false, 1),
        recall=hit / max(hit + missed, 1),
        f1=2 * hit / max(2 * hit + false + missed, 1),
        lower=lower,
        upper=upper,
        positives=int(true.sum()),
    )


def confusion(true: NDArray[np.int64], predicted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts, true class by predicted class, in the order of `CLASSES`."""
    table = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(table, (true, predicted), 1)
    return table


def calibration_error(chance: NDArray[np.float64], happened: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error: mean gap of probability and frequency over equally wide bins, weighted by their rows."""
    place = np.minimum((chance * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, weights=chance, minlength=bins) - np.bincount(place, weights=happened, minlength=bins)
    return float(np.abs(gaps).sum() / max(len(chance), 1))


def calibration_bins(
    chance: NDArray[np.float64], happened: NDArray[np.bool_], bins: int = 10
) -> list[dict[str, float]]:
    """Per equally wide bin that has rows: mean probability, frequency, rows."""
    place = np.minimum((chance * bins).astype(np.int64), bins - 1)
    found = []
    for number in range(bins):
        inside = place == number
        if inside.any():
            means = float(chance[inside].mean()), float(happened[inside].mean())
            found.append(
                {"probability": round(means[0], 4), "frequency": round(means[1], 4), "rows": int(inside.sum())}
            )
    return found


def groups(sources: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """All rows, and the rows of each source."""
    names = np.array(sources)
    masks = {"all": np.ones(len(names), dtype=np.bool_)}
    return masks | {name: names == name for name in sorted(set(sources))}
