"""How much of the latest traffic was judged: the counts since the start hide for hours that judging has stopped.

Cumulative counts are remembered at some moments of the last quarter of an hour; what is told is their difference to now.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

WINDOW_S: Final = 900.0
"""Seconds that are looked back on."""
STEP_S: Final = 5.0
"""Seconds between two moments that are remembered."""
NOT_DUE: Final = frozenset({"unfinished", "repeated", "admin_call"})
"""Reasons of unscored exchanges that carried no answer of their own."""
NOT_TEXT: Final = "other"
"""Endpoint of what generates no text."""


class Judged(NamedTuple):
    """Exchanges of one endpoint."""

    seen: int
    """That passed the proxy and ended."""
    due: int
    """Of these were to be judged: the sampling chose them, or something else than it left them out."""
    scored: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What became of the latest traffic."""

    window_s: float
    """Seconds that it speaks of: less than WINDOW_S right after the start."""
    endpoints: Mapping[str, Judged]
    """Those that had any traffic."""


def judged(
    seen: Mapping[str, int], skipped: Mapping[str, int], unscored: Mapping[str, int], scored: Mapping[str, int]
) -> dict[str, Judged]:
    """Endpoint -> its exchanges. The keys of `skipped` and `unscored` are endpoint and reason, with a blank between them."""
    left_out: Counter[str] = Counter()
    for counts, reasons in ((skipped, {"not_sampled"}), (unscored, NOT_DUE)):
        for key, count in counts.items():
            endpoint, _, reason = key.partition(" ")
            if reason in reasons:
                left_out[endpoint] += count
    return {
        endpoint: Judged(count, count - left_out[endpoint], scored.get(endpoint, 0))
        for endpoint, count in seen.items()
        if endpoint != NOT_TEXT
    }


class RecentCoverage:
    """Remembers counts, and tells their growth."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, Mapping[str, Judged]]] = deque()
        """The oldest first; the first is the one that growth is told from."""
        self._now: tuple[float, Mapping[str, Judged]] = (0.0, {})

    def note(self, now: float, counts: Mapping[str, Judged]) -> None:
        """Take cumulative counts. now: seconds of a clock that is never set back."""
        self._now = now, counts
        if not self._past or now - self._past[-1][0] >= STEP_S:
            self._past.append(self._now)
        while len(self._past) > 1 and now - self._past[1][0] >= WINDOW_S:
            self._past.popleft()

    def coverage(self) -> Coverage | None:
        """Of the latest traffic, None before anything was counted."""
        if not self._past:
            return None
        (begun, before), (now, after) = self._past[0], self._now
        found = {}
        for endpoint, one in after.items():
            old = before.get(endpoint, Judged(0, 0, 0))
            grown = Judged(*(max(0, new - was) for new, was in zip(one, old, strict=True)))
            if grown.seen:
                # What waited when the time began was seen before it: more cannot have been judged than was to be.
                found[endpoint] = grown._replace(scored=min(grown.scored, grown.due))
        return Coverage(now - begun, found)
