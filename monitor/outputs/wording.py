"""What a message says of a finding: the same sentences as the annotations of the alert about it.

The alert rules write them as templates that Prometheus fills from the metrics, here they are filled from the finding; a test
holds the two to each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from monitor import terms
from monitor.findings import Case
from monitor.records import EVERY, Attribution

COMMON_CAUSE: Final = "AlignmentCommonCause"
EVENTS_NAMED: Final = 3
"""Changes of what is loaded that a message names, as in the alerts."""
UNKNOWN: Final = "unknown"


class Words(NamedTuple):
    """The sentences about one signal."""

    summary: str
    rate: str
    """What was counted, how often, and of how many."""
    base: str
    """What it is held against."""


_INTERVAL: Final = "(interval {rate_lower} to {rate_upper})."
_BASE: Final = "Base model: {baseline_rate} of {baseline_samples}."
_SAME_PROMPTS: Final = Words(
    "{combination} gives what its base model refuses, on the same prompts",
    "Combination {combination}: {rate} of {samples} prompts that were asked of it and of its base model were not refused by it "
    + _INTERVAL,
    "Base model, on the same prompts: {baseline_rate} of {baseline_samples}. Difference: {effect} (interval {effect_lower} to "
    "{effect_upper}; tolerance 2% by default).",
)

WORDS: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "refusal_lost": Words(
            "{combination} no longer refuses what its base model refuses",
            "Combination {combination}: {rate} of {samples} judged answers to harmful-looking prompts were not refusals "
            + _INTERVAL,
            _BASE + " Threshold: {threshold}.",
        ),
        "refusal_lost_paired": _SAME_PROMPTS,
        "refusal_lost_probed": _SAME_PROMPTS,
        "collusion": Words(
            "The parts of {combination} lose refusals together that none of them loses alone",
            "Combination {combination}: on {samples} prompts that were asked of the base model, of each part and of the whole, "
            "{rate} were not refused by the whole " + _INTERVAL,
            "Base or a part: {baseline_rate} of {baseline_samples}. Beyond what the parts explain: {effect} (interval "
            "{effect_lower} to {effect_upper}).",
        ),
        "refuse_then_comply": Words(
            "{combination} refuses in words and then complies",
            "Combination {combination}: {rate} of {samples} judged answers to harmful-looking prompts opened with a refusal and "
            "then gave what was asked " + _INTERVAL,
            _BASE + " Limit: {threshold}.",
        ),
        "over_refusal": Words(
            "{combination} refuses ordinary requests more than its base model",
            "Combination {combination}: {rate} of {samples} judged answers to ordinary prompts were refusals "
            + _INTERVAL,
            _BASE + " Threshold: {threshold}.",
        ),
    }
)
_OTHER: Final = Words(
    "{combination} behaves worse than its base model ({signal})",
    "Combination {combination}: {rate} of {samples} answers show {signal} " + _INTERVAL,
    _BASE + " Threshold: {threshold}.",
)
_ALL_SUMMARY: Final = "Most combinations at {instance} move together ({signal}): base, scorer or prompts"
_ALL_REFUSE: Final = "Most combinations at {instance} refuse ordinary requests more: base, scorer or prompts"
_ALL: Final = "The combinations of sidecar {instance} gather evidence for {signal} together, or its base does."
_SINCE: Final = "Since {since_timestamp_seconds}."
_EVIDENCE: Final = (
    "Evidence: 10^{evidence_log}, an alarm needs 10^{evidence_needed_log} (false alarms are that many answers apart)."
)


def alert_of(case: Case) -> str:
    """Name of the alert about it, and so of its runbook; "" for none."""
    return COMMON_CAUSE if case.combination == EVERY else terms.term(case.signal).runbook


def summary(case: Case, instance: str) -> str:
    """One sentence."""
    if case.combination == EVERY:
        return (_ALL_REFUSE if case.signal == "over_refusal" else _ALL_SUMMARY).format(
            instance=instance, signal=case.signal
        )
    return WORDS.get(case.signal, _OTHER).summary.format(combination=case.combination, signal=case.signal)


def description(case: Case, others: Sequence[Case], instance: str) -> str:
    """Samples, rate, interval, base, since when, how sure, and what else drifts. others: further findings of the combination."""
    figures = _figures(case) | {"instance": instance}
    if case.combination == EVERY:
        return f"{_ALL} {_SINCE}".format(**figures)
    words = WORDS.get(case.signal, _OTHER)
    told = [words.rate, words.base, _SINCE]
    if case.latest.evidence_log is not None:
        told.append(_EVIDENCE)
    found = [one.format(**figures) for one in told]
    if others:
        found.append(f"Also drifting: {', '.join(_also(one.signal) for one in others)}.")
    if case.attribution is not None:
        found.append(_cause(case.attribution))
    return f"{' '.join(found)} Sidecar {instance}."


def changes(case: Case) -> str:
    """What was loaded and replaced before it."""
    if not case.before:
        return "The sidecar has noticed no change of what its server has loaded."
    named = (
        f"{event.get('name', '?')} {terms.EVENTS.get(str(event.get('kind')), event.get('kind'))} {_moment(event.get('time'))}"
        for event in case.before[:EVENTS_NAMED]
    )
    return f"Latest changes of what its server has loaded: {'; '.join(named)}."


def action(case: Case, served_name: str) -> str:
    """What to do at once; "" where the runbook has to be read first."""
    if case.combination == EVERY or case.signal == "over_refusal":
        return ""
    if not case.parts:
        return f"Stop routing users to {served_name}. Then the runbook."
    return (
        f"Stop routing users to {served_name}, or unload it (POST /v1/unload_lora_adapter with lora_name {served_name}); keep its "
        "files and digests. Then the runbook."
    )


def _cause(found: Attribution) -> str:
    """Which parts it comes from."""
    by = f" by {','.join(found.explained_by)} alone" if found.explained_by else ""
    missing = f", not served alone: {','.join(found.missing)}" if found.missing else ""
    return f"Cause: {found.cause.value}{by}{missing}."


def _also(signal: str) -> str:
    return f"{signal} (its parts alone do not do it)" if signal == "collusion" else signal


def _figures(case: Case) -> dict[str, str]:
    numbers = case.latest
    shares = {
        "rate": numbers.rate,
        "rate_lower": numbers.lower,
        "rate_upper": numbers.upper,
        "baseline_rate": numbers.baseline_rate,
        "threshold": numbers.threshold,
        "effect": numbers.effect,
        "effect_lower": numbers.effect_lower,
        "effect_upper": numbers.effect_upper,
    }
    powers = {"evidence_log": numbers.evidence_log, "evidence_needed_log": numbers.evidence_needed_log}
    return {
        "combination": case.combination,
        "signal": case.signal,
        "samples": str(numbers.samples),
        "baseline_samples": str(numbers.baseline_samples),
        "since_timestamp_seconds": _moment(case.began),
        **{name: UNKNOWN if share is None else f"{100 * share:.4g}%" for name, share in shares.items()},
        **{name: UNKNOWN if log is None else f"{log / math.log(10):.1f}" for name, log in powers.items()},
    }


def _moment(seconds: Any) -> str:
    return f"{terms.clock(seconds)} UTC" if isinstance(seconds, int | float) else UNKNOWN
