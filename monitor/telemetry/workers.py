"""The proxy workers' counts as metrics.

Workers report cumulative counts; what a worker counted before it was started again is kept and added, so that the exported
counters never fall while the analysis process lives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.telemetry.buckets import ADDED_LATENCY_BOUNDS
from monitor.telemetry.counts import MAX_BLOCKED, SupervisorReport, WorkerReport

DROPPED: Final = (
    "queue_full", "queue_bytes", "too_large", "channel_error", "shutdown", "fragment_lost", "damaged",
    "analysis_died",
)  # fmt: skip
"""Why sampled exchanges do not reach the scorer."""
_COUNTED: Final = ("seen", "sampled", "skipped", "dropped", "endings", "responses", "rejected", "denied", "blocked")
_NAMES: Final = {
    "seen": ("alignment_exchanges_seen", "Exchanges that passed the proxy and ended.", ("endpoint",)),
    "sampled": ("alignment_exchanges_sampled", "Exchanges chosen to be scored.", ("endpoint",)),
    "skipped": ("alignment_exchanges_skipped", "Exchanges not chosen to be scored, and why.", ("endpoint", "reason")),
    "dropped": ("alignment_exchanges_dropped", "Chosen exchanges lost on their way to the scorer.", ("reason",)),
    "endings": ("alignment_proxy_endings", "How exchanges ended on the wire.", ("ending",)),
    "responses": ("alignment_proxy_responses", "Responses by class of their status.", ("code",)),
    "rejected": ("alignment_proxy_errors", "Requests that the proxy itself answered with an error.", ("kind",)),
    "denied": (
        "alignment_routes_denied",
        "Requests for routes of the server that the proxy does not pass.",
        ("route",),
    ),
    "blocked": (
        "alignment_requests_blocked",
        "Requests that the policy kept from the server (adapters.enforcement), and why.",
        ("reason", "combination"),
    ),
}


_GAUGES: Final = {
    "connections": ("alignment_proxy_connections", "Client connections open now."),
    "queue_exchanges": ("alignment_handoff_depth_exchanges", "Exchanges that wait for the analysis process."),
    "queue_bytes": ("alignment_handoff_depth_bytes", "Bytes that wait for the analysis process."),
}


class WorkerMetrics(Collector):
    """All workers' counts, summed over the workers that run and those before them."""

    labels: Final[dict[str, list[str]]] = {
        **{metric: list(labels) for metric, _, labels in _NAMES.values()},
        **{metric: ["worker"] for metric, _ in _GAUGES.values()},
        "alignment_proxy_added_latency_seconds": [],
        "alignment_process_restarts": ["process"],
    }
    """Metric -> names of its labels."""

    def __init__(
        self,
        registry: CollectorRegistry,
        endpoints: tuple[str, ...],
        endings: tuple[str, ...],
        workers: int = 1,
        routes: tuple[str, ...] = (),
    ) -> None:
        """endpoints, endings, routes: labels that exist from the start, at zero; workers: how many must have reported."""
        self._workers = workers
        self._current: dict[int, WorkerReport] = {}
        self._past: dict[str, Counter[str]] = {name: Counter() for name in _COUNTED}
        self._past["seen"].update(dict.fromkeys(endpoints, 0))
        self._past["sampled"].update(dict.fromkeys(endpoints, 0))
        self._past["endings"].update(dict.fromkeys(endings, 0))
        self._past["dropped"].update(dict.fromkeys(DROPPED, 0))
        self._past["denied"].update(dict.fromkeys(routes, 0))
        self._past_buckets = [0] * (len(ADDED_LATENCY_BOUNDS) + 1)
        self._past_latency_sum = 0.0
        self._restarts: SupervisorReport | None = None
        self._lost: dict[str, int] = {}
        self._lost_before: Counter[str] = Counter()
        registry.register(self)

    def take(self, report: WorkerReport) -> None:
        """A worker's counts; a new epoch means that it was started again. Raises ValueError for one of another version."""
        if len(report.latency_buckets) != len(self._past_buckets):
            raise ValueError(f"worker {report.worker} counts latency in {len(report.latency_buckets)} buckets")
        before = self._current.get(report.worker)
        if before and before.epoch != report.epoch:
            for name in _COUNTED:
                self._past[name].update(getattr(before, name))
            self._past_buckets = [a + b for a, b in zip(self._past_buckets, before.latency_buckets, strict=True)]
            self._past_latency_sum += before.latency_sum
        self._current[report.worker] = report

    def introduce_blocked(self, reason: str, combination: str) -> None:
        """Requests for a combination are being refused from now on: count from zero."""
        if len(self._past["blocked"]) < MAX_BLOCKED:
            self._past["blocked"][f"{reason} {combination}"] += 0

    def take_restarts(self, report: SupervisorReport) -> None:
        """The supervisor's counts."""
        self._restarts = report

    def set_lost(self, fragments: int, damaged: int) -> None:
        """Exchanges that arrived in part or damaged, since the start of this process."""
        self._lost = {"fragment_lost": fragments, "damaged": damaged}

    @property
    def lost(self) -> dict[str, int]:
        """What was lost behind the workers, under this process and those before it."""
        return dict(self._lost_before + Counter(self._lost))

    @property
    def past(self) -> dict[str, dict[str, int]]:
        """Counts of workers before they were started again."""
        return {name: dict(counts) for name, counts in self._past.items()}

    @property
    def past_buckets(self) -> list[int]:
        """The same for their latency."""
        return self._past_buckets

    @property
    def past_latency_sum(self) -> float:
        """The same for its sum."""
        return self._past_latency_sum

    @property
    def reports(self) -> list[WorkerReport]:
        """The latest of every worker."""
        return list(self._current.values())

    def restore(
        self,
        past: dict[str, dict[str, int]],
        buckets: list[int],
        latency_sum: float,
        reports: Sequence[WorkerReport],
        lost: dict[str, int],
    ) -> None:
        """Carry on from what a predecessor had. Raises ValueError, and changes nothing, when that was of another version."""
        if past.keys() != self._past.keys() or len(buckets) != len(self._past_buckets):
            raise ValueError("the workers' counts are of another version")
        self._past = {name: Counter(counts) for name, counts in past.items()}
        self._past_buckets = buckets
        self._past_latency_sum = latency_sum
        self._current = {report.worker: report for report in reports}
        self._lost_before = Counter(lost)

    @property
    def whole(self) -> bool:
        """Every worker has reported, to this process or to the one whose accounts it carries on."""
        return len(self._current) >= self._workers

    def total(self, name: str) -> Counter[str]:
        """One of the counts over all workers."""
        total = Counter(self._past[name])
        for report in self._current.values():
            total.update(getattr(report, name))
        if name == "dropped":
            total.update(self.lost)
        return total

    def describe(self) -> Iterator[Metric]:
        """prometheus-client: names are known without collecting."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """prometheus-client: the samples of a scrape.

        A count has no sample until every worker has reported, to this process or to the one whose accounts it carries on: a
        zero, or the count of a part of the workers, would look like a reset, and `increase()` would count their whole lives again.
        """
        for name, (metric, text, labels) in _NAMES.items():
            family = CounterMetricFamily(metric, text, labels=labels)
            for key, count in sorted(self.total(name).items()) if self.whole else ():
                family.add_metric(key.split(" ", len(labels) - 1), count)
            yield family
        yield self._latency()
        yield from self._gauges()
        restarts = CounterMetricFamily("alignment_process_restarts", "Processes started again.", labels=["process"])
        if self._restarts:
            restarts.add_metric(["worker"], self._restarts.worker_restarts)
            restarts.add_metric(["analysis"], self._restarts.analysis_restarts)
        yield restarts

    def _latency(self) -> Metric:
        buckets = list(self._past_buckets)
        total = self._past_latency_sum
        for report in self._current.values():
            buckets = [a + b for a, b in zip(buckets, report.latency_buckets, strict=True)]
            total += report.latency_sum
        cumulated: list[tuple[str, float]] = []
        running = 0
        for bound, count in zip([*map(str, ADDED_LATENCY_BOUNDS), "+Inf"], buckets, strict=True):
            running += count
            cumulated.append((bound, running))
        family = HistogramMetricFamily(
            "alignment_proxy_added_latency_seconds",
            "Time that the proxy itself held an exchange back before its first byte: sending the request and passing the head.",
        )
        if self.whole:
            family.add_metric([], cumulated, sum_value=total)
        return family

    def _gauges(self) -> Iterator[Metric]:
        for field, (name, text) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=["worker"])
            for index, report in sorted(self._current.items()):
                gauge.add_metric([str(index)], getattr(report, field))
            yield gauge
