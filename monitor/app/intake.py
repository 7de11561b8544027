"""From the hand-off into the pipeline, in batches, and the accounts of what came in."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from typing import Final

from monitor.config import Config
from monitor.handoff import Inbox
from monitor.pipeline import Pipeline
from monitor.protocols.endpoints import CHANGING, ENDPOINTS, UNLISTED_ROUTE
from monitor.records import Ending, Exchange
from monitor.snapshot import Snapshot
from monitor.telemetry.counts import WorkerReport
from monitor.telemetry.ledger import Ledger
from monitor.telemetry.metrics import Metrics
from monitor.telemetry.recent import Coverage, RecentCoverage, judged
from monitor.telemetry.workers import WorkerMetrics

log = logging.getLogger(__name__)

BATCH: Final = 32
"""Exchanges judged between two turns of the event loop: about 20 ms, and up to 60 ms more where the encoder reads some of
them (200 ms after a quiet time), so that a scrape never waits longer."""
GATHER_S: Final = 0.1
"""How long exchanges are gathered after a few, because judging one alone takes six times the time that it takes among 32."""
FEW: Final = 16
FEW_BYTES: Final = 64 * 1024
"""Fewer exchanges than that, and fewer bytes of their bodies, are a few: a channel holds three times as much at least, so that
gathering never holds up the workers."""
QUIET_TURNS: Final = 3
"""Turns of the event loop in a row that bring nothing, after which nothing waits with the kernel."""
REPORT_AGE_S: Final = 5.0
"""Seconds after which a silent worker counts as not connected."""


class Intake:
    """Takes what the workers and the supervisor send."""

    def __init__(
        self,
        config: Config,
        channels: Sequence[socket.socket],
        pipeline: Pipeline,
        metrics: Metrics,
        accounts: Snapshot,
    ) -> None:
        """accounts: where a successor finds what was counted."""
        self._inbox = Inbox(asyncio.get_running_loop(), config.handoff.queue_exchanges, config.handoff.queue_bytes)
        for channel in channels:
            self._inbox.add_channel(channel)
        self._pipeline = pipeline
        self._metrics = metrics
        self._expected = config.proxy.workers
        self.workers = WorkerMetrics(
            metrics.registry,
            ENDPOINTS,
            tuple(ending.value for ending in Ending),
            config.proxy.workers,
            (*CHANGING, UNLISTED_ROUTE),
        )
        """What the workers count."""
        self._ledger = Ledger(accounts, metrics.coverage, self.workers)
        self._recent = RecentCoverage()
        self._reported: dict[int, float] = {}
        """Worker -> event loop time of its latest report."""

    def restore(self) -> None:
        """Carry on from what the process before this one counted."""
        try:
            self._ledger.restore()
        except ValueError as error:
            log.error("the accounts cannot be carried on: %s", error)

    async def run(self) -> None:
        """Judge what comes in, for ever."""
        while True:
            await self._inbox.wait(timeout_s=1.0)
            batch = self._judge_batch()
            size = sum(len(exchange.request) + len(exchange.response) for exchange in batch)
            if 0 < len(batch) < FEW and size < FEW_BYTES:
                await self._inbox.rest(GATHER_S)
            else:
                await asyncio.sleep(0)

    async def judge_the_rest(self, within_s: float) -> None:
        """Judge what the workers sent last, within the time that the supervisor gives."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        quiet = 0
        while quiet < QUIET_TURNS and loop.time() < deadline:
            await asyncio.sleep(0)
            quiet = 0 if self._inbox.waiting else quiet + 1
            self._judge_batch()

    def write_accounts(self) -> None:
        """Keep them for a successor."""
        self.workers.set_lost(self._inbox.lost, sum(self._inbox.damaged.values()))
        self._ledger.write(self._inbox.received)

    def look_back(self) -> None:
        """What became of the latest traffic, as soon as all of it is counted here."""
        if self.workers.whole:
            own = self._metrics.coverage.counts
            seen, skipped = self.workers.total("seen"), self.workers.total("skipped")
            self._recent.note(time.monotonic(), judged(seen, skipped, own["unscored"], own["scored"]))

    def coverage(self) -> Coverage | None:
        """What was seen at the latest looks back."""
        return self._recent.coverage()

    def problems(self) -> list[str]:
        """Why the monitor is not ready: empty when every worker reports. The server's state is not its readiness."""
        now = asyncio.get_running_loop().time()
        missing = [
            str(index)
            for index in range(self._expected)
            if now - self._reported.get(index, float("-inf")) > REPORT_AGE_S
        ]
        return [f"no report from proxy worker {', '.join(missing)}"] if missing else []

    def close(self) -> None:
        """Take nothing any more."""
        self._inbox.close()

    def _judge_batch(self) -> list[Exchange]:
        """Take what waits, at most a batch of exchanges; these."""
        for stats in self._inbox.take_stats():
            if stats.worker:
                self._take_report(stats.worker)
            if stats.supervisor:
                self.workers.take_restarts(stats.supervisor)
        self.write_accounts()  # what is received now is known even if judging it should be the end of this process
        batch = self._inbox.take(BATCH)
        if batch:
            self._pipeline.process(batch)
            self.write_accounts()
        self._metrics.coverage.last_loop.set_to_current_time()
        return batch

    def _take_report(self, report: WorkerReport) -> None:
        try:
            self.workers.take(report)
        except ValueError as error:  # another version was installed under a running supervisor, which starts it anew
            log.error("a report cannot be used: %s", error)
            return
        self._reported[report.worker] = asyncio.get_running_loop().time()
