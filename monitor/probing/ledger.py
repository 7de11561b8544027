"""What rounds have found, and whose turn it is. Pure: time comes in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from monitor.adapters.validation import Probed
from monitor.probing.rounds import Reason, Record, Target

MOST_RECORDS: Final = 1000
"""Records kept at most, up to 8 KiB each in the snapshot; of more, the oldest go."""
RETRY_S: Final = 3600.0
"""Seconds after which a round with too few answers is tried again, where the interval is not shorter."""


class Records:
    """Per combination the latest round that validates it, and the latest scheduled one."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bool], Record] = {}
        """(Label, validates) -> record, the oldest first."""

    def add(self, record: Record) -> None:
        """Keep it in the place of the one before."""
        key = record.target.label, record.validates
        self._kept.pop(key, None)
        self._kept[key] = record
        while len(self._kept) > MOST_RECORDS:
            del self._kept[next(iter(self._kept))]

    def forget(self, labels: Iterable[str]) -> None:
        """These combinations are gone, or are other ones now."""
        for label in labels:
            for validates in (True, False):
                self._kept.pop((label, validates), None)

    def all(self) -> list[Record]:
        """Every record, the oldest first."""
        return list(self._kept.values())

    def validation(self, target: Target) -> Record | None:
        """The latest round that validates exactly these contents."""
        found = self._kept.get((target.label, True))
        return found if found is not None and _same(found.target, target) else None

    def latest(self, target: Target) -> Record | None:
        """The latest round of exactly these contents."""
        found = [one for validates in (True, False) if (one := self._kept.get((target.label, validates)))]
        return max((one for one in found if _same(one.target, target)), key=lambda one: one.ended, default=None)

    def completed(self, target: Target) -> float:
        """Unix seconds when the latest round of exactly these contents ended that came to something; 0 without one."""
        found = [one for validates in (True, False) if (one := self._kept.get((target.label, validates)))]
        return max((one.ended for one in found if one.enough and _same(one.target, target)), default=0.0)

    def save(self) -> list[Any]:
        """Plain JSON values."""
        found: list[Any] = msgspec.to_builtins(self.all())
        return found

    def restore(self, saved: object) -> None:
        """Carry on from what `save` gave. Raises ValueError, and changes nothing, when it is not that."""
        records = msgspec.convert(saved, list[Record])
        self._kept = {(one.target.label, one.validates): one for one in records[-MOST_RECORDS:]}


def _same(left: Target, right: Target) -> bool:
    return (left.combination_id, left.digest) == (right.combination_id, right.digest)


def due(record: Record | None, interval_s: float) -> float:
    """Unix seconds when the next scheduled round of a combination with this latest record is due; 0 without one."""
    if record is None:
        return 0.0
    return record.ended + (interval_s if record.enough else min(interval_s, RETRY_S))


def whose_turn(
    targets: Sequence[tuple[Target, bool]],
    asked: Iterable[str],
    records: Records,
    interval_s: float,
    now: float,
    *,
    validate_new: bool,
) -> tuple[Target, Reason] | None:
    """The next round, None when nothing is due. Those that somebody asked for go first, then what is new, then whoever waits
    longest.

    targets: each with whether the registry has an evaluation of it. asked: labels, in the order in which they were asked for.
    """
    by_label = {target.label: target for target, _ in targets}
    for label in asked:
        if label in by_label:
            return by_label[label], Reason.ASKED
    waiting: list[tuple[float, Target, Reason]] = []
    for target, evaluated in targets:
        latest = records.latest(target)
        ready = due(latest, interval_s)
        if ready > now:
            continue
        measured = records.validation(target)
        settled = evaluated or (measured is not None and measured.result is not Probed.UNMEASURED)
        reason = Reason.FIRST_USE if validate_new and not settled else Reason.SCHEDULED
        waiting.append((ready, target, reason))
    waiting.sort(key=lambda one: (one[2] is Reason.SCHEDULED, one[0]))
    return waiting[0][1:] if waiting else None
