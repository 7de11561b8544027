"""Does one adapter hold another? Seen from the spaces that its factors span.

An adapter that was put into a merge leaves its whole column space (of B) and row space (of A) there, whatever else was added;
adapters that are merely related share directions, never all of them. Where the spaces of the rest are its own, the
weight follows too, though the rest is unknown: with D = w D1 + U in D's own bases, M^-1 M1 has the eigenvalue 1/w as
often as D1 has ranks, and zeros, so w = rank / trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.adapters.weights import AdapterWeights, Wide

INSIDE: Final = 0.98
"""Share of an adapter's energy that lies in another's spaces, from which it counts as contained."""
MODULES: Final = 24
"""Modules that are looked at, spread evenly: each alone is decisive."""


@dataclass(frozen=True, slots=True)
class Containment:
    """One adapter inside another."""

    share: float
    """Of the inner adapter's energy, what lies in the outer one's spaces (median over modules)."""
    weight: float
    """Its weight there; NaN when the modules do not agree on one."""


def containment(outer: AdapterWeights, inner: AdapterWeights) -> Containment:
    """How far `inner` lies inside `outer`, over the modules that both have."""
    shares, weights = [], []
    for module in _spread(sorted(outer.modules & inner.modules)):
        if outer.rank(module) <= inner.rank(module) or outer.shape(module) != inner.shape(module):
            continue
        found = _in_module(outer.factors(module), inner.factors(module))
        if found is not None:
            shares.append(found[0])
            weights.append(found[1])
    if not shares:
        return Containment(0.0, float("nan"))
    weight = float(np.median(weights))
    spread = float(np.median(np.abs(np.array(weights) - weight)))
    return Containment(float(np.median(shares)), weight if spread < 0.02 * max(abs(weight), 0.1) else float("nan"))


def _spread(modules: Sequence[str]) -> list[str]:
    step = max(1, len(modules) // MODULES)
    return list(modules[::step])


def _in_module(outer: tuple[Wide, Wide], inner: tuple[Wide, Wide]) -> tuple[float, float] | None:
    """(share, weight) in one module; None where one of the two does nothing."""
    a, b = outer
    left, left_core = np.linalg.qr(b)
    right, right_core = np.linalg.qr(a.T)
    own = left_core @ right_core.T
    other = (left.T @ inner[1]) @ (inner[0] @ right)
    energy = float(((inner[0] @ inner[0].T) * (inner[1].T @ inner[1])).sum())
    if energy <= 0 or not own.any():
        return None
    values = np.linalg.svd(own, compute_uv=False)
    full = values[-1] >= 1e-9 * values[0]  # else its spaces are larger than what it does
    inverse = np.linalg.inv(own) if full else np.linalg.pinv(own, rcond=1e-9)
    trace = float(np.trace(inverse @ other))
    rank = int(np.linalg.matrix_rank(inner[1]))
    return float((other**2).sum()) / energy, rank / trace if trace else float("nan")


def truncated_sum(parts: Sequence[tuple[Wide, Wide]], weights: Wide, rank: int) -> tuple[Wide, Wide]:
    """Best factors (a, b) of the given rank of a weighted sum of updates, by QR first: no full matrix is decomposed."""
    a = np.concatenate([one for one, _ in parts])
    b = np.concatenate([one * weight for (_, one), weight in zip(parts, weights, strict=True)], axis=1)
    left, left_core = np.linalg.qr(b)
    right, right_core = np.linalg.qr(a.T)
    u, values, vt = np.linalg.svd(left_core @ right_core.T)
    return vt[:rank] @ right.T, left @ (u[:, :rank] * values[:rank])


def fit_truncated(
    query: AdapterWeights, parts: Sequence[AdapterWeights], weights: Wide, steps: int = 12
) -> tuple[Wide, float]:
    """Weights of a merge that was cut to a lower rank, and its relative residual.

    The cut takes energy from every part, so plain least squares finds weights that are too small. Here the weighted sum is cut
    to the query's rank as well, and the weights are moved until its inner products with the parts are the query's.
    """
    modules = [one for one in sorted(query.modules) if all(one in part.modules for part in parts)]
    factors = {one: (query.factors(one), [part.factors(one) for part in parts]) for one in modules}
    gram = sum((_inner(inside, inside) for _, inside in factors.values()), np.zeros((len(parts), len(parts))))
    target = sum((_inner([own], inside)[0] for own, inside in factors.values()), np.zeros(len(parts)))
    square = sum(float(_inner([own], [own])[0, 0]) for own, _ in factors.values())
    for step in range(steps + 1):
        reached, left = np.zeros(len(parts)), 0.0
        for own, inside in factors.values():
            made = truncated_sum(inside, weights, own[0].shape[0])
            reached += _inner([made], inside)[0]
            left += float(_inner([own, made], [own, made]) @ np.array([1.0, -1.0]) @ np.array([1.0, -1.0]))
        if step < steps:
            weights = weights + np.linalg.lstsq(gram, target - reached, rcond=1e-10)[0]
    return weights, float(np.sqrt(max(left, 0.0) / square)) if square > 0 else float("nan")


def _inner(first: Sequence[tuple[Wide, Wide]], second: Sequence[tuple[Wide, Wide]]) -> Wide:
    """[first, second] inner products of updates given as factors."""
    return np.array([[float(((a @ c.T) * (b.T @ d)).sum()) for c, d in second] for a, b in first])
