"""Merges that combine the factors instead of the updates: PEFT's `linear`, `ties`, `dare_linear`, `dare_ties`, `magnitude_prune`.

They add A's to A's and B's to B's, each with the root of the weight, so the product holds cross terms B_i A_j that no weighted sum
of updates explains. The weight of a part is the product of its two coefficients. Where entries were dropped, the coefficients
show in the entries that only one part survived in: their ratio to that part's entry is one and the same number everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.adapters.fit import Fit, fit_parts
from monitor.adapters.weights import AdapterWeights, Wide

MAX_CROSSED: Final = 8
"""Parts between which cross terms are tried: 64 terms at most."""
BIN: Final = 0.01
"""Width of a bin of log ratios; bfloat16 moves a ratio by 0.4% at most."""
LEAST_PEAK: Final = 0.02
"""Share of the entries that must agree on one ratio; among unrelated entries a bin gets 0.16%."""
DROPPED: Final = 0.02
"""Share of zero entries from which factors count as pruned."""


@dataclass(frozen=True, slots=True)
class FactorFit:
    """Parts whose factors were combined."""

    parts: tuple[int, ...]
    weights: Wide
    residual: float
    """Of the update, relative to its norm."""
    method: str


def linear(query: AdapterWeights, known: Sequence[AdapterWeights]) -> FactorFit | None:
    """A weighted sum of A's and one of B's; None when no known adapter has factors of this shape, or none is needed."""
    same = [index for index, one in enumerate(known) if query.close_in_shape(one)]
    if not same:
        return None
    fits = [_side(query, [known[index] for index in same], side) for side in (0, 1)]
    parts = sorted(set(fits[0].parts) & set(fits[1].parts))
    if not parts or max(fit.residual for fit in fits) > 0.5:
        return None
    a, b = (dict(zip(fit.parts, fit.weights, strict=True)) for fit in fits)
    chosen = [known[same[part]] for part in parts]
    at, bt = np.array([a[part] for part in parts]), np.array([b[part] for part in parts])
    return FactorFit(tuple(same[part] for part in parts), at * bt, _residual(query, chosen, at, bt), "linear")


def _side(query: AdapterWeights, known: Sequence[AdapterWeights], side: int) -> Fit:
    """Fit one of the two factors over all modules."""
    size = len(known) + 1
    gram = np.zeros((size, size))
    for module in sorted(query.modules):
        rows = np.stack([one.factors(module)[side].ravel() for one in (query, *known)])
        gram += rows @ rows.T
    return fit_parts(gram[1:, 1:], gram[1:, 0], float(gram[0, 0]))


def _residual(query: AdapterWeights, parts: Sequence[AdapterWeights], at: Wide, bt: Wide) -> float:
    """|D - (sum b_i B_i)(sum a_i A_i)| / |D|, from the factors laid side by side."""
    left = whole = 0.0
    for module in query.modules:
        a, b = query.factors(module)
        factors = [one.factors(module) for one in parts]
        made_a = np.sum([weight * other for weight, (other, _) in zip(at, factors, strict=True)], axis=0)
        made_b = np.sum([weight * other for weight, (_, other) in zip(bt, factors, strict=True)], axis=0)
        side_a, side_b = np.concatenate([a, made_a]), np.concatenate([b, -made_b], axis=1)
        left += float(((side_a @ side_a.T) * (side_b.T @ side_b)).sum())
        whole += float(((a @ a.T) * (b.T @ b)).sum())
    return float(np.sqrt(max(left, 0.0) / whole)) if whole > 0 else float("nan")


def crossed(query: AdapterWeights, known: Sequence[AdapterWeights]) -> FactorFit | None:
    """A linear merge that was factored anew: the update lies in the span of the products B_i A_j.

    Only adapters of one shape can be in it, so each group of them is tried. known: closest first.
    """
    groups: list[list[int]] = []
    for index, one in enumerate(known):
        if one.modules == query.modules:
            group = next((group for group in groups if known[group[0]].close_in_shape(one)), None)
            if group is None:
                groups.append([index])
            elif len(group) < MAX_CROSSED:
                group.append(index)
    found = (_crossed_group(query, known, group) for group in groups if len(group) > 1)
    return next((one for one in found if one is not None), None)


def _crossed_group(query: AdapterWeights, known: Sequence[AdapterWeights], at: Sequence[int]) -> FactorFit | None:
    """The coefficients form a matrix of rank one, b_i a_j; its diagonal holds the weights. None when that is not so."""
    if len({known[at[0]].rank(module) for module in query.modules}) > 1:
        return None
    gram, toward, square = _cross_products(query, [known[index] for index in at])
    coefficients, *_ = np.linalg.lstsq(gram, toward, rcond=1e-10)
    left = float(square - 2 * coefficients @ toward + coefficients @ gram @ coefficients)
    residual = float(np.sqrt(max(left, 0.0) / square)) if square > 0 else float("nan")
    matrix = coefficients.reshape(len(at), len(at))
    values = np.linalg.svd(matrix, compute_uv=False)
    if residual > 0.05 or values[1] > 0.05 * values[0]:
        return None
    weights = np.diag(matrix)
    kept = [index for index, weight in enumerate(weights) if abs(weight) > 0.01 * np.abs(weights).max()]
    return FactorFit(tuple(at[index] for index in kept), weights[kept], residual, "linear, refactored")


def _cross_products(query: AdapterWeights, known: Sequence[AdapterWeights]) -> tuple[Wide, Wide, float]:
    """Inner products among all B_i A_j ([k*k, k*k]), with the query ([k*k]), and of the query with itself."""
    count = len(known)
    gram, toward, square = np.zeros((count**2, count**2)), np.zeros(count**2), 0.0
    for module in query.modules:
        a, b = query.factors(module)
        factors = [one.factors(module) for one in known]
        rows, columns = np.concatenate([one for one, _ in factors]), np.concatenate([one for _, one in factors], axis=1)
        rank = factors[0][0].shape[0]
        inner_a = (rows @ rows.T).reshape(count, rank, count, rank)
        inner_b = (columns.T @ columns).reshape(count, rank, count, rank)
        gram += np.einsum("iakb,jalb->ijkl", inner_b, inner_a, optimize=True).reshape(count**2, count**2)
        with_a = (rows @ a.T).reshape(count, rank, -1)
        with_b = (columns.T @ b).reshape(count, rank, -1)
        toward += np.einsum("iab,jab->ij", with_b, with_a).ravel()
        square += float(((a @ a.T) * (b.T @ b)).sum())
    return gram, toward, square


def pruned(query: AdapterWeights, known: Sequence[AdapterWeights]) -> FactorFit | None:
    """A merge that dropped entries; None when the factors are dense or no known adapter shows in them.

    The residual is NaN: which entries were dropped is not recovered, so neither is the update.
    """
    same = [index for index, one in enumerate(known) if query.close_in_shape(one)]
    zeros, total = _zeros(query, sorted(query.modules))
    if not same or total == 0 or zeros / total < DROPPED:
        return None
    peaks = {index: [_peak(query, known[index], side) for side in (0, 1)] for index in same}
    found = {index: pair for index, pair in peaks.items() if all(ratio for ratio, _ in pair)}
    if not found:
        return None
    weights = np.array([pair[0][0] * pair[1][0] for pair in found.values()])
    sizes = float(np.mean([one[1] for pair in found.values() for one in pair]))
    if sizes < 0.75:  # what is missing was small in its part: trimmed by size
        return FactorFit(tuple(found), weights, float("nan"), "ties or magnitude_prune")
    density = 1 - (zeros / total) ** (1 / len(found))
    return FactorFit(tuple(found), weights * density**2, float("nan"), "dare")


def _entries(query: AdapterWeights, one: AdapterWeights, side: int) -> Iterator[tuple[Wide, Wide]]:
    for module in sorted(query.modules):
        mine, theirs = query.factors(module)[side].ravel(), one.factors(module)[side].ravel()
        if mine.any():
            use = theirs != 0
            yield mine[use], theirs[use]


def _zeros(query: AdapterWeights, modules: Sequence[str]) -> tuple[int, int]:
    zeros = total = 0
    for module in modules:
        for factor in query.factors(module):
            if factor.any():  # a factor that is zero altogether was never trained
                zeros += int(np.count_nonzero(factor == 0))
                total += factor.size
    return zeros, total


def _peak(query: AdapterWeights, one: AdapterWeights, side: int) -> tuple[float, float]:
    """(the ratio of the query's entries to this part's that many entries agree on, or 0; how large the part's entries are
    where the query has none, relative to where it has some)."""
    counts: dict[tuple[int, int], int] = {}
    present = missing = 0.0
    filled = empty = 0
    for mine, theirs in _entries(query, one, side):
        there = mine != 0
        ratio = mine[there] / theirs[there]
        keys, numbers = np.unique(
            np.round(np.log(np.abs(ratio)) / BIN).astype(np.int64) * 2 + (ratio > 0), return_counts=True
        )
        for key, number in zip(keys.tolist(), numbers.tolist(), strict=True):
            counts[key // 2, key % 2] = counts.get((key // 2, key % 2), 0) + number
        present += float(np.abs(theirs[there]).sum())
        missing += float(np.abs(theirs[~there]).sum())
        filled += int(there.sum())
        empty += int((~there).sum())
    if not filled:
        return 0.0, 1.0
    place = max(counts, key=lambda key: sum(counts.get((key[0] + step, key[1]), 0) for step in (-1, 0, 1)))
    near = {step: counts.get((place[0] + step, place[1]), 0) for step in (-1, 0, 1)}
    if sum(near.values()) < LEAST_PEAK * filled:
        return 0.0, 1.0
    centre = place[0] + sum(step * number for step, number in near.items()) / sum(near.values())
    size = (missing / empty) / (present / filled) if empty and present else 1.0
    return float(np.exp(centre * BIN)) * (1 if place[1] else -1), size
