"""How bad is it? The same severities as the alerts: what pages is critical, what opens a ticket is a warning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import msgspec

from monitor import terms
from monitor.records import Condition
from monitor.status.reading import OVER_REFUSAL, REFUSAL_LOST, CombinationStatus, Reading, SignalStatus

NAMED: Final = 3
"""Names that stand in a sentence at most."""
LEAST_LOSS: Final = 0.05
"""Points of rate between interval and base below which a loss on other prompts is a warning; as in AlignmentRefusalLost."""

LATE_S: Final = 300.0
"""Seconds that a message to the webhook's receiver may wait; as in the alert AlignmentWebhookUndelivered."""


class Level(IntEnum):
    """The exit code of a monitoring check."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong."""

    level: Level
    subject: str
    """A combination's name, or "" for the monitor itself."""
    text: str
    """To be read after the subject."""


def level_of(reasons: list[Reason]) -> Level:
    """The worst of them."""
    return max((reason.level for reason in reasons), default=Level.OK)


def reasons(reading: Reading) -> list[Reason]:
    """Everything that is wrong, the worst first."""
    found = [reason for row in reading.combinations for reason in _of_combination(row)]
    found += _without_baseline(reading.combinations)
    for signal in reading.common_causes:
        text = f"all combinations move together in {signal}: base, scorer or prompts"
        found.append(Reason(Level.WARNING if signal == OVER_REFUSAL else Level.CRITICAL, "", text))
    if not reading.combinations:
        found.append(Reason(Level.WARNING, "", "no model is known yet"))
    found += [Reason(Level.WARNING, "", problem) for problem in reading.problems]
    if not reading.discovery_up:
        found.append(Reason(Level.WARNING, "", "the server's list of models cannot be read"))
    if reading.undelivered_s > LATE_S:
        text = (
            f"the webhook's receiver takes no messages; the oldest has waited for {terms.span(reading.undelivered_s)}"
        )
        found.append(Reason(Level.WARNING, "", text))
    found += [Reason(Level.WARNING, "", text) for text in terms.uncovered(plain(reading.coverage))]
    return sorted(found, key=lambda reason: -reason.level)


def _of_combination(row: CombinationStatus) -> list[Reason]:
    found = []
    for signal in row.drifting:
        level = Level.WARNING if signal.signal == OVER_REFUSAL or _small(signal) else Level.CRITICAL
        since = "" if signal.since is None else f", since {terms.clock(signal.since)} UTC"
        found.append(Reason(level, row.name, terms.sentence(plain(row), plain(signal)) + since))
    if row.attribution is not None and level_of(found) is Level.CRITICAL:
        found.append(Reason(Level.CRITICAL, row.name, f"cause: {row.attribution.sentence}"))
    if row.validation_required and row.requests and row.status in ("unvalidated", "quarantined"):
        found.append(Reason(Level.WARNING, row.name, f"serves users and is {row.status}: {row.status_reason}"))
    if row.status == "failed":
        found.append(Reason(Level.WARNING, row.name, f"failed its validation: {row.status_reason}"))
    return found


def _small(signal: SignalStatus) -> bool:
    """A loss that harder prompts alone may make up."""
    if signal.signal != REFUSAL_LOST or signal.lower is None or signal.baseline_rate is None:
        return False
    return signal.lower - signal.baseline_rate <= LEAST_LOSS


def _without_baseline(rows: Sequence[CombinationStatus]) -> list[Reason]:
    """One reason for all: what is missing is the base's, not theirs."""
    waiting = [
        row.name
        for row in rows
        if not row.is_base and (lost := row.signal(REFUSAL_LOST)) and lost.condition is Condition.NO_BASELINE
    ]
    if not waiting:
        return []
    names = ", ".join(waiting[:NAMED]) + (f" and {len(waiting) - NAMED} more" if len(waiting) > NAMED else "")
    return [Reason(Level.WARNING, "", f"the base model is not measured, so nothing can be said of {names}")]


def headline(reading: Reading) -> str:
    """How many combinations are worse, of how many."""
    others = [row for row in reading.combinations if not row.is_base]
    worse = sum(1 for row in others if row.drifting)
    waiting = sum(
        1 for row in others if not row.drifting and not any(one.condition is Condition.OK for one in row.signals)
    )
    text = f"{worse} of {len(others)} combinations worse than the base model"
    return f"{text}; of {waiting} too little is known yet" if waiting else text


def plain(one: msgspec.Struct) -> Mapping[str, Any]:
    """A struct as `terms` takes it."""
    found: dict[str, Any] = msgspec.to_builtins(one)
    return found
