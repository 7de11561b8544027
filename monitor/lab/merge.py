"""Merged forms of adapters, computed in float64 from the factors.

A merge is what a real server is asked to serve: several adapters become one, and nothing in the
result says which. `cat` is exact; `linear` and `ties` combine the factors the way PEFT's
`add_weighted_adapter` does, so their product holds cross terms; `svd` is exact at full rank and
looks like a stranger.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.lab.adapter import LoraAdapter
from monitor.lab.tensors import Matrix

Wide = NDArray[np.float64]
Part = tuple[LoraAdapter, float]
"""An adapter and its scale."""

METHODS = ("cat", "linear", "svd", "ties")
TIES_DENSITY = 0.5
"""Share of a factor's entries, the largest, that a ties merge keeps."""


def merge(method: str, parts: Sequence[Part], rank: int | None = None) -> LoraAdapter:
    """Merge the parts; `rank` is for `svd` and defaults to the sum of the parts' ranks."""
    if method not in METHODS:
        raise ValueError(f"unknown merge method {method!r}, known are {', '.join(METHODS)}")
    modules = sorted({module for adapter, _ in parts for module in adapter.factors})
    factors: dict[str, tuple[Matrix, Matrix]] = {}
    for module in modules:
        present = [
            (a.astype(np.float64), b.astype(np.float64), scale)
            for adapter, scale in parts
            for a, b in [adapter.factors[module]]
        ]
        if method == "cat":
            a, b = _cat(present)
        elif method == "svd":
            total = sum(adapter.rank for adapter, _ in parts)
            a, b = _svd(present, rank if rank is not None else total)
        else:
            a, b = _linear(present) if method == "linear" else _ties(present)
        factors[module] = (a.astype(np.float32), b.astype(np.float32))
    return LoraAdapter(factors)


def _cat(parts: Sequence[tuple[Wide, Wide, float]]) -> tuple[Wide, Wide]:
    """Ranks side by side: the product is exactly the weighted sum of the products."""
    a = np.concatenate([a for a, _, _ in parts], axis=0)
    b = np.concatenate([b * scale for _, b, scale in parts], axis=1)
    return a, b


def _svd(parts: Sequence[tuple[Wide, Wide, float]], rank: int) -> tuple[Wide, Wide]:
    """The best factors of the given rank; QR first, so that no full matrix is decomposed."""
    a, b = _cat(parts)
    left, left_core = np.linalg.qr(b)
    right, right_core = np.linalg.qr(a.T)
    u, values, vt = np.linalg.svd(left_core @ right_core.T)
    root = np.sqrt(values[:rank])
    return (root[:, None] * vt[:rank]) @ right.T, left @ (u[:, :rank] * root)


def _rooted(parts: Sequence[tuple[Wide, Wide, float]]) -> tuple[list[Wide], list[Wide]]:
    """Both factors scaled by the root of the weight, its sign on b alone."""
    shapes = {a.shape for a, _, _ in parts}
    if len(shapes) > 1:
        raise ValueError(f"linear and ties merges need parts of one rank, not {sorted(shapes)}")
    roots = [np.sqrt(abs(scale)) for _, _, scale in parts]
    lower = [a * root for (a, _, _), root in zip(parts, roots, strict=True)]
    upper = [b * root * np.sign(s) for (_, b, s), root in zip(parts, roots, strict=True)]
    return lower, upper


def _linear(parts: Sequence[tuple[Wide, Wide, float]]) -> tuple[Wide, Wide]:
    lower, upper = _rooted(parts)
    return np.sum(lower, axis=0), np.sum(upper, axis=0)


def _ties(parts: Sequence[tuple[Wide, Wide, float]]) -> tuple[Wide, Wide]:
    lower, upper = _rooted(parts)
    return _elect(lower), _elect(upper)


def _elect(matrices: Sequence[Wide]) -> Wide:
    """Trim small entries, elect a sign per entry by total mass, average the entries of that sign."""
    trimmed = np.stack([_trim(matrix) for matrix in matrices])
    sign = np.sign(trimmed.sum(axis=0))
    agreeing = np.where(np.sign(trimmed) == sign, trimmed, 0.0)
    voters = np.count_nonzero(agreeing, axis=0)
    result: Wide = agreeing.sum(axis=0) / np.maximum(voters, 1)
    return result


def _trim(matrix: Wide) -> Wide:
    keep = round(matrix.size * TIES_DENSITY)
    threshold = np.sort(np.abs(matrix), axis=None)[-keep] if keep else np.inf
    trimmed: Wide = np.where(np.abs(matrix) >= threshold, matrix, 0.0)
    return trimmed
