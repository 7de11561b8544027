"""What was asked again of the base and of the parts, and what came of it; all zero while shadow replays are off."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from monitor.telemetry.series import PerCombination, Series

NOT_REPLAYED: Final = (
    "opt_out",
    "tools",
    "media",
    "shape",
    "truncated_copy",
    "unjudged",
    "queue",
    "late",
    "gone",
    "shutdown",
)
"""Why a harmful-looking request that was chosen has no pair, other than a failed call."""


class PairMetrics(PerCombination):
    """Pairs of answers to the same prompt, and the requests that make them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self.pairs = self._keep(
            Counter(
                "alignment_pairs",
                "Prompts that a combination and its base both answered, by the outcomes; recorded answers of the base included.",
                ["combination", "stratum", "base_outcome", "combination_outcome"],
                registry=registry,
            )
        )
        self.requests = self._keep(
            Counter(
                "alignment_shadow_requests",
                "Requests asked again, by whom they were asked of (base, part or rest, all parts but one) and what came of it.",
                ["combination", "role", "result"],
                registry=registry,
            )
        )
        self.share = self._keep(
            Gauge(
                "alignment_shadow_share",
                "Share of the combination's harmful-looking requests that is asked again now.",
                ["combination"],
                registry=registry,
            )
        )
        self.skipped = Series(
            Counter(
                "alignment_shadow_skipped",
                "Requests that were chosen to be asked again and were not, and why.",
                ["reason"],
                registry=registry,
            )
        )
        self.enabled = Gauge(
            "alignment_shadow_enabled", "1 when requests are asked again (shadow.enabled).", registry=registry
        )
        self.paused = Gauge(
            "alignment_shadow_paused",
            "1 while nothing is asked again although something waits: the server has requests waiting, or refused the last one.",
            registry=registry,
        )
        self.loads = Series(
            Counter(
                "alignment_shadow_part_loads",
                "Parts that were to be loaded to be asked alone (shadow.load_parts), and what came of it: ok, denied by the loading"
                " policy, no_files that the monitor has seen, or the server's refusal.",
                ["result"],
                registry=registry,
            )
        )
        self.loaded = Gauge(
            "alignment_shadow_parts_loaded", "Parts that are loaded now to be asked alone.", registry=registry
        )
        for result in ("ok", "denied", "no_files"):
            self.loads(result)
        for reason in NOT_REPLAYED:
            self.skipped(reason)
