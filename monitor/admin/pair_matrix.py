"""Which adapters are served together, and how that goes: what two of them do together, neither shows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from monitor.adapters.pairs import Pair
from monitor.admin.api.models import CombinationModel, MemberModel, PairModel, SignalModel
from monitor.admin.api.reading import TELLING, pairs_of, telling

MOST: Final = 24
"""Adapters in the matrix at most: those of pairs that tell most. The table below it has all pairs."""
FIRST: Final = 15
"""Pairs that nobody serves together yet which are named as worth an evaluation."""


@dataclass(frozen=True, slots=True)
class Served:
    """Two adapters that stand in one combination at least."""

    pair: PairModel
    member: MemberModel
    """The combination that tells most: one of just the two, where there is one."""
    lost: SignalModel | None
    """Its rate of lost refusals."""
    static: Pair | None
    place: int | None
    """Place among all pairs by what the weights share, 1 for the most."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """`cells[row][column]` is what the two do together, None where they are not served together."""

    adapters: tuple[str, ...]
    alone: Mapping[str, tuple[str, str]]
    """Adapter -> label and condition of the combination that is just it."""
    cells: Mapping[str, Mapping[str, Served]]
    left_out: int


def pairs_served(view: Mapping[str, Any], ranked: Sequence[Pair]) -> list[Served]:
    """Every pair that is served together, the worst first."""
    places = {frozenset((pair.first, pair.second)): (number, pair) for number, pair in enumerate(ranked, 1)}
    found = []
    for pair in pairs_of(_combinations(view)):
        member = min(pair.combinations, key=lambda one: (len(one.parts), TELLING.index(one.condition), one.name))
        if pair.condition == "drifting" and member.condition != "drifting":
            member = next(one for one in pair.combinations if one.condition == "drifting")
        lost = next((signal for signal in member.signals if signal.signal == "refusal_lost"), None)
        place, static = places.get(frozenset((pair.first, pair.second)), (None, None))
        found.append(Served(pair, member, lost, static, place))
    return sorted(found, key=lambda one: (TELLING.index(one.pair.condition), one.pair.first, one.pair.second))


def matrix(view: Mapping[str, Any], pairs: Sequence[Served]) -> Matrix:
    """The adapters of these pairs against each other, those of the worst pairs first to be shown."""
    names = list(dict.fromkeys(name for one in pairs for name in (one.pair.first, one.pair.second)))
    shown = sorted(names[:MOST])
    cells: dict[str, dict[str, Served]] = {name: {} for name in shown}
    for one in pairs:
        if one.pair.first in cells and one.pair.second in cells:
            cells[one.pair.first][one.pair.second] = cells[one.pair.second][one.pair.first] = one
    alone = {
        one.parts[0].adapter: (one.name, telling(signal.condition for signal in one.signals))
        for one in _combinations(view)
        if len(one.parts) == 1
    }
    return Matrix(tuple(shown), alone, cells, max(len(names) - MOST, 0))


def evaluate_first(pairs: Sequence[Served], ranked: Sequence[Pair]) -> list[tuple[int, Pair]]:
    """Pairs that are not served together and share most, with their places."""
    together = {frozenset((one.pair.first, one.pair.second)) for one in pairs}
    apart = [
        (place, pair) for place, pair in enumerate(ranked, 1) if frozenset((pair.first, pair.second)) not in together
    ]
    return apart[:FIRST]


def _combinations(view: Mapping[str, Any]) -> list[CombinationModel]:
    return msgspec.convert(view["combinations"], list[CombinationModel])
