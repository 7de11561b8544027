"""What ours is meant to reach beside the reference, and how far it is from that. Printed, never asserted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import table
from subjects import OURS

PLAIN = "plain c=16"
FLAT_OUT = "stream flat out c=16"
PACED = "stream 64 x 50 tok/s"
_MEMORY_MIB = 400


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit to a ratio."""

    scenario: str
    column: str
    role: str
    at_most: float
    says: str


GOALS = (
    Goal(PLAIN, "CPU us", "worker", 1.25, "CPU of the proxy workers per plain request"),
    Goal(PACED, "CPU us", "worker", 1.0, "CPU of the proxy workers per streamed event"),
    Goal(PLAIN, "first p99", "all", 1.0, "p99 time to the first byte at 16 at a time, plain"),
    Goal(FLAT_OUT, "first p99", "all", 1.0, "p99 time to the first byte at 16 at a time, streamed"),
)


def lines(everything: dict[str, dict[str, table.Rounds]], reference: str) -> list[str]:
    """A line per goal that this run can tell."""
    made = []
    for goal in GOALS:
        results = everything.get(goal.scenario, {})
        if OURS in results and reference in results:
            ratio = table.ratio(goal.column, results[OURS], results[reference], goal.role)
            made.append(_line(f"{goal.says}, to {reference}'s", ratio, goal.at_most, "{:.2f}"))
    resident = [each.memory["all"].rss for results in everything.values() for each in results.get(OURS, [])]
    if resident:
        made.append(_line("resident MiB of all of ours' processes, greatest", max(resident), _MEMORY_MIB, "{:.0f}"))
    return made


def _line(says: str, figure: float, limit: float, form: str) -> str:
    if math.isnan(figure):
        return f"goal: {says}: not measured"
    reached = "reached" if figure <= limit else "NOT reached"
    return f"goal: {says}: {form.format(figure)} (at most {form.format(limit)}): {reached}"
