"""Alarms as entries of a timeline: when one began, who looked after it, when and why it ended, and how long it stood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monitor import terms
from monitor.findings import Case
from monitor.records import EVERY

Cases = Callable[[], Sequence[Case]]
"""All findings that are kept, those that ended too."""


def entries(cases: Sequence[Case], name: str) -> list[dict[str, Any]]:
    """What was found of one combination, as entries of its timeline."""
    return [entry for case in cases if case.combination == name for entry in _of_case(case)]


def ended(cases: Sequence[Case], now: float) -> list[dict[str, Any]]:
    """The alarms that ended within the last day, the latest first. now: Unix seconds."""
    found = [case for case in cases if case.ended is not None and now - case.ended < terms.PAST_S]
    return [_end(case) for case in sorted(found, key=lambda case: -(case.ended or 0.0))]


def _of_case(case: Case) -> list[dict[str, Any]]:
    told = [_entry(case, case.began, "alarm: ", "", bad=case.lasts)]
    if case.acknowledged:
        told.append(_entry(case, case.acknowledged.time, "alarm acknowledged: ", f"by {case.acknowledged.by}"))
    if case.ended is not None:
        told.append(_end(case))
    return told


def _end(case: Case) -> dict[str, Any]:
    ended_at = case.ended or case.began
    why = f"{terms.ending(case.resolution)}; it stood for {terms.span(max(0.0, ended_at - case.began))}"
    return _entry(case, ended_at, "alarm ended: ", why)


def _entry(case: Case, time: float, what: str, detail: str, *, bad: bool = False) -> dict[str, Any]:
    name = "all combinations together" if case.combination == EVERY else case.combination
    text = f"{what}{terms.term(case.signal).title.lower()}"
    return {"time": time, "name": name, "text": text, "detail": detail, "bad": bad, "of_all": case.combination == EVERY}
