from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from monitor.telemetry.buckets import ADDED_LATENCY_BOUNDS
from monitor.telemetry.counts import SupervisorReport, WorkerReport
from monitor.telemetry.workers import WorkerMetrics

BUCKETS = len(ADDED_LATENCY_BOUNDS) + 1


def report(worker: int = 0, epoch: float = 1.0, seen: int = 0, latencies: int = 0, **more: object) -> WorkerReport:
    counts: dict[str, object] = {
        "sampled": {}, "skipped": {}, "dropped": {}, "endings": {}, "responses": {}, "rejected": {}, "denied": {}, "connections": 2,
        "queue_exchanges": 3, "queue_bytes": 4, "latency_sum": latencies * 0.5,
        "latency_buckets": [latencies] + [0] * (BUCKETS - 1),
    }  # fmt: skip
    return WorkerReport(worker=worker, epoch=epoch, seen={"chat_completions": seen}, **{**counts, **more})


class Bench:
    def __init__(self, workers: int = 1) -> None:
        self.registry = CollectorRegistry()
        self.workers = WorkerMetrics(self.registry, ("chat_completions", "other"), ("complete",), workers)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    @property
    def seen(self) -> float | None:
        return self.value("alignment_exchanges_seen_total", endpoint="chat_completions")


def test_nothing_is_counted_before_every_worker_has_reported_so_that_a_restart_looks_like_no_reset() -> None:
    bench = Bench(workers=2)
    assert bench.seen is None
    assert bench.value("alignment_process_restarts_total", process="worker") is None
    bench.workers.take(report(0, seen=3))
    assert bench.seen is None
    assert bench.value("alignment_proxy_added_latency_seconds_count") is None
    bench.workers.take(report(1, seen=4))
    assert bench.seen == 7


def test_known_labels_exist_at_zero_with_the_first_report() -> None:
    bench = Bench()
    bench.workers.take(report(seen=0))
    assert bench.seen == 0
    assert bench.value("alignment_exchanges_seen_total", endpoint="other") == 0
    assert bench.value("alignment_exchanges_dropped_total", reason="queue_full") == 0
    assert bench.value("alignment_proxy_endings_total", ending="complete") == 0


def test_the_counts_of_all_workers_are_added() -> None:
    bench = Bench()
    bench.workers.take(report(0, seen=3))
    bench.workers.take(report(1, seen=4))
    assert bench.seen == 7
    assert bench.value("alignment_proxy_connections", worker="1") == 2
    assert bench.value("alignment_handoff_depth_exchanges", worker="0") == 3


def test_a_report_replaces_the_one_before_it() -> None:
    bench = Bench()
    for seen in (3, 5):
        bench.workers.take(report(seen=seen))
    assert bench.seen == 5


def test_counters_never_fall_when_a_worker_is_started_again() -> None:
    bench = Bench()
    bench.workers.take(report(epoch=1, seen=5, latencies=5))
    for epoch, seen, expected in ((2, 0, 5), (2, 2, 7), (3, 1, 8)):
        bench.workers.take(report(epoch=epoch, seen=seen, latencies=seen))
        assert bench.seen == expected
        assert bench.value("alignment_proxy_added_latency_seconds_count") == expected
        assert bench.value("alignment_proxy_added_latency_seconds_sum") == expected * 0.5


def test_a_worker_whose_clock_was_set_back_still_counts() -> None:
    bench = Bench()
    bench.workers.take(report(epoch=100, seen=5))
    bench.workers.take(report(epoch=50, seen=1))
    assert bench.seen == 6


def test_reasons_are_split_from_their_endpoint() -> None:
    bench = Bench()
    bench.workers.take(report(skipped={"responses unsupported": 2}))
    assert bench.value("alignment_exchanges_skipped_total", endpoint="responses", reason="unsupported") == 2


def test_what_is_lost_on_the_way_is_added_to_what_workers_dropped() -> None:
    bench = Bench()
    bench.workers.take(report(dropped={"damaged": 1, "queue_full": 2}))
    bench.workers.set_lost(3, 4)
    assert bench.value("alignment_exchanges_dropped_total", reason="damaged") == 5
    assert bench.value("alignment_exchanges_dropped_total", reason="fragment_lost") == 3
    assert sum(bench.workers.total("dropped").values()) == 10


def test_restarts_are_the_supervisors() -> None:
    bench = Bench()
    bench.workers.take_restarts(SupervisorReport(2, 1))
    assert bench.value("alignment_process_restarts_total", process="worker") == 2
    assert bench.value("alignment_process_restarts_total", process="analysis") == 1


def test_a_report_of_another_version_is_refused_and_changes_nothing() -> None:
    bench = Bench()
    bench.workers.take(report(seen=5))
    with pytest.raises(ValueError, match="counts latency in 3 buckets"):
        bench.workers.take(report(epoch=2, seen=9, latency_buckets=[0, 0, 0]))
    assert bench.seen == 5
