"""What only all combinations together tell: how much evidence an alarm needs, and whether one cause moved them all.

Over all streams, false alarms are at most (all samples) / (evidence needed), however many streams there are.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

HOUR_S: Final = 3600
HOURS: Final = 24
"""Hours that are looked back on."""
LEAST_TOGETHER: Final = 3
"""Fewer combinations are no fleet: two that drift at once may well have a part in common."""
CALMER: Final = 10.0
"""A common cause ends when the evidence has fallen to this fraction of what it began with."""
ABOVE_START: Final = 10.0
"""New combinations share in a common cause only with so many times the evidence that they were given to begin with."""


class Pace:
    """Samples a day of all combinations, by the hours of the last day that are over."""

    def __init__(self, hours: dict[int, int] | None = None) -> None:
        self.hours = hours or {}
        """Number of the hour since 1970 -> samples in it; at most `HOURS` + 1 of them. What is saved and restored."""

    def count(self, time: float, samples: int) -> bool:
        """Take these samples; whether an hour is over since the ones before. time: Unix seconds."""
        hour, latest = int(time // HOUR_S), max(self.hours, default=None)
        self.hours[hour] = self.hours.get(hour, 0) + samples
        if latest is None or hour <= latest:
            return False
        self.hours = {one: count for one, count in self.hours.items() if one >= hour - HOURS}
        return True

    @property
    def a_day(self) -> float | None:
        """Samples a day; None before an hour is over. Hours without any count, too."""
        if len(self.hours) < 2:
            return None
        now, first = max(self.hours), min(self.hours)
        return (sum(self.hours.values()) - self.hours[now]) * 24 / (now - first)


def share_of_each(combinations: int, needed: float, start: float) -> tuple[int, float]:
    """How many of these combinations must have how much evidence each, for one cause to have moved them all.

    At least half, and at least `LEAST_TOGETHER`, and so much each that the sum reaches `needed`: then the average run
    length to a false alarm is at least `needed`, as for a single stream (a sum of e-SR processes over streams grows by at most
    one a sample on average). A bare sum would do as well for that, but one drifting combination alone would reach it.
    start: evidence that new combinations begin with.
    """
    together = max(LEAST_TOGETHER, -(-combinations // 2))
    return together, max(needed / together, ABOVE_START * start)


class CommonCause:
    """Of one signal: whether at least half of all combinations have moved at once."""

    def __init__(self, *, standing: bool = False, since: float = 0.0) -> None:
        self.standing = standing
        self.since = since
        """Unix seconds when that began or ended last."""

    def look(self, evidence: NDArray[np.float64], combinations: int, needed: float, start: float) -> bool:
        """Whether there is one now. evidence: (N,) of every stream, 0 where there is none; combinations: how many have one."""
        together, each = share_of_each(combinations, needed, start)
        if self.standing:
            each /= CALMER
        return int(np.count_nonzero(evidence >= each)) >= together
