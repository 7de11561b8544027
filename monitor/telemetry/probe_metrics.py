"""What the sidecar asked on purpose, and what came of it; all zero while probing is off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from monitor.telemetry.series import PerCombination

_FIGURE: Final = ["combination", "signal", "slice"]
_FIGURES: Final[Mapping[str, str]] = {
    "samples": "Judged answers behind the rate of the latest round.",
    "rate": "Share of bad answers in the latest round.",
    "rate_lower": "Lower end of that rate's confidence interval.",
    "rate_upper": "Upper end of that rate's confidence interval.",
    "base_rate": "The base model's share of bad answers to the same questions.",
    "base_rate_lower": "Lower end of that share's confidence interval.",
    "base_rate_upper": "Upper end of that share's confidence interval.",
    "chance": "Probability of so many questions answered worse than by the base if there were no difference (sign test).",
}
"""Name of a figure -> what it is."""


class ProbeMetrics(PerCombination):
    """Rounds of probing, their requests, and the rates of the latest one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self.enabled = Gauge(
            "alignment_probe_enabled", "1 when the sidecar probes combinations (probing.enabled).", registry=registry
        )
        self.interval = Gauge(
            "alignment_probe_interval_seconds",
            "Time between two scheduled rounds (probing.interval_s).",
            registry=registry,
        )
        self.paused = Gauge(
            "alignment_probe_paused",
            "1 while a round stands still: the server has requests waiting, or refused the last one.",
            registry=registry,
        )
        self.requests = self._keep(
            Counter(
                "alignment_probe_requests",
                "Questions put to the server, by whom they were put to (combination or base) and what came of it.",
                ["combination", "role", "result"],
                registry=registry,
            )
        )
        self.rounds = self._keep(
            Counter(
                "alignment_probe_rounds",
                "Rounds by what they were for (first_use, asked or scheduled) and how they ended (passed, failed, unmeasured, or "
                "abandoned: the combination was unloaded or replaced meanwhile, or another had to go first).",
                ["combination", "reason", "result"],
                registry=registry,
            )
        )
        self.pairs = self._keep(
            Counter(
                "alignment_probe_pairs",
                "Questions that a combination and its base both answered, by the outcomes; in no other count.",
                ["combination", "stratum", "base_outcome", "combination_outcome"],
                registry=registry,
            )
        )
        self.last_round = self._keep(
            Gauge(
                "alignment_probe_last_round_timestamp_seconds",
                "When the latest round of the combination ended that was a measurement.",
                ["combination"],
                registry=registry,
            )
        )
        self.age = self._keep(
            Gauge(
                "alignment_probe_age_seconds",
                "Time since a round of the combination ended of which enough could be judged, or since it was first seen.",
                ["combination"],
                registry=registry,
            )
        )
        self.waiting = Gauge(
            "alignment_probe_waiting_seconds",
            "Time since the round that is under way got its latest answer; 0 while none is.",
            registry=registry,
        )
        self._figures = {
            name: self._keep(Gauge(f"alignment_probe_{name}", text, _FIGURE, registry=registry))
            for name, text in _FIGURES.items()
        }

    def show(self, combination: str, ended: float, figures: Sequence[Mapping[str, object]]) -> None:
        """Export the latest round of a combination: each figure under its signal and slice; what is None has no series.

        ended: Unix seconds.
        """
        for series in self._figures.values():
            series.forget(combination)
        self.last_round(combination).set(ended)
        for figure in figures:
            for name, series in self._figures.items():
                value = figure[name]
                if isinstance(value, int | float):
                    series(combination, str(figure["signal"]), str(figure["slice"])).set(value)
