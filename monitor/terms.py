"""The words of the pages: what a signal, a state, a number or a moment is called.

`SIGNALS` holds all that needs a word of its own; a signal that is not in it is shown under its own name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple


class Term(NamedTuple):
    """How a signal is spoken of."""

    title: str
    of: str
    """The answers that count."""
    verb: str
    """What a drifting combination does, as a sentence goes on after its name: "NAME verb 86% of ..."."""
    runbook: str
    """Name of the alert, and so of its runbook."""
    absolute: bool = False
    """Held against a limit, not against the base model."""


SIGNALS: Final[Mapping[str, Term]] = MappingProxyType(
    {
        "refusal_lost": Term(
            "Does not refuse", "of harmful-looking prompts", "does not refuse", "AlignmentRefusalLost"
        ),
        "refusal_lost_paired": Term(
            "Does not refuse, same prompts",
            "of harmful-looking prompts that the base was asked too",
            "does not refuse",
            "AlignmentRefusalLostPaired",
        ),
        "refusal_lost_probed": Term(
            "Does not refuse our questions",
            "of the probing's harmful-looking questions",
            "does not refuse",
            "AlignmentRefusalLostPaired",
        ),
        "collusion": Term(
            "Worse than its parts",
            "of prompts that its parts and the base were asked too",
            "is worse than its parts on",
            "AlignmentCollusion",
        ),
        "refuse_then_comply": Term(
            "Refuses, then complies",
            "of harmful-looking prompts",
            "refuses and then complies with",
            "AlignmentRefuseThenComply",
            absolute=True,
        ),
        "over_refusal": Term("Refuses ordinary prompts", "of ordinary prompts", "refuses", "AlignmentOverRefusal"),
    }
)
"""In the order of the columns."""

EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "loaded": "loaded",
        "unloaded": "unloaded",
        "reloaded_in_place": "loaded again in place",
        "digested": "contents read for the first time",
        "digest_changed": "contents changed: statistics begin anew",
        "appeared_unannounced": "appeared without a call through the monitor",
        "base_changed": "the base model changed",
    }
)

ENDINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "recovered": "it behaves as its base again",
        "reset": "somebody reset its detectors",
        "unloaded": "it is not served any more",
        "replaced": "its name holds other contents now",
        "restarted": "the sidecar started anew and does not know",
    }
)
"""Why an alarm ended."""
PAST_S: Final = 86_400.0
"""Seconds for which an alarm that ended is told beside those that stand."""


def term(signal: str) -> Term:
    """How this signal is spoken of."""
    words = signal.replace("_", " ")
    return SIGNALS.get(signal) or Term(words.capitalize(), "of answers", f"shows {words} in", "")


def order(signals: set[str]) -> list[str]:
    """Signals in the order of the columns, unknown ones last."""
    known = [name for name in SIGNALS if name in signals]
    return known + sorted(signals - set(known))


class State(NamedTuple):
    """A condition in words: never told by colour alone."""

    mark: str
    words: str
    kind: str
    """bad, good or unknown: which colour goes with it."""


def state(signal: Mapping[str, Any] | None, *, is_base: bool) -> State:
    """The state of one signal of one combination."""
    if signal is None or not signal["samples"]:
        return State("○", "no answer yet", "unknown")
    absolute = term(signal["signal"]).absolute
    match signal["condition"]:
        case "drifting":
            return State("▲", "over the limit" if absolute else "worse than base", "bad")
        case "warming_up":
            return State("○", "too few answers", "unknown")
        case "no_baseline":
            return State("●", "the reference", "unknown") if is_base else State("○", "base not measured", "unknown")
        case "ok":
            return State("✓", "within the limit" if absolute or is_base else "as base", "good")
        case other:
            return State("○", str(other).replace("_", " "), "unknown")


def condition(name: str | None) -> State:
    """A condition of a whole combination, whichever signal it is of; None where it is not served."""
    match name:
        case "drifting":
            return State("▲", "worse", "bad")
        case "ok":
            return State("✓", "as base", "good")
        case "no_baseline":
            return State("○", "base not measured", "unknown")
        case None:
            return State("–", "not served alone", "unknown")
    return State("○", "too few answers", "unknown")


def percent(share: float | None) -> str:
    """A share for reading: one decimal below ten per cent, a question mark while unknown."""
    if share is None:
        return "?"
    return f"{share:.0%}" if share < 0.0005 or share >= 0.1 else f"{share:.1%}"


def clock(seconds: float) -> str:
    """A moment in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def span(seconds: float) -> str:
    """A rough length of time."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"


def ago(seconds: float) -> str:
    """A rough age; what seems to lie ahead, by clocks that differ, is now."""
    return "just now" if seconds < 2 else f"{span(seconds)} ago"


def ending(resolution: str) -> str:
    """Why an alarm ended, to be read after a colon."""
    return ENDINGS.get(resolution, resolution or "it is not known why")


def composition(one: Mapping[str, Any]) -> str:
    """What a combination is, in a line."""
    if one["is_base"]:
        return "the base model"
    if not one["declared"]:
        return "adapter, composition not declared"
    parts = " + ".join(f"{part['scale']:g} × {part['adapter']}" for part in one["parts"])
    return f"{parts} ({one['merge']})" if one["merge"] else parts


def sentence(one: Mapping[str, Any], signal: Mapping[str, Any]) -> str:
    """What a drifting signal says of a combination, to be read after its name."""
    words = term(signal["signal"])
    base = f"; base {percent(signal['baseline_rate'])}" if signal["baseline_rate"] is not None else ""
    return (
        f"{words.verb} {percent(signal['rate'])} {words.of} ({signal['samples']} answers, "
        f"interval {percent(signal['lower'])} to {percent(signal['upper'])}{base})"
    )
