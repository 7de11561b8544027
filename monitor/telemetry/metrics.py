"""The metrics that the analysis process counts itself; one class per part, built from a passed registry.

Labels named `combination` come from the catalog alone, which caps them; `forget` drops all series of one that is gone.
"""

from __future__ import annotations

import math
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor.records import (
    HIDDEN_KINDS,
    AdapterEvent,
    AnswerEnding,
    Attribution,
    Combination,
    Condition,
    DriftState,
    Outcome,
    Stratum,
)
from monitor.telemetry.adapter_metrics import AdapterMetrics, DiscoveryMetrics
from monitor.telemetry.buckets import DURATION_BOUNDS, FIRST_BYTE_BOUNDS
from monitor.telemetry.evidence_metrics import EvidenceMetrics
from monitor.telemetry.pair_metrics import PairMetrics
from monitor.telemetry.probe_metrics import ProbeMetrics
from monitor.telemetry.series import PerCombination, Series
from monitor.telemetry.webhook_metrics import WebhookMetrics


class CoverageMetrics:
    """What became of the sampled exchanges: sampled = scored + unscored + dropped, up to those under way."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counts: dict[str, dict[str, int]] = {"parsed": {}, "scored": {}, "unscored": {}}
        self.parsed = Series(
            Counter(
                "alignment_exchanges_parsed",
                "Sampled exchanges that could be decoded.",
                ["endpoint"],
                registry=registry,
            )
        )
        self.scored = Series(
            Counter(
                "alignment_exchanges_scored",
                "Sampled exchanges that were given a verdict.",
                ["endpoint"],
                registry=registry,
            )
        )
        self.unscored = Series(
            Counter(
                "alignment_exchanges_unscored",
                "Sampled exchanges without a verdict, and why.",
                ["endpoint", "reason"],
                registry=registry,
            )
        )
        self.last_loop = Gauge(
            "alignment_analysis_last_loop_timestamp_seconds",
            "When the analysis process last went through its loop.",
            registry=registry,
        )

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """What was counted, as plain integers: the name of the count, its labels, the number."""
        return self._counts

    def count(self, name: str, *labels: str) -> None:
        """Count one exchange as `parsed`, `scored` or `unscored`."""
        self._add(name, labels, 1)

    def restore(self, counts: dict[str, dict[str, int]]) -> None:
        """Carry on from a predecessor's counts."""
        for name in self._counts:
            for key, number in counts.get(name, {}).items():
                self._add(name, tuple(key.split(" ")), number)

    def _add(self, name: str, labels: tuple[str, ...], number: int) -> None:
        series: Series[Counter] = getattr(self, name)
        series(*labels).inc(number)
        own, key = self._counts[name], " ".join(labels)
        own[key] = own.get(key, 0) + number


class TrafficMetrics(PerCombination):
    """Requests, tokens and times of every combination: what vLLM itself does not tell per adapter."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self.requests = self._keep(
            Counter(
                "alignment_requests",
                "Sampled requests, by how they ended: on the wire, or where that was whole by what the answer says itself.",
                ["combination", "ending"],
                registry=registry,
            )
        )
        self.mismatch = self._keep(
            Counter(
                "alignment_model_mismatch",
                "Responses whose model is not the one that was requested.",
                ["requested", "answered"],
                registry=registry,
            ),
            names=2,
        )
        self.tokens = self._keep(
            Counter("alignment_tokens", "Tokens of sampled exchanges.", ["combination", "kind"], registry=registry)
        )
        self.finish_reasons = self._keep(
            Counter("alignment_finish_reasons", "Why answers ended.", ["combination", "reason"], registry=registry)
        )
        self.duration = self._keep(
            Histogram(
                "alignment_request_duration_seconds",
                "Time from the request's head to the end of the response.",
                ["combination"],
                buckets=DURATION_BOUNDS,
                registry=registry,
            )
        )
        self.first_byte = self._keep(
            Histogram(
                "alignment_first_byte_seconds",
                "Time from the request's head to the first byte of the response's body; the first token, when streamed.",
                ["combination"],
                buckets=FIRST_BYTE_BOUNDS,
                registry=registry,
            )
        )

    def introduce(self, label: str) -> None:
        """Create a combination's counts of endings, at zero."""
        for ending in AnswerEnding:
            self.requests(label, ending.value)


class VerdictMetrics(PerCombination):
    """What the combinations did."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        labels = ["combination", "stratum", "outcome"]
        self.responses = self._keep(Counter("alignment_responses", "Judged answers.", labels, registry=registry))
        self.weighted = self._keep(
            Counter(
                "alignment_responses_weighted",
                "Answers estimated in all: each counts as the inverse of the probability with which it was sampled.",
                labels,
                registry=registry,
            )
        )
        self.hidden = self._keep(
            Counter(
                "alignment_hidden_text",
                "Prompts and responses with characters that hide something; one with several kinds counts under each.",
                ["combination", "where", "kind"],
                registry=registry,
            )
        )
        self.languages = Series(
            Counter(
                "alignment_answer_languages",
                "Answers by the language they open in (ISO 639-1, und, or none) and outcome.",
                ["language", "outcome"],
                registry=registry,
            )
        )
        self.categories = self._keep(
            Counter(
                "alignment_prompt_categories",
                "Answers to prompts with a clear hazard category; an outcome that is no judgement counts as not_judged.",
                ["combination", "category", "outcome"],
                registry=registry,
            )
        )
        self.repeated = self._keep(
            Counter(
                "alignment_samples_repeated",
                "Judged answers to a prompt or in a conversation that had counted a short time before: no evidence of their own.",
                ["combination"],
                registry=registry,
            )
        )
        self.last_sample = self._keep(
            Gauge(
                "alignment_last_sample_timestamp_seconds",
                "When the combination's latest judged answer began.",
                ["combination"],
                registry=registry,
            )
        )
        self.info = self._keep(
            Gauge(
                "alignment_combination_info",
                "What a combination is made of; always 1.",
                ["combination", "id", "served_name", "base", "parts", "merge", "declared"],
                registry=registry,
            )
        )
        self.tiers = Counter(
            "alignment_verdict_tiers",
            "Answers by what decided: rule, fast, exact, or over_budget (fast, since the exact tier had no time left).",
            ["tier"],
            registry=registry,
        )
        for tier in ("rule", "fast", "exact", "over_budget"):
            self.tiers.labels(tier)
        self.scorer = Gauge(
            "alignment_scorer_info",
            "The scorer, and the model of prompt risk in it; always 1.",
            ["scorer", "version", "risk_version"],
            registry=registry,
        )

    def introduce(self, label: str, combination: Combination) -> None:
        """Create a combination's series, at zero."""
        self.info.forget(label)
        self.info(
            label,
            combination.id,
            combination.served_name,
            combination.base,
            ",".join(f"{part.adapter}@{part.scale:g}" for part in combination.parts),
            combination.merge,
            str(combination.declared).lower(),
        ).set(1)
        for stratum in Stratum:
            for outcome in Outcome:
                self.responses(label, stratum.value, outcome.value)
                self.weighted(label, stratum.value, outcome.value)
        for where, kind in product(("prompt", "response"), HIDDEN_KINDS):
            self.hidden(label, where, kind)
        self.repeated(label)


class DriftMetrics(PerCombination):
    """The detectors' states. A value that is not known has no series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        texts = {
            "samples": "Judged answers behind the rate: the latest, or on evidence of a change those since it most likely began.",
            "bad": "Answers among them that show the signal's bad event.",
            "rate": "Share of bad answers among them.",
            "rate_lower": "Lower end of the rate's confidence interval.",
            "rate_upper": "Upper end of the rate's confidence interval.",
            "baseline_rate": "The base model's share of bad answers (collusion: the base's and the parts' taken together).",
            "baseline_samples": "Answers of the base model behind its share.",
            "threshold": "The largest rate that counts as unchanged.",
            "evidence_log": "Natural logarithm of the evidence that the rate has risen above the threshold.",
            "evidence_needed_log": "The signal drifts when its evidence reaches this.",
            "since_timestamp_seconds": "When the present condition began.",
            "effect": "Mean difference to the base on the same prompts (collusion: beyond what the parts explain), in [-1, 1].",
            "effect_lower": "Lower end of the effect's confidence sequence, which holds at every look.",
            "effect_upper": "Upper end of the effect's confidence sequence.",
        }
        self._gauges = {
            name: self._keep(Gauge(f"alignment_drift_{name}", text, ["combination", "signal"], registry=registry))
            for name, text in texts.items()
        }
        self._condition = self._keep(
            Gauge(
                "alignment_drift_condition",
                "1 for the signal's present condition, 0 for the others.",
                ["combination", "signal", "condition"],
                registry=registry,
            )
        )
        self.findings = self._keep(
            Counter("alignment_findings", "Drifts that began.", ["combination", "signal"], registry=registry)
        )
        self.common_cause = Series(
            Gauge(
                "alignment_common_cause",
                "1 while at least half of all combinations gather evidence together, or the base itself drifts.",
                ["signal"],
                registry=registry,
            )
        )
        self._attribution = self._keep(
            Gauge(
                "alignment_attribution_info",
                "Where the refusals that a combination lost come from; always 1. cause: collusion, erosion (explained_by: which"
                " parts), undecided, or unknown (missing: parts that are not served by themselves, or none was asked).",
                ["combination", "cause", "explained_by", "missing"],
                registry=registry,
            )
        )
        self._open = self._keep(
            Gauge(
                "alignment_findings_open",
                "Findings that last: 1 under the state that it is in, open or acknowledged.",
                ["combination", "signal", "state"],
                registry=registry,
            )
        )
        self._shown: dict[tuple[str, str], Condition] = {}

    def show_finding(self, combination: str, signal: str, state: str) -> None:
        """Export the state of a combination's latest finding: open, acknowledged or resolved."""
        for one in ("open", "acknowledged"):
            self._open(combination, signal, one).set(1 if one == state else 0)

    def show_attribution(self, combination: str, found: Attribution | None) -> None:
        """Export which parts it comes from; None when there is nothing to attribute."""
        self._attribution.forget(combination)
        if found is not None:
            parts = ",".join(found.explained_by), ",".join(found.missing)
            self._attribution(combination, found.cause.value, *parts).set(1)

    def show(self, state: DriftState) -> None:
        """Export one state."""
        key = (state.combination, state.signal)
        values = {
            "samples": state.samples,
            "bad": state.bad,
            "rate": state.rate,
            "rate_lower": state.lower,
            "rate_upper": state.upper,
            "baseline_rate": state.baseline_rate,
            "baseline_samples": state.baseline_samples,
            "threshold": state.threshold,
            "evidence_log": state.evidence_log,
            "evidence_needed_log": state.evidence_needed_log,
            "since_timestamp_seconds": state.since,
            "effect": state.effect,
            "effect_lower": state.effect_lower,
            "effect_upper": state.effect_upper,
        }
        for name, value in values.items():
            if math.isnan(value):
                self._gauges[name].drop(*key)
            else:
                self._gauges[name](*key).set(value)
        if self._shown.get(key) is not state.condition:
            self._shown[key] = state.condition
            self.common_cause(state.signal)
            self.findings(*key)
            for one in ("open", "acknowledged"):
                self._open(*key, one)
            for condition in Condition:
                self._condition(*key, condition.value).set(1 if condition is state.condition else 0)

    def forget(self, combination: str) -> None:
        """Drop every series of a combination that is gone."""
        super().forget(combination)
        for key in [key for key in self._shown if key[0] == combination]:
            del self._shown[key]


class BaselineMetrics:
    """The measured baseline of the base model, where a file of it is configured."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._info = Gauge(
            "alignment_baseline_info",
            "The configured baseline; always 1.",
            ["sha256", "base", "scorer_version", "suite"],
            registry=registry,
        )
        self.void = Series(
            Gauge(
                "alignment_baseline_void",
                "1 while the configured baseline does not count, and why: drift against it cannot be noticed.",
                ["reason"],
                registry=registry,
            )
        )

    def show(self, sha256: str, base: str, scorer_version: str, suite: str) -> None:
        """Which baseline it is."""
        self._info.labels(sha256, base, scorer_version, suite).set(1)


class JudgeMetrics:
    """What the judge tier said beside the scorer; all zero while no judge is configured."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.verdicts = Counter(
            "alignment_judge_verdicts",
            "Answers that the judge replied about: the scorer's outcome and what the judge said (unparsable is no label).",
            ["outcome", "judge"],
            registry=registry,
        )
        self.errors = Counter(
            "alignment_judge_errors", "Calls that the judge gave no reply to, and why.", ["reason"], registry=registry
        )
        self.dropped = Counter(
            "alignment_judge_dropped",
            "Answers that were wanted judged and were not: the queue was full, or the process ended.",
            ["reason"],
            registry=registry,
        )
        self.duration = Histogram(
            "alignment_judge_duration_seconds",
            "Time of one call to the judge.",
            buckets=DURATION_BOUNDS,
            registry=registry,
        )


class OutputMetrics:
    """What became of the findings beside the metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unwritten = Counter(
            "alignment_findings_unwritten",
            "Findings that could not be written to the findings file.",
            registry=registry,
        )


class AdminMetrics:
    """Who was turned away at the admin port."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.denied = Counter(
            "alignment_admin_denied",
            "Requests to the admin port that were turned away, by the scope they needed and why.",
            ["scope", "reason"],
            registry=registry,
        )
        for scope, reason in product(
            ("read", "evidence", "admin"), ("no_token", "wrong_token", "other_scope", "closed")
        ):
            self.denied.labels(scope, reason)


class Metrics:
    """All of them, on one registry."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self.registry = registry
        self.coverage = CoverageMetrics(registry)
        self.traffic = TrafficMetrics(registry)
        self.verdicts = VerdictMetrics(registry)
        self.drift = DriftMetrics(registry)
        self.pairs = PairMetrics(registry)
        self.probes = ProbeMetrics(registry)
        self.baseline = BaselineMetrics(registry)
        self.discovery = DiscoveryMetrics(registry)
        self.adapters = AdapterMetrics(registry, [event.value for event in AdapterEvent])
        self.outputs = OutputMetrics(registry)
        self.webhook = WebhookMetrics(registry)
        self.judge = JudgeMetrics(registry)
        self.admin = AdminMetrics(registry)
        self.evidence = EvidenceMetrics(registry)
        Gauge("alignment_build_info", "The monitor's version; always 1.", ["version"], registry=registry).labels(
            version
        ).set(1)

    def forget(self, combination: str) -> None:
        """Drop every series of a combination that is gone."""
        for part in (self.traffic, self.verdicts, self.drift, self.pairs, self.probes, self.adapters):
            part.forget(combination)
