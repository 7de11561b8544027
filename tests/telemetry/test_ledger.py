"""The accounts go on where a dead predecessor's ended, and what it had in hand is not forgotten."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from monitor.snapshot import Snapshot
from monitor.telemetry.buckets import ADDED_LATENCY_BOUNDS
from monitor.telemetry.counts import WorkerReport
from monitor.telemetry.ledger import DIED, Ledger
from monitor.telemetry.metrics import CoverageMetrics
from monitor.telemetry.workers import WorkerMetrics


@pytest.fixture
def memory() -> Iterator[Snapshot]:
    descriptor = os.memfd_create("accounts")
    yield Snapshot(descriptor)
    os.close(descriptor)


def report(sampled: int, epoch: float = 1.0) -> WorkerReport:
    fields: dict[str, Any] = {one.name: {} for one in msgspec.structs.fields(WorkerReport)}
    fields |= dict.fromkeys(("worker", "connections", "queue_exchanges", "queue_bytes"), 0)
    fields |= {"epoch": epoch, "latency_sum": 1.0, "latency_buckets": [1] * (len(ADDED_LATENCY_BOUNDS) + 1)}
    return WorkerReport(**fields | {"sampled": {"responses": sampled}})


class Process:
    """The counting half of an analysis process."""

    def __init__(self, memory: Snapshot) -> None:
        self.registry = CollectorRegistry()
        self.coverage = CoverageMetrics(self.registry)
        self.workers = WorkerMetrics(self.registry, ("responses",), ("complete",))
        self.ledger = Ledger(memory.behind(), self.coverage, self.workers)
        self.ledger.restore()

    def value(self, what: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"alignment_exchanges_{what}_total", labels)


def test_the_first_process_begins_at_zero(memory: Snapshot) -> None:
    process = Process(memory)
    assert process.coverage.counts == {"parsed": {}, "scored": {}, "unscored": {}}
    assert process.value("dropped", reason=DIED) is None


def test_a_successor_carries_on_and_counts_what_its_predecessor_had_in_hand(memory: Snapshot) -> None:
    first = Process(memory)
    first.workers.take(report(10))
    for _ in range(4):
        first.coverage.count("scored", "responses")
    first.coverage.count("unscored", "responses", "language")
    first.ledger.write(received=8)

    second = Process(memory)
    assert second.value("scored", endpoint="responses") == 4
    assert second.value("unscored", endpoint="responses", reason="language") == 1
    assert second.value("sampled", endpoint="responses") == 10
    assert second.value("dropped", reason=DIED) == 3
    second.coverage.count("scored", "responses")
    second.coverage.count("scored", "responses")
    second.workers.take(report(12))
    second.ledger.write(received=4)

    third = Process(memory)
    assert third.value("sampled", endpoint="responses") == 12
    assert third.value("scored", endpoint="responses") == 6
    assert third.value("dropped", reason=DIED) == 5


def test_a_worker_that_was_started_again_before_the_analysis_died_is_not_forgotten(memory: Snapshot) -> None:
    first = Process(memory)
    first.workers.take(report(10))
    first.workers.take(report(2, epoch=2.0))
    first.ledger.write(received=0)
    second = Process(memory)
    second.workers.take(report(3, epoch=3.0))
    assert second.value("sampled", endpoint="responses") == 15


def test_accounts_of_another_version_are_refused(memory: Snapshot) -> None:
    memory.behind().save({"received": 3})
    with pytest.raises(ValueError, match="coverage"):
        Process(memory)


def test_the_accounts_and_the_state_lie_side_by_side(memory: Snapshot) -> None:
    process = Process(memory)
    for number in range(3):
        assert memory.save({"state": number})
        process.ledger.write(received=number)
    assert memory.restore() == {"state": 2}
    assert memory.behind().restore()["received"] == 2
