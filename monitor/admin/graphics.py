"""Geometry of the pages' small graphics, as numbers for SVG attributes.

Everything that they show stands beside them in words: they are for those who see, and hidden from screen readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from monitor.drift import Point

WIDTH: Final = 200.0
"""Width of a bar, for 0 to 100%."""


class Bar(NamedTuple):
    """An interval on the line from 0 to 100%, with what it is held against; horizontal positions."""

    low: float
    width: float
    rate: float
    base: float | None
    limit: float | None


def bar(signal: Mapping[str, Any]) -> Bar:
    """The bar of a state that has samples."""
    low, high = WIDTH * (signal["lower"] or 0.0), WIDTH * (1.0 if signal["upper"] is None else signal["upper"])
    base, limit = signal["baseline_rate"], signal["threshold"]
    return Bar(
        round(low, 1),
        round(max(2.0, high - low), 1),
        round(WIDTH * signal["rate"], 1),
        None if base is None else round(WIDTH * base, 1),
        None if limit is None else round(WIDTH * min(1.0, limit), 1),
    )


class Line(NamedTuple):
    """A trend: `points` and `band` are lists of coordinates; y grows downwards, from 100% to 0%."""

    width: float
    height: float
    points: str
    band: str
    """Outline of the intervals."""
    end: tuple[float, float]
    base: float | None
    limit: float | None
    seconds: float
    """Length of time from the first to the last point."""
    first: Point
    last: Point


def line(points: Sequence[Point], signal: Mapping[str, Any], width: float, height: float) -> Line | None:
    """The trend over time; None for fewer than two points."""
    if len(points) < 2:
        return None
    begin, length = points[0].time, max(points[-1].time - points[0].time, 1e-9)
    known = [one for one in points if one.rate == one.rate]
    if len(known) < 2:
        return None

    def x(point: Point) -> float:
        return round(width * (point.time - begin) / length, 1)

    def y(share: float) -> float:
        return round(height * (1 - min(max(share, 0.0), 1.0)), 1)

    sure = [one for one in known if one.lower == one.lower and one.upper == one.upper]
    outline = [(x(one), y(one.upper)) for one in sure] + [(x(one), y(one.lower)) for one in reversed(sure)]
    base, limit = signal["baseline_rate"], signal["threshold"]
    return Line(
        width,
        height,
        _coordinates([(x(one), y(one.rate)) for one in known]),
        _coordinates(outline),
        (x(known[-1]), y(known[-1].rate)),
        None if base is None else y(base),
        None if limit is None else y(limit),
        length,
        known[0],
        known[-1],
    )


def evidence_share(signal: Mapping[str, Any]) -> float | None:
    """How much of the evidence that an alarm needs is there, 0 to 1 on the logarithm's scale; None without any."""
    evidence, needed = signal.get("evidence_log"), signal.get("evidence_needed_log")
    if evidence is None or not needed:
        return None
    return float(min(max(evidence / needed, 0.0), 1.0))


def _coordinates(found: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in found)
