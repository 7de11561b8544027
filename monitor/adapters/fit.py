"""Which weights of known updates add up to an update: least squares on inner products alone.

Everything is solved on unit vectors (the Gram matrix of cosines), so that a large and a small adapter count alike, and parts are
kept by what only they explain: in a registry of related adapters a share that another part explains too is no evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Wide = NDArray[np.float64]

LEAST_SHARE: Final = 1e-4
"""Share of the update's energy that only this part explains, below which it is no part: 1% of the norm."""
LEAST_OF_REST: Final = 0.02
"""The same, as a share of what stays unexplained: a poor fit makes small parts doubtful."""
SAME_COSINE: Final = 0.9995
"""Two known adapters closer than this are one for the fit; both are named."""
_FLOOR: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Fit:
    """A weighted sum of known updates."""

    parts: tuple[int, ...]
    """Indices of the known updates in it."""
    weights: Wide
    """[parts], in units of the known updates as they are."""
    residual: float
    """Norm of what is left over, relative to the update's own norm."""
    unique: Wide
    """[parts] share of the update's energy that is lost when this part is left out and the others are fitted again."""


def distinct(gram: Wide, closeness: Wide) -> list[int]:
    """Of every group of nearly equal updates the one closest to the query.

    gram: [n, n]; closeness: [n] cosines with the query.
    """
    norms = np.sqrt(np.maximum(np.diag(gram), _FLOOR))
    cosines = gram / np.outer(norms, norms)
    kept: list[int] = []
    for index in np.argsort(-np.abs(closeness)):
        if all(abs(cosines[index, other]) < SAME_COSINE for other in kept):
            kept.append(int(index))
    return sorted(kept)


def fit_parts(gram: Wide, products: Wide, square: float) -> Fit:
    """The fewest parts that explain an update as well as all do.

    gram: [n, n] inner products of the known updates; products: [n] with the query; square: the query's with itself.
    Weights are non-negative unless negative ones explain clearly more.
    """
    norms = np.sqrt(np.maximum(np.diag(gram), _FLOOR))
    own = np.sqrt(max(square, _FLOOR))
    cosines = gram / np.outer(norms, norms)
    toward = products / (norms * own)
    signed = _eliminate(cosines, toward, negative=True)
    positive = _eliminate(cosines, toward, negative=False)
    chosen = positive if _left(cosines, toward, positive) <= _left(cosines, toward, signed) + LEAST_SHARE else signed
    parts = tuple(sorted(chosen))
    negative = chosen is signed
    weights = _solve(cosines, toward, parts, negative=negative)
    left = _unexplained(cosines, toward, parts, weights)
    unique = np.array(
        [
            _left(cosines, toward, tuple(other for other in parts if other != part), negative=negative) - left
            for part in parts
        ]
    )
    return Fit(parts, weights * own / norms[list(parts)], float(np.sqrt(max(left, 0.0))), unique)


def _eliminate(cosines: Wide, toward: Wide, *, negative: bool) -> tuple[int, ...]:
    """From all of them, leave out the one that is missed least, until each one left is missed."""
    parts = tuple(range(len(toward)))
    weights = _solve(cosines, toward, parts, negative=negative)
    parts = tuple(part for part, weight in zip(parts, weights, strict=True) if abs(weight) > 1e-6)
    left = _left(cosines, toward, parts, negative=negative)
    while parts:
        without: list[tuple[int, ...]] = [tuple(other for other in parts if other != part) for part in parts]
        losses = [_left(cosines, toward, rest, negative=negative) for rest in without]
        least = int(np.argmin(losses))
        if losses[least] - left >= max(LEAST_SHARE, LEAST_OF_REST * left):
            break
        parts, left = without[least], losses[least]
    return parts


def _left(cosines: Wide, toward: Wide, parts: tuple[int, ...], *, negative: bool = True) -> float:
    return _unexplained(cosines, toward, parts, _solve(cosines, toward, parts, negative=negative))


def _unexplained(cosines: Wide, toward: Wide, parts: tuple[int, ...], weights: Wide) -> float:
    """Energy left over, of an update of norm one."""
    at = list(parts)
    left = float(1.0 - 2 * weights @ toward[at] + weights @ cosines[np.ix_(at, at)] @ weights)
    return max(0.0, left)


def _solve(cosines: Wide, toward: Wide, parts: tuple[int, ...], *, negative: bool) -> Wide:
    """Least squares for unit vectors that are known by their cosines: through the root of their Gram matrix."""
    at = list(parts)
    if not at:
        return np.zeros(0)
    values, vectors = np.linalg.eigh(cosines[np.ix_(at, at)])
    use = values > values[-1] * 1e-10
    root = np.sqrt(values[use])[:, None] * vectors[:, use].T
    target = (vectors[:, use].T @ toward[at]) / np.sqrt(values[use])
    if negative:
        return np.asarray(np.linalg.lstsq(root, target, rcond=None)[0], np.float64)
    return np.asarray(nnls(root, target)[0], np.float64)
