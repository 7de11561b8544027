"""The metrics that the analysis process counts itself; one class per part, built from a passed registry.

Labels named `combination` come from the catalog alone, which caps them; `forget` drops all series of one that is gone.
"""

from __future__ import annotations

import math
from typing import Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from monitor.records import Combination, Condition, DriftState, Outcome, Stratum
from monitor.telemetry.buckets import DURATION_BOUNDS, FIRST_BYTE_BOUNDS
from monitor.telemetry.series import Series

M = TypeVar("M", bound=MetricWrapperBase)


class _Forgetful(Protocol):
    def forget(self, first: str) -> None: ...


class _PerCombination:
    """Metrics with a `combination` label, which can be forgotten together."""

    def __init__(self) -> None:
        self._kept: list[_Forgetful] = []

    def _keep(self, metric: M) -> Series[M]:
        series = Series(metric)
        self._kept.append(series)
        return series

    def forget(self, combination: str) -> None:
        """Drop every series of a combination that is gone."""
        for series in self._kept:
            series.forget(combination)


class CoverageMetrics:
    """What became of the sampled exchanges: sampled = scored + unscored + dropped, up to those under way."""

    def __init__(self, registry: CollectorRegistry) -> None:
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
        self.mismatch = Counter(
            "alignment_model_mismatch", "Responses whose model is not the one that was requested.", registry=registry
        )
        self.last_loop = Gauge(
            "alignment_analysis_last_loop_timestamp_seconds",
            "When the analysis process last went through its loop.",
            registry=registry,
        )


class TrafficMetrics(_PerCombination):
    """Requests, tokens and times of every combination: what vLLM itself does not tell per adapter."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self.requests = self._keep(
            Counter("alignment_requests", "Sampled requests.", ["combination", "ending"], registry=registry)
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


class VerdictMetrics(_PerCombination):
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
                "Prompts and responses with suspicious invisible characters.",
                ["combination", "where"],
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
        self.scorer = Gauge("alignment_scorer_info", "The scorer; always 1.", ["scorer", "version"], registry=registry)

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
        for where in ("prompt", "response"):
            self.hidden(label, where)


class DriftMetrics(_PerCombination):
    """The detectors' states. A value that is not known has no series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        texts = {
            "samples": "Judged answers in the window.",
            "bad": "Answers in the window that show the signal's bad event.",
            "rate": "Share of bad answers in the window.",
            "rate_lower": "Lower end of the rate's confidence interval.",
            "rate_upper": "Upper end of the rate's confidence interval.",
            "baseline_rate": "The base model's share of bad answers.",
            "baseline_samples": "Answers of the base model behind its share.",
            "threshold": "The signal drifts when the lower end of its interval exceeds this.",
            "since_timestamp_seconds": "When the present condition began.",
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
        self._shown: dict[tuple[str, str], Condition] = {}

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
            "since_timestamp_seconds": state.since,
        }
        for name, value in values.items():
            if math.isnan(value):
                self._gauges[name].drop(*key)
            else:
                self._gauges[name](*key).set(value)
        if self._shown.get(key) is not state.condition:
            self._shown[key] = state.condition
            self.findings(*key)
            for condition in Condition:
                self._condition(*key, condition.value).set(1 if condition is state.condition else 0)

    def forget(self, combination: str) -> None:
        """Drop every series of a combination that is gone."""
        super().forget(combination)
        for key in [key for key in self._shown if key[0] == combination]:
            del self._shown[key]


class OutputMetrics:
    """What became of the findings beside the metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unwritten = Counter(
            "alignment_findings_unwritten",
            "Findings that could not be written to the findings file.",
            registry=registry,
        )


class DiscoveryMetrics:
    """Whether the server's list of models can be read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge("alignment_discovery_up", "1 when the latest look at /v1/models succeeded.", registry=registry)
        self.last_success = Gauge(
            "alignment_discovery_last_success_timestamp_seconds",
            "When /v1/models was last read.",
            registry=registry,
        )


class Metrics:
    """All of them, on one registry."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self.registry = registry
        self.coverage = CoverageMetrics(registry)
        self.traffic = TrafficMetrics(registry)
        self.verdicts = VerdictMetrics(registry)
        self.drift = DriftMetrics(registry)
        self.discovery = DiscoveryMetrics(registry)
        self.outputs = OutputMetrics(registry)
        Gauge("alignment_build_info", "The monitor's version; always 1.", ["version"], registry=registry).labels(
            version
        ).set(1)

    def forget(self, combination: str) -> None:
        """Drop every series of a combination that is gone."""
        for part in (self.traffic, self.verdicts, self.drift):
            part.forget(combination)
