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
STEPS: Final = 40
SETTLED: Final = 2e-3
"""Change of a weight in one step, relative to the largest, from which the weights count as found."""
HOPELESS_AFTER: Final = 3
"""Steps after which a sum that is cut must be near the query, or it is something else."""
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


@dataclass(frozen=True, slots=True)
class _Core:
    """One module in the bases that the parts' factors span: everything that a sum of them can be is a small matrix there."""

    parts: Wide
    """[parts, left, right] updates of the parts."""
    query: Wide
    """[left, right] what of the query lies there."""
    square: float
    """The query's whole energy."""
    rank: int


def fit_truncated(query: AdapterWeights, parts: Sequence[AdapterWeights]) -> tuple[Wide, float, bool]:
    """Weights of a merge that was cut to a lower rank, its relative residual, and whether the weights came to rest.

    The cut takes energy from every part, so plain least squares finds weights that are too small. Here the weighted sum is cut
    to the query's rank as well, and the weights are moved until its inner products with the parts are the query's.
    """
    cores = [core for module in sorted(query.modules) if (core := _core(query, parts, module)) is not None]
    gram = np.sum([np.einsum("ilr,jlr->ij", core.parts, core.parts) for core in cores], axis=0)
    target = np.sum([np.einsum("ilr,lr->i", core.parts, core.query) for core in cores], axis=0)
    weights = np.linalg.lstsq(gram, target, rcond=1e-10)[0]
    residual, settled = float("inf"), False
    for step in range(STEPS):
        reached, residual = _reached(cores, weights)
        change = np.linalg.lstsq(gram, target - reached, rcond=1e-10)[0]
        settled = bool(np.abs(change).max() < SETTLED * np.abs(weights).max())
        if (step >= HOPELESS_AFTER and residual > 0.5) or np.abs(change).max() < 1e-4 * np.abs(weights).max():
            break
        weights = weights + change
    return weights, residual, settled


def _core(query: AdapterWeights, parts: Sequence[AdapterWeights], module: str) -> _Core | None:
    """None where no part changes the module."""
    found = [part.factors(module) if module in part.modules else None for part in parts]
    present = [one for one in found if one is not None]
    if not present:
        return None
    left, _ = np.linalg.qr(np.concatenate([b for _, b in present], axis=1))
    right, _ = np.linalg.qr(np.concatenate([a for a, _ in present]).T)
    inside = np.zeros((len(parts), left.shape[1], right.shape[1]))
    for at, one in enumerate(found):
        if one is not None:
            inside[at] = (left.T @ one[1]) @ (one[0] @ right)
    a, b = query.factors(module)
    square = float(np.vdot(a @ a.T, b.T @ b))
    return _Core(inside, (left.T @ b) @ (a @ right), square, a.shape[0])


def _reached(cores: Sequence[_Core], weights: Wide) -> tuple[Wide, float]:
    """Inner products of the cut sum with the parts, and its relative distance from the query."""
    reached, left, whole = np.zeros(len(weights)), 0.0, 0.0
    for core in cores:
        u, values, vt = np.linalg.svd(np.tensordot(weights, core.parts, axes=1))
        made = (u[:, : core.rank] * values[: core.rank]) @ vt[: core.rank]
        reached += np.einsum("ilr,lr->i", core.parts, made)
        left += core.square - 2 * float(np.vdot(core.query, made)) + float(np.vdot(made, made))
        whole += core.square
    return reached, float(np.sqrt(max(left, 0.0) / whole)) if whole > 0 else float("nan")
