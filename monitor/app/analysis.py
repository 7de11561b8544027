"""Composition root of the analysis process: builds every part, starts and ends them in order."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, disable_created_metrics

from monitor import __version__
from monitor.adapters.detokenizer import DetokenizeClient, Detokenizer
from monitor.adapters.discovery import client_for
from monitor.adapters.registry_file import RegistryFile
from monitor.admin import (
    Access,
    Audit,
    Changes,
    Operation,
    Sources,
    StoredExamples,
    Tokens,
    build_admin,
    changing,
    combinations_view,
    evidence,
    reading,
)
from monitor.app.build import build_outputs, build_pipeline
from monitor.app.carried import Carried
from monitor.app.intake import Intake
from monitor.app.notes import notes
from monitor.app.served import Served
from monitor.app.switched_on import SwitchedOn
from monitor.config import Config
from monitor.enforcement import PolicyStore
from monitor.lifecycle import Cleanups, Tasks
from monitor.snapshot import Snapshot
from monitor.supervisor import listen, split_address
from monitor.telemetry.metrics import Metrics
from monitor.tls import upstream_context

SNAPSHOT_S: Final = 5.0
"""Seconds between two snapshots of the detectors' states."""
SHUTDOWN_S: Final = 5.0


class Analysis:
    """The analysis process."""

    def __init__(
        self, config: Config, channels: Sequence[socket.socket], snapshot: Snapshot, policy: PolicyStore | None = None
    ) -> None:
        """policy: where the workers read what they let pass."""
        self._config = config
        self._predecessor = snapshot.restore() or {}
        """What the process before this one left."""
        self._metrics = Metrics(CollectorRegistry(), __version__)
        self._outputs = build_outputs(config.outputs, self._metrics)
        registry_file = RegistryFile(config.adapters.registry_file)
        registry = registry_file.open(self._predecessor.get("registry"))
        self._catalog, self._pipeline = build_pipeline(config, registry, self._outputs, self._metrics, live=True)
        self._intake = Intake(config, channels, self._pipeline, self._metrics, snapshot.behind())
        self._served = Served(
            config.adapters,
            registry_file,
            registry,
            self._catalog,
            self._pipeline,
            self._metrics,
            policy if config.adapters.guards else None,
        )
        self._served.on_stopped = self._intake.workers.introduce_blocked
        self._tasks = Tasks()
        self._cleanups = Cleanups()
        self._switched_on = SwitchedOn(
            config,
            self._catalog,
            self._served.adapters,
            self._pipeline,
            self._metrics,
            self._tasks,
            self._cleanups,
        )
        self._carried = Carried(snapshot, self._served, self._pipeline, self._switched_on)
        self._detokenizer: Detokenizer
        self._audit = Audit(config.admin.audit_file)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop."""
        self._switched_on.build(on_round=self._take_probes, on_taken=self._carried.save)
        self._served.prober = self._switched_on.prober
        self._restore()
        self._switched_on.build_loader()
        self._served.loader = self._switched_on.loader
        await self._start_discovery()
        await self._start_admin()
        self._switched_on.start()
        for name, work in (("judge", self._intake.run()), ("housekeeping", self._keep_house())):
            # Without either of them this process would only seem to work: it ends, and the supervisor starts it again.
            self._tasks.forever(name, work).add_done_callback(lambda _: stop.set())
        self._cleanups.add("tasks", self._tasks.cancel_all)
        await stop.wait()
        await self._cleanups.run(SHUTDOWN_S)
        await self._intake.judge_the_rest(SHUTDOWN_S / 2)
        self._detokenizer.stop()
        self._intake.write_accounts()
        await self._switched_on.stop()
        self._carried.save()
        self._intake.close()
        for output in self._outputs:
            await asyncio.to_thread(output.close)  # may wait for a collector; all that matters is done by now

    def _restore(self) -> None:
        self._intake.restore()
        state, self._predecessor = self._predecessor, {}
        self._carried.restore(state)

    def _view(self) -> dict[str, Any]:
        """What the API and the page show."""
        prober = self._switched_on.prober
        return combinations_view(
            self._catalog,
            self._pipeline,
            time.time(),
            self._served.adapters,
            prober.shown() if prober else {},
            self._intake.coverage(),
        )

    def _notes(self) -> list[str]:
        enforcement = self._config.adapters.enforcement
        return notes(self._intake, self._served, self._pipeline, self._switched_on, enforcement)

    async def _start_discovery(self) -> None:
        adapters = self._config.adapters
        client = client_for(self._config.proxy.upstream, adapters.api_key_file, upstream_context(self._config.proxy))
        discovery = self._served.ask(client)
        self._cleanups.add("discovery", client.session.close)
        self._detokenizer = Detokenizer(DetokenizeClient(client.session, adapters.api_key_file))
        self._pipeline.on_token_ids = self._detokenizer.offer
        await discovery.look()  # before anything is judged, so that the first answers find their names
        self._tasks.forever("discovery", discovery.run())
        self._tasks.forever("adapter files", self._served.adapters.run())
        self._tasks.forever("registry file", self._served.follow_registry())
        self._tasks.forever("detokenizer", self._detokenizer.run())

    async def _start_admin(self) -> None:
        access = Access(
            Tokens(self._config.admin), lambda scope, reason: self._metrics.admin.denied.labels(scope, reason).inc()
        )
        drifts, adapters, examples = self._pipeline.drifts, self._served.adapters, self._switched_on.evidence
        sources = Sources(
            self._view,
            lambda: self._served.registry,
            adapters.timeline,
            drifts.findings,
            self._switched_on.probed,
        )
        operations = [*reading(sources), *self._changing(sources), *evidence(sources, examples, self._audit)]
        app = build_admin(
            self._metrics.registry,
            self._view,
            self._intake.problems,
            self._notes,
            drifts.trends.of,
            operations,
            access,
            lambda: adapters.ranked,
            lambda: drifts.findings.cases,
            StoredExamples(examples, access, self._audit) if examples else None,
        )
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        host, port = split_address(self._config.admin.listen)
        if host == "::":  # asyncio would take IPv6 alone; all interfaces are all, as they are for clients
            await web.SockSite(runner, *listen(self._config.admin.listen, 1)).start()
        else:
            await web.TCPSite(runner, host, port, reuse_address=True).start()
        self._cleanups.add("admin port", runner.cleanup)

    def _changing(self, sources: Sources) -> list[Operation]:
        def reset(name: str) -> list[str]:
            ended = [case.id for case in self._pipeline.reset(name, time.time())]
            self._served.assess()
            return ended

        prober = self._switched_on.prober
        return changing(sources, Changes(reset, self._carried.save, prober.ask_now if prober else None), self._audit)

    def _take_probes(self) -> None:
        """A round began or ended: what it says counts from now on, also for a successor."""
        self._served.assess()
        self._carried.save()

    async def _keep_house(self) -> None:
        self._intake.look_back()
        while True:
            await asyncio.sleep(SNAPSHOT_S)
            self._served.let_go()
            if self._switched_on.prober:
                self._switched_on.prober.measure(time.time())
            self._served.assess()
            self._carried.save()
            self._intake.look_back()


async def run_analysis(
    config: Config,
    channels: Sequence[socket.socket],
    snapshot: Snapshot,
    supervisor_gone: asyncio.Event,
    policy: PolicyStore | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or the end of the supervisor."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a timestamp beside every counter would double the series and is read by nobody
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def watch() -> None:
        await supervisor_gone.wait()
        stop.set()

    tasks = Tasks()
    tasks.spawn("watch the supervisor", watch())
    await Analysis(config, channels, snapshot, policy).run(stop)
    await tasks.cancel_all()
