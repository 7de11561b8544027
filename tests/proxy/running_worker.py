"""The real proxy worker inside the test's event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from running_sidecar import eventually

from monitor.config import Config
from monitor.enforcement import Policy, PolicyStore
from monitor.handoff import Inbox
from monitor.proxy.worker import run_worker
from monitor.records import Exchange
from monitor.telemetry.counts import WorkerReport


class RunningWorker:
    """A worker, and what it hands off."""

    def __init__(self, config: Config, policy: Policy | None) -> None:
        self.config = config
        memory = os.memfd_create("test-policy")
        self.policies = PolicyStore(memory)
        """Where the test publishes what the worker lets pass."""
        if policy:
            self.policies.publish(policy)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.inbox = Inbox(asyncio.get_running_loop(), 100_000, 1 << 28)
        self.inbox.add_channel(far)
        self._gone = asyncio.Event()
        self._received: list[Exchange] = []
        self._report: WorkerReport | None = None
        self.reports = 0
        """Reports received so far; each follows a look at the time limits."""
        self.task = asyncio.get_running_loop().create_task(
            run_worker(config, 0, self.listener, near, self._gone, PolicyStore(memory)), name="worker"
        )

    def exchanges(self) -> list[Exchange]:
        """All that were handed off so far."""
        self._received += self.inbox.take(self.inbox.waiting)
        return self._received

    async def exchange(self, number: int = 0) -> Exchange:
        """One of them, when it has arrived."""
        await eventually(lambda: len(self.exchanges()) > number, f"exchange {number}")
        return self._received[number]

    def report(self) -> WorkerReport | None:
        """The latest counts."""
        for stats in self.inbox.take_stats():
            self._report = stats.worker or self._report
            self.reports += 1
        return self._report

    async def looks(self, count: int = 2) -> None:
        """Return when the worker has looked at its time limits so often."""
        before = self.reports
        await eventually(lambda: self.report() and self.reports >= before + count, "a look at the time limits")

    async def stop(self) -> WorkerReport:
        """Drain and end; the last counts."""
        self._gone.set()
        await asyncio.wait_for(self.task, 20)
        await eventually(lambda: self.report() and self.report().connections == 0, "the last report")
        assert self._report
        return self._report


class WorkerStarter:
    """Starts workers in this process."""

    def __init__(self) -> None:
        self.started: list[RunningWorker] = []

    def __call__(
        self, upstream: str, proxy: dict[str, Any] | None = None, policy: Policy | None = None, **sections: Any
    ) -> RunningWorker:
        settings = {"upstream": upstream, "drain_grace_s": 0.5} | (proxy or {})
        worker = RunningWorker(Config.model_validate({"proxy": settings, **sections}), policy)
        self.started.append(worker)
        return worker
