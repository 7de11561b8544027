"""Inner products of adapters' updates, from their low-rank factors alone, cached by what the adapters hold.

The updates of one module, D1 = B1 A1 and D2 = B2 A2, have the Frobenius inner product tr((B1' B2)(A2 A1')), two products of
rank by rank; the full matrix, thousands of times as large, is never formed. All sums run in double precision.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import zipfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.adapters.weights import AdapterWeights, Wide

log = logging.getLogger(__name__)

BLOCK_BYTES: Final = 64 * 1024 * 1024
"""Factors that are held side by side in double precision at most."""
FORMAT: Final = 1


def inner_products(
    queries: Sequence[AdapterWeights],
    known: Sequence[AdapterWeights],
    modules: Sequence[str],
    precision: type = np.float64,
) -> tuple[Wide, Wide]:
    """([queries, known, modules] products, [known, modules] squares); 0 where one leaves the module alone.

    The queries are of one base model; what does not fit them in shape has nothing in common with them. precision: float32 is
    twice as fast and good to a millionth of the norms, enough to see who is close, not enough to state what is left over.
    """
    products = np.zeros((len(queries), len(known), len(modules)))
    squares = np.zeros((len(known), len(modules)))
    for at, module in enumerate(modules):
        rows = [index for index, one in enumerate(queries) if module in one.modules]
        columns = [index for index, one in enumerate(known) if module in one.modules]
        if not rows or not columns:
            continue
        a, b, starts = _stack([queries[index] for index in rows], module, precision)
        for block in _blocks(columns, known, module):
            other_a, other_b, other_starts = _stack([known[index] for index in block], module, precision)
            squares[block, at] = _squares(other_a, other_b, other_starts)
            if other_a.shape[1] != a.shape[1] or other_b.shape[0] != b.shape[0]:
                continue
            both = (a @ other_a.T) * (b.T @ other_b)
            sums = np.add.reduceat(np.add.reduceat(both, starts, axis=0), other_starts, axis=1)
            products[np.ix_(rows, block, [at])] = sums[:, :, None]
    return products, squares


def _squares(a: NDArray[Any], b: NDArray[Any], starts: NDArray[np.intp]) -> Wide:
    """[adapters] product of each one with itself."""
    found = np.empty(len(starts))
    for at, (begin, end) in enumerate(zip(starts, [*starts[1:], len(a)], strict=True)):
        rows, columns = a[begin:end], b[:, begin:end]
        found[at] = np.vdot(rows @ rows.T, columns.T @ columns)
    return found


def _stack(
    adapters: Sequence[AdapterWeights], module: str, precision: type
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]:
    """The factors side by side: a [all ranks, inputs], b [outputs, all ranks], and where each adapter begins."""
    outputs, inputs = adapters[0].shape(module)
    if any(one.shape(module) != (outputs, inputs) for one in adapters):
        raise ValueError(f"the adapters are not of one base model: {module} differs in shape")
    ends = np.cumsum([one.rank(module) for one in adapters])
    a, b = np.empty((ends[-1], inputs), precision), np.empty((outputs, ends[-1]), precision)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.intp)
    for one, begin, end in zip(adapters, starts, ends, strict=True):
        own_a, own_b, scale = one.stored(module)
        a[begin:end] = own_a
        np.multiply(own_b, scale, out=b[:, begin:end], dtype=precision, casting="same_kind")
    return a, b, starts


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


def _batches(adapters: Sequence[AdapterWeights]) -> Iterable[Sequence[AdapterWeights]]:
    """Groups whose factors of one module, the largest, fit together into the bound."""
    if not adapters:
        return
    widest = max(8 * one.rank(module) * one.width(module) for one in adapters for module in one.modules)
    size = max(1, BLOCK_BYTES // max(1, widest))
    for begin in range(0, len(adapters), size):
        yield adapters[begin : begin + size]


@dataclass(slots=True)
class _Row:
    """What is known of one adapter: its products with others, per module of its own."""

    modules: tuple[str, ...]
    products: dict[str, Wide]
    """Key of the other adapter -> [modules]."""
    cosines: dict[str, float]
    """Key of the other adapter -> how close it is."""


class Gram:
    """Inner products between adapters, each pair computed once; on disk as one file per adapter when a folder is given.

    A new adapter adds one row against those that are there, whatever their number. The files are npz without pickles and
    named by the adapter's digest: contents that changed are another adapter.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._rows: dict[str, _Row] = {}
        self._unwritten = False
        """The latest row could not be written, which was said."""

    def ensure(self, adapters: Sequence[AdapterWeights]) -> None:
        """Compute what is missing between these adapters, which are of one base model."""
        for one in adapters:
            self._load(one.key)
        due = [one for at, one in enumerate(adapters) if not all(self._knows(one.key, j.key) for j in adapters[:at])]
        due += [one for one in adapters if one not in due and not self._knows(one.key, one.key)]
        for batch in _batches(due):
            modules = sorted(frozenset().union(*(one.modules for one in batch)))
            products, _ = inner_products(batch, adapters, modules)
            for one, values in zip(batch, products, strict=True):
                earlier = adapters[: adapters.index(one) + 1]
                self._keep(one, earlier, values[: len(earlier)], modules)

    def cosines(self, one: AdapterWeights, others: Sequence[AdapterWeights]) -> Wide:
        """[others] how close each is to one adapter, over its modules alone: what they do elsewhere does not count."""
        self._load(one.key)
        row = self._row(one)
        missing = [other for other in others if other.key not in row.cosines]
        if missing:
            products, squares = inner_products([one], [*missing, one], row.modules, np.float32)
            scale = np.sqrt(squares[:-1].sum(axis=1) * squares[-1].sum())
            found = np.divide(products[0, :-1].sum(axis=1), scale, out=np.zeros(len(missing)), where=scale > 0)
            row.cosines.update(zip([other.key for other in missing], found.tolist(), strict=True))
            self._save(one.key, row)
        return np.array([row.cosines[other.key] for other in others])

    def forget_except(self, keys: Collection[str]) -> None:
        """Keep what concerns these adapters alone: the others are gone, and would add up."""
        self._rows = {
            key: _Row(
                row.modules,
                {other: products for other, products in row.products.items() if other in keys},
                {other: cosine for other, cosine in row.cosines.items() if other in keys},
            )
            for key, row in self._rows.items()
            if key in keys
        }

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
            first in self._rows and second in self._rows[first].products
            for first, second in ((one, other), (other, one))
        )

    def _keep(
        self, one: AdapterWeights, others: Sequence[AdapterWeights], values: Wide, modules: Sequence[str]
    ) -> None:
        """Add products to a row: values [others, modules], where modules hold all of the adapter's own."""
        if not others:
            return
        row = self._row(one)
        places = {module: index for index, module in enumerate(modules)}
        mine = values[:, [places[module] for module in row.modules]]
        for other, products in zip(others, mine, strict=True):
            if not self._knows(one.key, other.key):
                row.products[other.key] = products
        self._save(one.key, row)

    def _row(self, one: AdapterWeights) -> _Row:
        return self._rows.setdefault(one.key, _Row(tuple(sorted(one.modules)), {}, {}))

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
                cosines = zip((str(other) for other in stored["near"]), stored["cosines"].tolist(), strict=True)
                self._rows[key] = _Row(tuple(str(module) for module in stored["modules"]), products, dict(cosines))

    def _save(self, key: str, row: _Row) -> None:
        path = self._path(key)
        if path is None:
            return
        try:
            self._write(path, key, row)
        except OSError as error:  # it only costs the time to compute it again
            if not self._unwritten:
                log.warning("adapters.cache_folder: %s cannot be written: %s", path.parent, error.strerror or error)
            self._unwritten = True
        else:
            self._unwritten = False

    def _write(self, path: Path, key: str, row: _Row) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f"{path.stem}.{os.getpid()}.half.npz")
        np.savez(
            half,
            key=np.array(key),
            modules=np.array(row.modules),
            others=np.array(list(row.products)),
            products=np.array(list(row.products.values()), np.float64).reshape(len(row.products), len(row.modules)),
            near=np.array(list(row.cosines)),
            cosines=np.array(list(row.cosines.values())),
        )
        half.replace(path)
