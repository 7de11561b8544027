"""One finding as a thing with a life."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from math import nan
from typing import Any, Final

import msgspec

from monitor.records import Attribution, Condition, DriftState, Finding, Part
from monitor.stats import rate_sequence

ERROR: Final = 0.05
"""Probability that the effect's interval ever misses it."""


class CaseState(StrEnum):
    """How far it is with a finding."""

    OPEN = "open"
    """Nobody said that they look after it."""
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    """The combination behaves as its base again, is gone, or begins anew."""


class Acknowledgement(msgspec.Struct, frozen=True):
    """Somebody looks after it."""

    time: float
    by: str
    note: str = ""


class Numbers(msgspec.Struct, frozen=True):
    """What the detector knew; None where it did not."""

    samples: int
    bad: int
    rate: float | None
    lower: float | None
    upper: float | None
    baseline_rate: float | None
    baseline_samples: int
    threshold: float | None
    evidence_log: float | None
    evidence_needed_log: float | None
    effect: float | None
    """Mean difference on the same prompts; None when unpaired."""
    effect_lower: float | None
    effect_upper: float | None

    @classmethod
    def of(cls, state: DriftState) -> Numbers:
        """Out of a detector's state."""
        values = ((name, getattr(state, name)) for name in cls.__struct_fields__)
        return msgspec.convert(
            {name: None if value != value else value for name, value in values}, cls
        )  # NaN is no number


class Effect(msgspec.Struct, frozen=True):
    """How much larger the bad rate is than the base's, with an interval."""

    difference: float
    lower: float
    upper: float


def effect(numbers: Numbers) -> Effect | None:
    """The mean difference on the same prompts where it is known, else that of both rates; None without a base.

    The interval of the latter is that of the two rates' intervals subtracted from each other, so it is wider than need be and
    holds at every look.
    """
    paired = numbers.effect, numbers.effect_lower, numbers.effect_upper
    if None not in paired:
        return Effect(*(float(one or 0.0) for one in paired))
    known = numbers.rate, numbers.lower, numbers.upper, numbers.baseline_rate
    if None in known or not numbers.baseline_samples:
        return None
    rate, lower, upper, base = (float(one or 0.0) for one in known)
    interval = rate_sequence(round(base * numbers.baseline_samples), numbers.baseline_samples, ERROR)
    return Effect(rate - base, lower - interval.upper, upper - interval.lower)


class Case(msgspec.Struct):
    """A finding and what became of it."""

    id: str
    combination: str
    combination_id: str
    parts: list[Part]
    signal: str
    state: CaseState
    began: float
    """Unix seconds: when the evidence sufficed."""
    changed: float
    """Unix seconds: when the behaviour most likely changed."""
    changed_before: bool
    """It may have changed before that: no earlier answers are remembered."""
    first: Numbers
    """When it began."""
    latest: Numbers
    """With the latest answer while it lasted."""
    scorer: str
    scorer_version: str
    common_cause: bool = False
    """At the same time many others moved too."""
    ended: float | None = None
    resolution: str = ""
    """recovered, reset, unloaded, replaced or restarted; "" while it lasts."""
    categories: dict[str, int] = {}
    """Hazard category -> bad answers since the change; prompts without a clear one count as none."""
    before: list[dict[str, Any]] = []
    """The latest changes of what is loaded that concern it, the newest first."""
    examples: list[str] = []
    """Ids in the evidence store."""
    acknowledged: Acknowledgement | None = None
    attribution: Attribution | None = None
    """Which parts it comes from, as far as is known; None of a single adapter."""

    @property
    def lasts(self) -> bool:
        """It has not ended."""
        return self.state is not CaseState.RESOLVED

    def ending(self) -> Finding:
        """The finding that says that it has ended."""
        known = msgspec.structs.asdict(self.latest)
        numbers: dict[str, Any] = {name: nan if value is None else value for name, value in known.items()}
        state = DriftState(
            combination=self.combination,
            signal=self.signal,
            condition=Condition.WARMING_UP,
            since=self.ended or self.began,
            **numbers,
        )
        return Finding(
            combination=self.combination,
            combination_id=self.combination_id,
            signal=self.signal,
            began=False,
            time=self.ended or self.began,
            state=state,
            scorer=self.scorer,
            scorer_version=self.scorer_version,
            parts=tuple(self.parts),
            common_cause=self.common_cause,
            id=self.id,
            resolution=self.resolution,
            attribution=self.attribution,
        )


def case_id(combination_id: str, combination: str, signal: str, time: float) -> str:
    """16 hex digits; the same for the same recording."""
    return hashlib.sha256(f"{combination_id}\0{combination}\0{signal}\0{time!r}".encode()).hexdigest()[:16]
