"""Inner products of adapters' updates, from their low-rank factors alone, cached by what the adapters hold.

The updates of one module, D1 = B1 A1 and D2 = B2 A2, have the Frobenius inner product tr((B1' B2)(A2 A1')), two products of
rank by rank; the full matrix, thousands of times as large, is never formed. All sums run in double precision.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.adapters.weights import AdapterWeights, Wide

BLOCK_BYTES: Final = 64 * 1024 * 1024
"""Factors that are held side by side in double precision at most."""
FORMAT: Final = 1


def inner_products(
    queries: Sequence[AdapterWeights], known: Sequence[AdapterWeights], modules: Sequence[str]
) -> Wide:
    """[queries, known, modules]; 0 where one of the two leaves the module alone."""
    products = np.zeros((len(queries), len(known), len(modules)))
    for at, module in enumerate(modules):
        rows = [index for index, one in enumerate(queries) if module in one.modules]
        columns = [index for index, one in enumerate(known) if module in one.modules]
        if not rows or not columns:
            continue
        a, b, starts = _stack([queries[index] for index in rows], module)
        for block in _blocks(columns, known, module):
            other_a, other_b, other_starts = _stack([known[index] for index in block], module)
            if other_a.shape[1] != a.shape[1] or other_b.shape[0] != b.shape[0]:
                continue  # of another base model: they have nothing in common
            both = (a @ other_a.T) * (b.T @ other_b)
            sums = np.add.reduceat(np.add.reduceat(both, starts, axis=0), other_starts, axis=1)
            products[np.ix_(rows, block, [at])] = sums[:, :, None]
    return products


def _stack(adapters: Sequence[AdapterWeights], module: str) -> tuple[Wide, Wide, NDArray[np.intp]]:
    """The factors side by side: a [all ranks, inputs], b [outputs, all ranks], and where each adapter begins."""
    shape = adapters[0].shape(module)
    factors = [one.factors(module) for one in adapters if one.shape(module) == shape]
    if len(factors) < len(adapters):
        raise ValueError(f"the adapters are not of one base model: {module} differs in shape")
    ranks = [a.shape[0] for a, _ in factors]
    starts = np.concatenate([[0], np.cumsum(ranks)[:-1]]).astype(np.intp)
    return np.concatenate([a for a, _ in factors]), np.concatenate([b for _, b in factors], axis=1), starts


def _blocks(columns: Sequence[int], known: Sequence[AdapterWeights], module: str) -> Iterable[list[int]]:
    """Groups of adapters of one shape whose factors fit together into the bound."""
    block: list[int] = []
    size = 0
    shape = (0, 0)
    for index in columns:
        one = known[index]
        bytes_ = 8 * one.rank(module) * one.width(module)
        if block and (size + bytes_ > BLOCK_BYTES or one.shape(module) != shape):
            yield block
            block, size = [], 0
        block.append(index)
        size += bytes_
        shape = one.shape(module)
    if block:
        yield block


@dataclass(slots=True)
class _Row:
    """What is known of one adapter: its products with others, per module of its own."""

    modules: tuple[str, ...]
    products: dict[str, Wide]
    """Key of the other adapter -> [modules]."""


class Gram:
    """Inner products between adapters, each pair computed once; on disk as one file per adapter when a folder is given.

    A new adapter adds one row against those that are there, whatever their number. The files are npz without pickles and
    named by the adapter's digest: contents that changed are another adapter.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._rows: dict[str, _Row] = {}

    def ensure(self, adapters: Sequence[AdapterWeights]) -> None:
        """Compute what is missing between these adapters."""
        for one in adapters:
            self._load(one.key)
        for index, one in enumerate(adapters):
            self._grow(one, adapters[: index + 1])

    def compare(self, one: AdapterWeights, others: Sequence[AdapterWeights]) -> None:
        """Compute what is missing between one adapter and others, and each one's product with itself."""
        for adapter in (one, *others):
            self._load(adapter.key)
        self._grow(one, [one, *others])
        for other in others:
            self._grow(other, [other])

    def product(self, one: AdapterWeights, other: AdapterWeights, modules: frozenset[str] | None = None) -> float:
        """Inner product of two adapters that were compared, over all modules or over these."""
        return float(self.by_module(one, other, sorted(modules or one.modules)).sum())

    def by_module(self, one: AdapterWeights, other: AdapterWeights, modules: Sequence[str]) -> Wide:
        """[modules] inner products of two adapters that were compared."""
        row, values = self._find(one.key, other.key)
        places = {module: index for index, module in enumerate(row.modules)}
        return np.array([values[places[module]] if module in places else 0.0 for module in modules])

    def matrix(self, adapters: Sequence[AdapterWeights], modules: frozenset[str]) -> Wide:
        """[adapters, adapters] inner products over these modules."""
        size = len(adapters)
        values = np.zeros((size, size))
        for i, one in enumerate(adapters):
            for j in range(i + 1):
                row, products = self._find(one.key, adapters[j].key)
                if modules.issuperset(row.modules):
                    values[i, j] = values[j, i] = products.sum()
                else:
                    mask = [index for index, module in enumerate(row.modules) if module in modules]
                    values[i, j] = values[j, i] = products[mask].sum()
        return values

    def _find(self, one: str, other: str) -> tuple[_Row, Wide]:
        row = self._rows[one]
        if other in row.products:
            return row, row.products[other]
        row = self._rows[other]
        return row, row.products[one]

    def _knows(self, one: str, other: str) -> bool:
        return any(
            first in self._rows and second in self._rows[first].products for first, second in ((one, other), (other, one))
        )

    def _grow(self, one: AdapterWeights, others: Sequence[AdapterWeights]) -> None:
        missing = [other for other in others if not self._knows(one.key, other.key)]
        if not missing:
            return
        row = self._rows.setdefault(one.key, _Row(tuple(sorted(one.modules)), {}))
        values = inner_products([one], missing, row.modules)[0]
        for other, products in zip(missing, values, strict=True):
            row.products[other.key] = products
        self._save(one.key, row)

    def _path(self, key: str) -> Path | None:
        if self._folder is None:
            return None
        return self._folder / f"{hashlib.sha256(f'{FORMAT}:{key}'.encode()).hexdigest()[:32]}.npz"

    def _load(self, key: str) -> None:
        path = self._path(key)
        if path is None or key in self._rows:
            return
        # A file that is not there, or damaged, only costs the time to compute it again.
        damaged = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
        with contextlib.suppress(*damaged), np.load(path, allow_pickle=False) as stored:
            if str(stored["key"]) == key:
                others = [str(other) for other in stored["others"]]
                products = dict(zip(others, np.asarray(stored["products"], np.float64), strict=True))
                self._rows[key] = _Row(tuple(str(module) for module in stored["modules"]), products)

    def _save(self, key: str, row: _Row) -> None:
        path = self._path(key)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f"{path.stem}.{os.getpid()}.half.npz")
        np.savez(
            half,
            key=np.array(key),
            modules=np.array(row.modules),
            others=np.array(list(row.products)),
            products=np.stack(list(row.products.values())),
        )
        half.replace(path)
