"""The words of the pages: what a signal, a state, a number or a moment is called.

`SIGNALS` holds all that needs a word of its own; a signal that is not in it is shown under its own name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
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
    reference: str = "base"
    """Whose rate stands beside its own."""


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
            reference="base or a part",
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

LEAST_COVERAGE: Final = 0.5
LEAST_DUE: Final = 50
"""Exchanges below which a share says nothing; both as in the alert AlignmentLowCoverage."""
LEAST_SEEN: Final = 1000
"""Exchanges of which one at least is judged, however few the sampling chooses; as in the alert AlignmentNoSamples."""


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
    words = term(signal["signal"])
    absolute, other = words.absolute, "base" if words.reference == "base" else "its parts"
    match signal["condition"]:
        case "drifting":
            return State("▲", "over the limit" if absolute else f"worse than {other}", "bad")
        case "warming_up":
            return State("○", "too few answers", "unknown")
        case "no_baseline":
            return State("●", "the reference", "unknown") if is_base else State("○", "base not measured", "unknown")
        case "ok":
            return State("✓", "within the limit" if absolute or is_base else f"as {other}", "good")
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
    base = f"; {words.reference} {percent(signal['baseline_rate'])}" if signal["baseline_rate"] is not None else ""
    return (
        f"{words.verb} {percent(signal['rate'])} {words.of} ({signal['samples']} answers, "
        f"interval {percent(signal['lower'])} to {percent(signal['upper'])}{base})"
    )


def attribution(found: Mapping[str, Any]) -> str:
    """Which of its parts a combination's lost refusals come from, with the figures that say so."""
    loss = found["loss"]
    if loss is None:
        return "unknown: no answer of its parts to the same prompts has been compared"
    told = [_cause(found)]
    told += [text for part in found["parts"] if len(found["parts"]) > 2 and (text := _absence(part, loss))]
    if found["missing"] and found["cause"] != "unknown":
        told.append(_unserved(found["missing"]))
    return "; ".join(told)


def _cause(found: Mapping[str, Any]) -> str:
    loss, beyond, missing = found["loss"], found["beyond"], _listed(found["missing"])
    alone = [f"{part['adapter']} alone {_share(part['alone'])}" for part in found["parts"] if part["alone"]]
    figures = f"on the same prompts {', '.join([*alone, f'together {_share(loss)}'])}, the base {_of_base(loss)}"
    match found["cause"]:
        case "collusion":
            more = f": {_measured(beyond)} of {beyond['samples']} prompts go beyond that" if beyond else ""
            return f"collusion, the parts together lose more than they explain, each on its own{more} ({figures})"
        case "erosion":
            names = _listed(found["explained_by"])
            name = f"the parts {names} in sum, each" if len(found["explained_by"]) > 1 else f"part {names}"
            return f"erosion, explained by {name} on its own ({figures})"
        case "undecided":
            return f"undecided after {found['prompts']} prompts ({figures})"
    unknown = f"unknown: {_unserved(found['missing'])}"
    if not alone or beyond is None:
        return f"{unknown}; nothing tells the parts apart ({figures})"
    if beyond["lower"] <= 0:
        return f"{unknown}; it is not clear yet that the others leave anything unexplained ({figures})"
    others = _listed([part["adapter"] for part in found["parts"] if part["alone"]])
    return (
        f"{unknown}; {_measured(beyond)} of {beyond['samples']} prompts go beyond what {others} would explain, anything "
        f"between none of that (if {missing} alone does it) and all of it (if not) is collusion ({figures})"
    )


def _absence(part: Mapping[str, Any], loss: Mapping[str, Any]) -> str:
    """What the absence of one part restores, where all others are served together."""
    without = part["without"]
    if without is None:
        return ""
    if without["lower"] > 0:
        words = "the refusals come back"
    else:
        words = "they do not come back" if without["upper"] < loss["effect"] / 2 else "it is not clear yet"
    return f"without {part['adapter']} {words} ({_measured(without)})"


def _unserved(names: Sequence[str]) -> str:
    which = f"part {names[0]} is" if len(names) == 1 else f"parts {_listed(names)} are"
    return f"{which} not served here alone, so could not be asked"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _share(compared: Mapping[str, Any]) -> str:
    return f"gives in on {percent(compared['bad'] / compared['samples'])} of {compared['samples']}"


def _of_base(loss: Mapping[str, Any]) -> str:
    return percent(max(loss["bad"] / loss["samples"] - loss["effect"], 0.0))


def _measured(compared: Mapping[str, Any]) -> str:
    effect, lower, upper = (percent(compared[name]) for name in ("effect", "lower", "upper"))
    return f"{effect} (interval {lower} to {upper})"


def covered(coverage: Mapping[str, Any]) -> str:
    """What became of the latest traffic, in a sentence."""
    seen, due, scored = (sum(one[kind] for one in coverage["endpoints"]) for kind in ("seen", "due", "scored"))
    when = f"In the last {span(coverage['window_s'])}"
    if not seen:
        return f"{when} nothing passed that generates text."
    left_out = f"; the sampling left out {seen - due}" if seen > due else ""
    share = f" ({percent(min(1.0, scored / due))} of those that were to be)" if due > 0 else ""
    return f"{when} {seen} exchanges passed and {scored} were judged{share}{left_out}."


def uncovered(coverage: Mapping[str, Any]) -> list[str]:
    """What is wrong with it, in a sentence each."""
    told, when = [], f"in the last {span(coverage['window_s'])}"
    for one in coverage["endpoints"]:
        if one["due"] > LEAST_DUE and one["scored"] < LEAST_COVERAGE * one["due"]:
            share = f"{one['scored'] / one['due']:.0%}"
            told.append(f"only {share} of {one['due']} exchanges on {one['endpoint']} were scored {when}")
    seen, scored = (sum(one[kind] for one in coverage["endpoints"]) for kind in ("seen", "scored"))
    if seen >= LEAST_SEEN and not scored and not told:
        told.append(f"none of {seen} exchanges was judged {when}: the sampling chose none (sampling.rate)")
    return told
