"""What is served of a combination's parts: each by itself, and the merges of all of them but one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from monitor.records import Combination, Part


@dataclass(frozen=True, slots=True)
class ServedParts:
    """Whom to ask about a combination's parts."""

    alone: Mapping[str, str] = field(default_factory=dict)
    """Part -> the name under which it is served by itself, at its scale in the merge or a larger one: less of it may do less, and
    what is missing would look like collusion."""
    rests: Mapping[str, str] = field(default_factory=dict)
    """Part -> the name of the merge of all the others, at the same scales and by the same method."""
    missing: tuple[str, ...] = ()
    """Parts that are not served by themselves at such a scale."""

    @property
    def names(self) -> int:
        """Answers that one prompt costs beside the base's."""
        return len(self.alone) + len(self.rests)


def served_parts(whole: Combination, served: Iterable[Combination]) -> ServedParts:
    """What of `whole` is among the served combinations; nothing where it has a single part."""
    if len(whole.parts) < 2:
        return ServedParts()
    known = list(served)
    alone: dict[str, str] = {}
    rests: dict[str, str] = {}
    for number, part in enumerate(whole.parts):
        if name := _alone(part, known):
            alone[part.adapter] = name
        others = whole.parts[:number] + whole.parts[number + 1 :]
        if len(others) > 1 and (name := _merge(others, whole.merge, known)):
            rests[part.adapter] = name
    missing = tuple(part.adapter for part in whole.parts if part.adapter not in alone)
    return ServedParts(alone, rests, missing)


def _alone(part: Part, known: Sequence[Combination]) -> str:
    """Served name of this adapter by itself, at the same scale before any larger one; "" when it is not served."""
    alone = [one for one in known if len(one.parts) == 1 and _same(one.parts[0], part)]
    found = [one for one in alone if 0 < part.scale <= one.parts[0].scale]
    found.sort(key=lambda one: (one.parts[0].scale != part.scale, one.served_name))
    return found[0].served_name if found else ""


def _merge(parts: Sequence[Part], method: str, known: Sequence[Combination]) -> str:
    """Served name of the merge of just these parts; "" when it is not served."""
    for one in known:
        if len(one.parts) != len(parts) or one.merge != method:
            continue
        if all(any(_same(mine, part) and mine.scale == part.scale for mine in one.parts) for part in parts):
            return one.served_name
    return ""


def _same(one: Part, other: Part) -> bool:
    """The same contents where both are known, else the same name."""
    if one.digest and other.digest:
        return one.digest == other.digest
    return one.adapter == other.adapter
