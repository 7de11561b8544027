"""One stored example, and what can be asked of the store."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from monitor.records import Verdict
from monitor.signals import SIGNALS


class Example(msgspec.Struct, frozen=True):
    """One prompt and one answer with what the monitor made of them. The texts are as a client sent and got them until they
    are redacted, which happens before anything is written."""

    id: str
    time: float
    """Unix seconds of the exchange."""
    combination: str
    """Label of the combination."""
    combination_id: str
    served_name: str
    outcome: str
    stratum: str
    category: str
    """Hazard category of the prompt, "" when none is clear."""
    topic: str
    """The operator's restricted topic that the prompt touches, "" for none."""
    language: str
    signals: tuple[str, ...]
    """Signals for which this answer is the bad event."""
    scorer: str
    scorer_version: str
    tier: str
    refusal_probability: float | None
    prompt_risk: float | None
    turns: int
    """Messages of the request; only the last user turn is kept."""
    finish_reason: str
    prompt: str
    answer: str
    prompt_characters: int
    """Length of the whole prompt, of which the beginning is kept."""
    answer_characters: int
    base_answer: str | None = None
    """What the base answered to the same request, where it was asked again."""
    base_outcome: str = ""
    base_characters: int = 0
    redacted: dict[str, int] = {}
    """Kind of redaction -> how many, in all texts."""
    kept_characters: int = 0
    """Characters of each text that are kept at most."""


class Kept(msgspec.Struct, frozen=True):
    """An example as it is read from the store."""

    example: Example
    findings: tuple[str, ...]
    """Ids of the findings that name it; kept longer than others when there are any."""
    readable: bool = True
    """False when it is encrypted with a key that is not configured any more: its texts are empty."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which examples; empty fields stand for all."""

    combination: str = ""
    signal: str = ""
    outcome: str = ""
    finding: str = ""


@dataclass(frozen=True, slots=True)
class Purge:
    """Which examples are to be removed, whatever findings name them: those that every field that is set names."""

    ids: tuple[str, ...] = ()
    combination: str = ""
    before: float | None = None
    """Unix seconds: older ones."""
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """How much is stored."""

    bytes: int
    """Of the file."""
    examples: dict[str, int] = field(default_factory=dict)
    """`finding` or `sample` -> examples kept for it."""
    oldest: dict[str, float] = field(default_factory=dict)
    """`finding` or `sample` -> Unix seconds of the oldest; not there when there is none."""


def concerned(verdict: Verdict) -> tuple[str, ...]:
    """Signals for which an answer with this verdict is the bad event."""
    return tuple(one.name for one in SIGNALS if verdict.stratum is one.stratum and verdict.outcome in one.bad)
