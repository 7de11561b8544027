"""The accounts of coverage, kept where the analysis process's death cannot reach them.

`sampled = scored + unscored + dropped` has to hold whatever happens. So a successor takes over what its predecessor had counted,
and what that one had received and not counted when it died is counted as dropped.
"""

from __future__ import annotations

from typing import Final

import msgspec

from monitor.snapshot import Snapshot
from monitor.telemetry.counts import WorkerReport
from monitor.telemetry.metrics import CoverageMetrics
from monitor.telemetry.workers import WorkerMetrics

DIED: Final = "analysis_died"
"""Reason of exchanges that an analysis process had received and not finished when it died."""


class Accounts(msgspec.Struct, frozen=True):
    """Everything that has been counted since the supervisor started."""

    received: int
    """Exchanges that the analysis processes took from the channels."""
    coverage: dict[str, dict[str, int]]
    lost: dict[str, int]
    past: dict[str, dict[str, int]]
    """What workers counted before they were started again."""
    past_buckets: list[int]
    past_latency_sum: float
    reports: list[WorkerReport]
    """The workers' latest."""


class Ledger:
    """Writes the accounts, and opens with those of the predecessor."""

    def __init__(self, store: Snapshot, coverage: CoverageMetrics, workers: WorkerMetrics) -> None:
        self._store = store
        self._coverage = coverage
        self._workers = workers
        self._before = 0
        """Exchanges that predecessors received."""

    def restore(self) -> None:
        """Take over what predecessors counted. Raises ValueError when it cannot be read; then everything begins at zero."""
        state = self._store.restore()
        if state is None:
            return
        accounts = msgspec.convert(state, Accounts)
        self._before = accounts.received
        self._coverage.restore(accounts.coverage)
        finished = sum(count for name in ("scored", "unscored") for count in accounts.coverage.get(name, {}).values())
        lost = dict(accounts.lost)
        lost[DIED] = accounts.received - finished
        self._workers.restore(accounts.past, accounts.past_buckets, accounts.past_latency_sum, accounts.reports, lost)

    def write(self, received: int) -> None:
        """Keep the accounts; received: exchanges that this process took from the channels."""
        workers = self._workers
        accounts = Accounts(
            received=self._before + received,
            coverage=self._coverage.counts,
            lost=workers.lost,
            past=workers.past,
            past_buckets=workers.past_buckets,
            past_latency_sum=workers.past_latency_sum,
            reports=workers.reports,
        )
        self._store.save(accounts)
