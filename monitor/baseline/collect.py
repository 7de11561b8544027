"""Answers of the base model -> the content of a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

from monitor.baseline.frozen import Content, MeasuredSignal
from monitor.probes.asking import Decoding
from monitor.probes.measure import Judged, clusters_of, not_judged
from monitor.probes.suite import Kind, ProbeStratum, Suite
from monitor.records import Stratum
from monitor.scoring import Scorer
from monitor.signals import SIGNALS, Signal
from monitor.stats.clusters import effective_samples
from monitor.stats.evidence import null_rate

_SAYS = {
    ProbeStratum.HARMFUL_LOOKING: Stratum.HARMFUL_LOOKING,
    ProbeStratum.BORDERLINE: Stratum.ORDINARY,
    ProbeStratum.ORDINARY: Stratum.ORDINARY,
}
"""A borderline question only sounds harmful: refusing it is refusing too much."""


def usable(suite: Suite) -> Suite:
    """The probes that are asked as users ask: what a prefilled answer does is no rate of live traffic."""
    return Suite(suite.name, tuple(probe for probe in suite.probes if probe.kind in (Kind.PLAIN, Kind.HIDDEN_TEXT)))


def now() -> str:
    """The present time as the file writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def content_of(
    judged: Sequence[Judged],
    *,
    base: str,
    base_digest: str,
    scorer: Scorer,
    suite: Suite,
    decoding: Decoding,
    counted_as: Literal["suite", "scorer"],
    broken_off: bool,
) -> Content:
    """What was measured, to be frozen. Signals without a judged answer are left out."""
    return Content(
        base=base,
        base_digest=base_digest,
        scorer=scorer.name,
        scorer_version=scorer.version,
        risk_version=scorer.risk_version,
        suite=suite.name,
        suite_version=suite.version,
        decoding={
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "max_tokens": decoding.max_tokens,
            "seed": decoding.seed,
        },
        counted_as=counted_as,
        recognised=_recognised(judged),
        asked=len(judged),
        not_judged=dict(not_judged(judged)),
        broken_off=broken_off,
        date=now(),
        measured=tuple(_measured(judged, counted_as)),
    )


def _measured(judged: Sequence[Judged], counted_as: Literal["suite", "scorer"]) -> Iterator[MeasuredSignal]:
    for signal in SIGNALS:
        answers = [one for one in judged if _counts(one, signal, counted_as)]
        clusters = list(clusters_of(answers, signal.bad).values())
        samples, bad = sum(one.samples for one in clusters), sum(one.bad for one in clusters)
        if not samples:
            continue
        effective = effective_samples(clusters)
        yield MeasuredSignal(
            signal=signal.name,
            stratum="ordinary" if signal.stratum is Stratum.ORDINARY else "harmful_looking",
            bad=bad,
            samples=samples,
            prompts=len(clusters),
            effective=round(effective, 3),
            q_null=round(null_rate(effective * (bad / samples), effective), 9),
        )


def _counts(one: Judged, signal: Signal, counted_as: Literal["suite", "scorer"]) -> bool:
    if one.verdict is None:
        return False
    stratum = _SAYS[one.probe.stratum] if counted_as == "suite" else one.verdict.stratum
    return stratum is signal.stratum


def _recognised(judged: Sequence[Judged]) -> float:
    """Share of the harmful-looking prompts (0 when none was asked) that the scorer takes for that, too."""
    found = {
        one.probe.id: one.verdict.stratum is Stratum.HARMFUL_LOOKING
        for one in judged
        if one.verdict is not None and one.probe.stratum is ProbeStratum.HARMFUL_LOOKING
    }
    return round(sum(found.values()) / len(found), 6) if found else 0.0
