"""How a combination's rate and evidence came to be what they are: a short, bounded history for people to look at.

Nothing is decided by it. It begins fine and gets coarser as it grows, so that a combination of two minutes shows its two
minutes, and one of days its latest hours.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from math import nan
from typing import Any, Final, NamedTuple

import msgspec

from monitor.records import DriftState

POINTS: Final = 64
"""Points kept of one combination under one signal, 24 bytes each."""
FINEST_S: Final = 1.0
COARSEST_S: Final = 256.0
"""Seconds between two points: doubled whenever all points are taken, until there are some four hours of them."""
PARTS: Final = 10_000
"""Saved rates are whole numbers of so many parts: a snapshot is written every few seconds."""


class Point(NamedTuple):
    """What was known at one moment."""

    time: float
    """Unix seconds."""
    rate: float
    lower: float
    """Lower end of the rate's interval."""
    upper: float
    evidence_log: float
    """NaN without any."""


class _SavedTrend(msgspec.Struct, array_like=True):
    step: float
    times: list[int]
    rates: list[int | None]
    lowers: list[int | None]
    uppers: list[int | None]
    evidence: list[float | None]


class Trend:
    """The history of one combination under one signal."""

    __slots__ = ("_evidence", "_lowers", "_rates", "_step", "_times", "_uppers")

    def __init__(self) -> None:
        self._step = FINEST_S
        self._times = array("d")
        self._rates, self._lowers, self._uppers, self._evidence = (array("f") for _ in range(4))

    def note(self, state: DriftState, time: float) -> None:
        """Take in a state as it is at `time`, Unix seconds; within a step the latest counts."""
        values = state.rate, state.lower, state.upper, state.evidence_log
        if self._times and time - self._times[-1] < self._step:
            for column, value in zip(self._columns, values, strict=True):
                column[-1] = value
            return
        self._times.append(time)
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        if len(self._times) > POINTS:
            self._thin()

    @property
    def points(self) -> list[Point]:
        """The oldest first."""
        return [Point(*one) for one in zip(self._times, *self._columns, strict=True)]

    def save(self) -> list[Any]:
        """What `restored` takes, as plain JSON values."""
        rates = [
            [None if value != value else round(value * PARTS) for value in one]
            for one in (self._rates, self._lowers, self._uppers)
        ]
        evidence = [None if value != value else round(value, 2) for value in self._evidence]
        return [self._step, [round(time) for time in self._times], *rates, evidence]

    @classmethod
    def restored(cls, saved: _SavedTrend) -> Trend:
        """Carry on. Raises ValueError when the columns are not of one length."""
        trend = cls()
        trend._step = saved.step
        trend._times = array("d", saved.times)
        shares = (saved.rates, saved.lowers, saved.uppers)
        trend._rates, trend._lowers, trend._uppers = (
            array("f", [nan if value is None else value / PARTS for value in one]) for one in shares
        )
        trend._evidence = array("f", [nan if value is None else value for value in saved.evidence])
        if any(len(column) != len(saved.times) for column in trend._columns) or len(saved.times) > POINTS:
            raise ValueError("a trend's columns are not of one length")
        return trend

    @property
    def _columns(self) -> tuple[array[float], array[float], array[float], array[float]]:
        return self._rates, self._lowers, self._uppers, self._evidence

    def _thin(self) -> None:
        """Every second point goes; at the coarsest only the oldest. The newest always stays."""
        if self._step < COARSEST_S:
            self._step *= 2
            kept = slice(None, None, 2)
        else:
            kept = slice(1, None)
        self._times = self._times[kept]
        self._rates, self._lowers, self._uppers, self._evidence = (column[kept] for column in self._columns)


class Trends:
    """The histories of all combinations; as many as the detectors have states."""

    def __init__(self) -> None:
        self._trends: dict[str, dict[str, Trend]] = {}
        """Combination -> signal -> its history."""

    def note(self, state: DriftState, time: float) -> None:
        """Take in a state as it is at `time`, Unix seconds."""
        if state.samples:
            signals = self._trends.setdefault(state.combination, {})
            trend = signals.get(state.signal)
            if trend is None:
                trend = signals[state.signal] = Trend()
            trend.note(state, time)

    def of(self, combination: str) -> Mapping[str, Sequence[Point]]:
        """Signal -> its points, the oldest first."""
        return {signal: trend.points for signal, trend in self._trends.get(combination, {}).items()}

    def forget(self, combination: str) -> None:
        """Drop a combination; unknown ones are no error."""
        self._trends.pop(combination, None)

    def save(self) -> dict[str, Any]:
        """What `restore` takes, as plain JSON values."""
        return {
            name: {signal: trend.save() for signal, trend in signals.items()} for name, signals in self._trends.items()
        }

    def restore(self, state: object) -> None:
        """Carry on from what `save` gave. Raises ValueError, and changes nothing, when it is not that."""
        saved = msgspec.convert(state, dict[str, dict[str, _SavedTrend]])
        self._trends = {
            name: {signal: Trend.restored(one) for signal, one in signals.items()} for name, signals in saved.items()
        }
