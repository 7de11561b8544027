"""How much of an update lies outside of what alignment changed, when the weights before and after it are at hand.

Of each module, V = W_aligned - W_base (Safe LoRA, arXiv 2405.16833). An update D = BA that stays in the columns of V moves the
model along what alignment moved; what lies outside is new. Two figures:

- the share of |D|^2 outside of V's leading `DIRECTIONS` left singular vectors. All columns of a V of full rank would hold every
  update whatever, so only the leading ones are asked, found by subspace iteration;
- Safe LoRA's own: the cosine of D and VV'D, which weighs V's directions by their strength, over modules.

V is made module by module and thrown away; the update itself is never formed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.adapters.weights import AdapterFilesError, AdapterWeights, TensorFile, Wide

DIRECTIONS: Final = 128
"""Leading directions of V that count as its columns; all, where it has fewer."""
STEPS: Final = 2
"""Rounds of subspace iteration."""
NEGLIGIBLE: Final = 1e-6
"""Strength of a direction, relative to the strongest, below which V does not have it: the rounding of float32."""
_INDEX: Final = "model.safetensors.index.json"
_SINGLE: Final = "model.safetensors"


class ModelWeights:
    """The weights of a whole model, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        """Open one file or the shards of an index. Raises AdapterFilesError."""
        self.folder = folder
        self._files: dict[str, TensorFile] = {}
        index = folder / _INDEX
        if not index.exists():
            file = TensorFile(folder / _SINGLE)
            self._files = dict.fromkeys(file.tensors, file)
            return
        try:
            placed = json.loads(index.read_bytes())["weight_map"].items()
            names = {str(tensor): Path(str(file)).name for tensor, file in placed}
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise AdapterFilesError(f"{index}: not an index of safetensors files: {error}") from error
        opened = {name: TensorFile(folder / name) for name in set(names.values())}
        for tensor, name in names.items():
            if tensor not in opened[name].tensors:
                raise AdapterFilesError(f"{folder / name}: {tensor} is missing, which the index says to be there")
            self._files[tensor] = opened[name]

    def has(self, module: str) -> bool:
        """True when it has a weight for this module of an adapter."""
        return f"{module}.weight" in self._files

    def weight(self, module: str) -> NDArray[np.float32]:
        """[outputs, inputs] weight of a module. Raises AdapterFilesError."""
        name = f"{module}.weight"
        try:
            return self._files[name].matrix(name).astype(np.float32, copy=False)
        except KeyError as error:
            raise AdapterFilesError(f"{self.folder}: {name} is missing or stored in a type that is not read") from error


@dataclass(frozen=True, slots=True)
class AlignmentShares:
    """What of a set of updates, and of the sums of two of them, lies outside of the alignment's directions."""

    inside: Wide
    """[modules, adapters, adapters] inner products inside of V's leading directions."""
    whole: Wide
    """The same over all directions."""
    turned: Wide
    """<VV'D1, D2>"""
    stretched: Wide
    """<VV'D1, VV'D2>"""

    def outside(self, *members: int) -> float:
        """Share of the energy of the sum of these updates that lies outside, 0 to 1; NaN when there is none."""
        whole = float(_of_sum(self.whole, members).sum())
        return 1 - float(_of_sum(self.inside, members).sum()) / whole if whole > 0 else float("nan")

    def similarity(self, *members: int) -> float:
        """Safe LoRA's cosine of the sum of these updates, the mean over the modules that they change; NaN for none."""
        energy = _of_sum(self.whole, members) * _of_sum(self.stretched, members)
        changed = _of_sum(self.whole, members) > 0
        cosines = np.divide(_of_sum(self.turned, members), np.sqrt(energy), out=np.zeros_like(energy), where=energy > 0)
        return float(cosines[changed].mean()) if changed.any() else float("nan")


def _of_sum(products: Wide, members: Sequence[int]) -> Wide:
    """[modules] of the sum of the members, rounding below zero left out."""
    found: Wide = np.maximum(products[:, members][:, :, members].sum(axis=(1, 2)), 0.0)
    return found


def alignment_shares(adapters: Sequence[AdapterWeights], base: ModelWeights, aligned: ModelWeights) -> AlignmentShares:
    """Compare updates with what alignment changed. Raises AdapterFilesError when no module is in both models, or shapes differ."""
    modules = sorted(frozenset().union(*(one.modules for one in adapters)))
    known = [module for module in modules if base.has(module) and aligned.has(module)]
    if not known:
        raise AdapterFilesError(
            f"{base.folder} and {aligned.folder} have none of the adapters' modules, such as {modules[0]}"
        )
    size = (len(known), len(adapters), len(adapters))
    shares = AlignmentShares(*(np.zeros(size) for _ in range(4)))
    for at, module in enumerate(known):
        change = _change(module, base, aligned)
        places = [index for index, one in enumerate(adapters) if module in one.modules]
        for index in places:
            if adapters[index].shape(module) != change.shape:
                raise AdapterFilesError(
                    f"{adapters[index].folder}: {module} is not of the shape that {base.folder} has"
                )
        _compare(shares, at, places, [adapters[index].factors(module) for index in places], change)
    return shares


def _change(module: str, base: ModelWeights, aligned: ModelWeights) -> NDArray[np.float32]:
    before, after = base.weight(module), aligned.weight(module)
    if before.shape != after.shape or before.ndim != 2:
        raise AdapterFilesError(f"{base.folder} and {aligned.folder} are not of one model: {module} differs in shape")
    change: NDArray[np.float32] = after - before
    return change


def _compare(
    shares: AlignmentShares, at: int, places: Sequence[int], factors: Sequence[tuple[Wide, Wide]], change: NDArray[Any]
) -> None:
    ranks = [a.shape[0] for a, _ in factors]
    starts = np.concatenate([[0], np.cumsum(ranks)[:-1]]).astype(np.intp)
    a, b = np.concatenate([one for one, _ in factors]), np.concatenate([one for _, one in factors], axis=1)
    rows = a @ a.T
    inside = leading_directions(change).T @ b
    turned = change @ (change.T @ b)
    cells = np.ix_([at], places, places)
    for target, products in (
        (shares.whole, b.T @ b), (shares.inside, inside.T @ inside),
        (shares.turned, turned.T @ b), (shares.stretched, turned.T @ turned),
    ):  # fmt: skip
        target[cells] = np.add.reduceat(np.add.reduceat(rows * products, starts, axis=0), starts, axis=1)


def leading_directions(change: NDArray[Any]) -> Wide:
    """[outputs, at most DIRECTIONS] orthonormal: the leading left singular vectors of V.

    Subspace iteration from fixed random columns (Halko, Martinsson and Tropp 2011, algorithm 4.4); none where nothing changed.
    """
    width = min(DIRECTIONS, *change.shape)
    spanned = change @ np.random.default_rng(0).standard_normal((change.shape[1], width), np.float32)
    for _ in range(STEPS):
        spanned = change @ (change.T @ np.linalg.qr(spanned)[0].astype(np.float32))
    span = np.linalg.qr(spanned.astype(np.float64))[0]
    left, strengths, _ = np.linalg.svd(span.T @ change, full_matrices=False)
    strong = strengths > NEGLIGIBLE * strengths[0] if strengths.size and strengths[0] > 0 else strengths > 0
    found: Wide = span @ left[:, strong]
    return found
