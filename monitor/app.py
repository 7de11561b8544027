"""Composition root: builds every part of a process, in the order of the flow."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, disable_created_metrics

from monitor import __version__
from monitor.adapters import OTHER, UNLISTED, Catalog, Registry, ServedModel
from monitor.adapters.detokenizer import DetokenizeClient, Detokenizer
from monitor.adapters.discovery import Discovery, client_for
from monitor.adapters.registry_file import LOOK_S, RegistryFile, saved
from monitor.adapters.watch import AdapterWatch
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
from monitor.baseline.guard import BaselineGuard
from monitor.config import Config
from monitor.config.model import OutputsSection
from monitor.drift import DETECTORS, PairedDetector, RecentSamples
from monitor.enforcement import PolicyStore
from monitor.evidence.keeper import Keeper
from monitor.findings import Case, Severity, severity_of
from monitor.handoff import Inbox
from monitor.lifecycle import Cleanups, Tasks, in_thread
from monitor.outputs import FileOutput, Output
from monitor.outputs.incidents import Incidents
from monitor.outputs.message import Composer
from monitor.outputs.receiver import Receiver, receiver_session
from monitor.outputs.webhook import Webhook
from monitor.pipeline import Pipeline
from monitor.probes.asking import probe_session
from monitor.probes.shipped import load_suites
from monitor.probing import Prober
from monitor.protocols import adapter_named
from monitor.protocols.endpoints import CHANGING, ENDPOINTS, UNLISTED_ROUTE
from monitor.records import Condition, Ending, Exchange
from monitor.scoring import build_scorer
from monitor.scoring.judge import Judge, judge_session
from monitor.scoring.judge_client import JudgeClient
from monitor.shadow import PartLoader, Shadow, ShadowClient
from monitor.snapshot import Snapshot
from monitor.telemetry.counts import WorkerReport
from monitor.telemetry.ledger import Ledger
from monitor.telemetry.metrics import Metrics
from monitor.telemetry.recent import RecentCoverage, judged
from monitor.telemetry.workers import WorkerMetrics
from monitor.tls import upstream_context

log = logging.getLogger(__name__)

BATCH: Final = 32
"""Exchanges judged between two turns of the event loop: about 20 ms, and up to 60 ms more where the encoder reads some of
them, so that a scrape never waits longer."""
SNAPSHOT_S: Final = 5.0
"""Seconds between two snapshots of the detectors' states."""
REPORT_AGE_S: Final = 5.0
"""Seconds after which a silent worker counts as not connected."""
SHUTDOWN_S: Final = 5.0
EVIDENCE_S: Final = 2.0
"""Seconds that the last examples get to be written at the end."""
MOST_MISMATCHES: Final = 5
"""Pairs of models asked for and answering that the status page tells of; the metric has all."""


def build_pipeline(
    config: Config, registry: Registry, outputs: Sequence[Output], metrics: Metrics, *, live: bool = False
) -> tuple[Catalog, Pipeline]:
    """The back half, for live and recorded exchanges alike; only live ones may not wait for the encoder."""
    catalog = Catalog(registry, config.adapters.max_combinations, config.adapters.unload_grace_s)
    scorer = build_scorer(config.scoring, live=live)
    samples = RecentSamples(config.drift.repeat_window_s)
    detector, paired = DETECTORS["sequential"](config.drift), PairedDetector(config.drift)
    baseline = BaselineGuard(config.drift, scorer.name, scorer.version, scorer.risk_version, metrics.baseline)
    pipeline = Pipeline(catalog, scorer, detector, metrics, outputs, samples, paired, baseline)
    pipeline.drifts.check_baseline(0.0, always=True)
    return catalog, pipeline


def build_outputs(section: OutputsSection, metrics: Metrics) -> list[Output]:
    """Where findings go. Raises ImportError when OpenTelemetry is wanted without the extra `otel`."""
    outputs: list[Output] = []
    if section.findings_file:
        outputs.append(FileOutput(section.findings_file, section.findings_file_bytes, metrics.outputs.unwritten.inc))
    if section.otel:
        from monitor.outputs.otel import otlp_output  # only here: it takes 20 MB that most do not need

        outputs.append(otlp_output())
    return outputs


class Analysis:
    """The analysis process."""

    def __init__(
        self, config: Config, channels: Sequence[socket.socket], snapshot: Snapshot, policy: PolicyStore | None = None
    ) -> None:
        """policy: where the workers read what they let pass."""
        loop = asyncio.get_running_loop()
        self._config = config
        self._inbox = Inbox(loop, config.handoff.queue_exchanges, config.handoff.queue_bytes)
        for channel in channels:
            self._inbox.add_channel(channel)
        self._metrics = Metrics(CollectorRegistry(), __version__)
        self._outputs = build_outputs(config.outputs, self._metrics)
        self._predecessor = snapshot.restore() or {}
        """What the process before this one left."""
        self._registry_file = RegistryFile(config.adapters.registry_file)
        registry = self._registry = self._registry_file.open(self._predecessor.get("registry"))
        self._registry_saved = saved(registry)
        self._metrics.adapters.registry_read(None if self._registry_file.problem else time.time())
        self._catalog, self._pipeline = build_pipeline(config, registry, self._outputs, self._metrics, live=True)
        self._adapters = AdapterWatch(config.adapters, registry, self._catalog, self._metrics.adapters)
        self._adapters.on_changed = self._start_anew
        self._adapters.on_identified = self._introduce_all
        self._pipeline.drifts.history = self._adapters.history
        self._workers = WorkerMetrics(
            self._metrics.registry,
            ENDPOINTS,
            tuple(ending.value for ending in Ending),
            config.proxy.workers,
            (*CHANGING, UNLISTED_ROUTE),
        )
        self._enforcement = config.adapters.enforcement
        self._policy = policy if config.adapters.guards else None
        self._adapters.on_looked = self._assess
        self._metrics.adapters.enforcement.labels(self._enforcement).set(1)
        self._ledger = Ledger(snapshot.behind(), self._metrics.coverage, self._workers)
        self._recent = RecentCoverage()
        self._reported: dict[int, float] = {}
        """Worker -> event loop time of its latest report."""
        self._reserved: set[str] = set()
        """Adapters with reserved names in the server's latest list."""
        self._snapshot = snapshot
        self._discovery: Discovery
        self._detokenizer: Detokenizer
        self._judge_tier: Judge | None = None
        self._shadow: Shadow | None = None
        self._loader: PartLoader | None = None
        self._prober: Prober | None = None
        self._webhook: Webhook | None = None
        self._evidence: Keeper | None = None
        self._audit = Audit(config.admin.audit_file)
        self._tasks = Tasks()
        self._cleanups = Cleanups()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop."""
        self._build_prober()
        self._build_webhook()
        self._start_evidence()
        self._restore()
        self._build_loader()
        await self._start_discovery()
        await self._start_admin()
        self._start_judge()
        self._start_shadow()
        if self._prober:
            self._tasks.forever("probing", self._prober.run())
        if self._webhook:
            self._tasks.forever("webhook", self._webhook.run())
        for name, work in (("judge", self._judge()), ("housekeeping", self._keep_house())):
            # Without either of them this process would only seem to work: it ends, and the supervisor starts it again.
            self._tasks.forever(name, work).add_done_callback(lambda _: stop.set())
        self._cleanups.add("tasks", self._tasks.cancel_all)
        await stop.wait()
        await self._cleanups.run(SHUTDOWN_S)
        await self._judge_the_rest()
        self._detokenizer.stop()
        self._write_accounts()
        if self._judge_tier:
            self._judge_tier.stop()
        if self._shadow:
            self._shadow.stop()
        if self._webhook:
            self._webhook.stop()
        if self._evidence:
            await asyncio.to_thread(self._evidence.close, EVIDENCE_S)
        self._save()
        self._inbox.close()
        for output in self._outputs:
            await asyncio.to_thread(output.close)  # may wait for a collector; all that matters is done by now

    def problems(self) -> list[str]:
        """Why the monitor is not ready: empty when every worker reports. The server's state is not its readiness."""
        now = asyncio.get_running_loop().time()
        missing = [
            str(index)
            for index in range(self._config.proxy.workers)
            if now - self._reported.get(index, float("-inf")) > REPORT_AGE_S
        ]
        return [f"no report from proxy worker {', '.join(missing)}"] if missing else []

    def notes(self) -> list[str]:
        """Sentences about the monitor's own state for the status page."""
        notes = self.problems()
        if self._pipeline.drifts.baseline_note:
            notes.append(self._pipeline.drifts.baseline_note)
        if not self._discovery.up:
            notes.append("The server's list of models cannot be read; names are taken from its responses.")
        if self._registry_file.problem:
            notes.append(
                f"The registry file cannot be used; what was read before counts: {self._registry_file.problem}"
            )
        blocked = self._workers.total("blocked").total()
        if self._evidence and self._evidence.problem:
            notes.append(f"Examples cannot be stored, everything else goes on: {self._evidence.problem}.")
        if self._enforcement != "observe":
            notes.append(f"Enforcement is on ({self._enforcement}): {blocked} requests were refused.")
        dropped = sum(self._workers.total("dropped").values())
        if dropped:
            notes.append(f"{dropped} sampled exchanges were dropped before they could be judged.")
        if self._webhook and (note := self._webhook.note()):
            notes.append(note)
        notes += self._notes_on_names()
        return notes

    def _notes_on_names(self) -> list[str]:
        notes = []
        unlisted = self._pipeline.counts.tallies.get(UNLISTED)
        if unlisted:
            notes.append(f"{unlisted.requests} answers came from models that the server does not list.")
        other = self._pipeline.counts.tallies.get(OTHER)
        if other:
            notes.append(f"{other.requests} answers came from combinations beyond adapters.max_combinations.")
        for (requested, answered), count in self._pipeline.counts.mismatches.most_common(MOST_MISMATCHES):
            notes.append(f"{count} answers to requests for {requested} came from {answered}.")
        for name in sorted(self._reserved):
            notes.append(
                f"An adapter is named {name}: vLLM applies it to requests for the base model whose content has a part of "
                "that type. Give it another name."
            )
        return notes

    def view(self) -> dict[str, Any]:
        """What the API and the page show."""
        probing = self._prober.shown() if self._prober else {}
        return combinations_view(
            self._catalog, self._pipeline, time.time(), self._adapters, probing, self._recent.coverage()
        )

    async def _start_discovery(self) -> None:
        adapters = self._config.adapters
        client = client_for(self._config.proxy.upstream, adapters.api_key_file, upstream_context(self._config.proxy))
        self._discovery = Discovery(client, adapters.poll_interval_s, self._take_models, self._metrics.discovery)
        self._pipeline.on_unlisted = self._discovery.look_soon
        self._pipeline.on_admin_call = self._note_admin_call
        self._cleanups.add("discovery", client.session.close)
        self._detokenizer = Detokenizer(DetokenizeClient(client.session, adapters.api_key_file))
        self._pipeline.on_token_ids = self._detokenizer.offer
        await self._discovery.look()  # before anything is judged, so that the first answers find their names
        self._tasks.forever("discovery", self._discovery.run())
        self._tasks.forever("adapter files", self._adapters.run())
        self._tasks.forever("registry file", self._follow_registry())
        self._tasks.forever("detokenizer", self._detokenizer.run())

    async def _start_admin(self) -> None:
        access = Access(
            Tokens(self._config.admin), lambda scope, reason: self._metrics.admin.denied.labels(scope, reason).inc()
        )
        sources = Sources(
            self.view, lambda: self._registry, self._adapters.timeline, self._pipeline.drifts.findings, self._probed
        )
        operations = [*reading(sources), *self._changing(sources), *evidence(self._evidence, self._audit)]
        app = build_admin(
            self._metrics.registry,
            self.view,
            self.problems,
            self.notes,
            self._pipeline.drifts.trends.of,
            operations,
            access,
            lambda: self._adapters.ranked,
            lambda: self._pipeline.drifts.findings.cases,
            StoredExamples(self._evidence, access, self._audit) if self._evidence else None,
        )
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        host, _, port = self._config.admin.listen.rpartition(":")
        await web.TCPSite(runner, host.strip("[]"), int(port), reuse_address=True).start()
        self._cleanups.add("admin port", runner.cleanup)

    def _changing(self, sources: Sources) -> list[Operation]:
        def reset(name: str) -> list[str]:
            ended = [case.id for case in self._pipeline.reset(name, time.time())]
            self._assess()
            return ended

        probe = self._prober.ask_now if self._prober else None
        return changing(sources, Changes(reset, self._save, probe), self._audit)

    def _start_judge(self) -> None:
        section = self._config.scoring.judge
        if section.endpoint is None:
            return
        session = judge_session()
        self._judge_tier = Judge(
            section, JudgeClient(session, section), self._metrics.judge, random.Random(), asyncio.sleep
        )
        self._pipeline.on_verdict = self._judge_tier.offer
        self._cleanups.add("judge", session.close)
        self._tasks.forever("judge tier", self._judge_tier.run())
        log.info("prompts and answers are sent to the judge %s at %s", section.model, section.endpoint)

    def _shadow_client(self, name: str) -> ShadowClient:
        section = self._config.shadow
        # A connection of its own for each: this process runs when nothing else wants to, and vLLM closes idle ones after 5 s.
        session = probe_session(self._config.proxy.upstream, upstream_context(self._config.proxy), reuse=False)
        self._cleanups.add(name, session.close)
        return ShadowClient(session, section.timeout_s, section.api_key_file or self._config.adapters.api_key_file)

    def _build_loader(self) -> None:
        """Before the server's list is read, in which a process before this one may have left parts."""
        section = self._config.shadow
        if section.enabled and section.parts and section.load_parts:
            self._adapters.scans = True
            adapters = self._adapters
            client = self._shadow_client("loading of parts")
            self._loader = PartLoader(
                client,
                section.parts_loaded,
                adapters.folder_of,
                adapters.load_problem,
                self._metrics.pairs,
                sidecar=f"{socket.gethostname()} {self._config.admin.listen}",
            )

    def _start_shadow(self) -> None:
        section = self._config.shadow
        if not section.enabled:
            return
        client = self._shadow_client("shadow replays")
        self._shadow = Shadow(
            section, client, self._catalog, self._pipeline, self._metrics.pairs, random.Random(), loader=self._loader
        )
        self._pipeline.on_sample = self._shadow.offer
        if self._evidence:
            self._shadow.on_base_answer = self._evidence.add_base
        self._tasks.forever("shadow replays", self._shadow.run())
        if self._loader:
            self._cleanups.add("loaded parts", self._loader.unload_all)
            self._tasks.forever("loading of parts", self._loader.run())
        log.info("a share of harmful-looking requests is asked again of the base (shadow.enabled)")

    def _start_evidence(self) -> None:
        section = self._config.evidence
        if not section.enabled:
            return
        self._evidence = Keeper(section, self._metrics.evidence)
        self._pipeline.keep_example = self._evidence.offer
        self._pipeline.drifts.findings.on_examples = self._evidence.name
        self._evidence.start()
        log.info("prompts and answers are stored, redacted, in %s (evidence.enabled)", section.folder)

    def _build_prober(self) -> None:
        section = self._config.probing
        if not section.enabled:
            return
        session = probe_session(self._config.proxy.upstream, upstream_context(self._config.proxy))
        key = section.api_key_file or self._config.adapters.api_key_file
        client = ShadowClient(session, section.timeout_s, key, "probe")
        self._prober = Prober(
            section,
            load_suites(section.suites),
            client,
            self._catalog,
            self._adapters,
            self._pipeline,
            self._metrics.probes,
            random.Random(),
        )
        self._prober.on_changed = self._take_probes
        self._cleanups.add("probing", session.close)
        log.info("combinations are asked questions of ours (probing.enabled): %s", ", ".join(section.suites))

    def _build_webhook(self) -> None:
        section = self._config.outputs.webhook
        if not section.enabled:
            return
        session = receiver_session(section)
        composer = Composer(self._console(), self._served_name)
        self._webhook = Webhook(
            Receiver(session, section),
            Incidents(composer, self._severity_of, Severity[section.minimum_severity.upper()]),
            lambda: self._pipeline.drifts.findings.cases,
            self._metrics.webhook,
            random.Random(),
        )
        self._webhook.on_taken = self._save
        self._cleanups.add("webhook", session.close)
        log.info("messages about findings are sent to a webhook (outputs.webhook), from %s", section.minimum_severity)

    def _console(self) -> str:
        """Address of the admin port for people, as far as it can be known from here."""
        if self._config.outputs.webhook.console_url:
            return self._config.outputs.webhook.console_url.rstrip("/")
        host, _, port = self._config.admin.listen.rpartition(":")
        return f"http://{socket.gethostname() if host in ('0.0.0.0', '[::]') else host}:{port}"

    def _served_name(self, label: str) -> str:
        combination = self._catalog.find(label)
        return combination.served_name if combination else label

    def _severity_of(self, case: Case, now: float) -> Severity | None:
        pairs = self._pipeline.drifts.pairs(case.combination)
        return severity_of(case, now, replays=self._config.shadow.enabled, pairs=pairs)

    def _take_probes(self) -> None:
        """A round began or ended: what it says counts from now on, also for a successor."""
        self._assess()
        self._save()

    def _probed(self) -> list[tuple[str, dict[str, Any]]]:
        """Evaluations that this process has made itself: served name, and the evaluation as the registry has them."""
        records = self._prober.records.all() if self._prober else []
        return [(record.target.served_name, record.evaluation) for record in records if record.evaluation]

    async def _judge(self) -> None:
        while True:
            await self._inbox.wait(timeout_s=1.0)
            self._judge_batch()
            await asyncio.sleep(0)

    async def _judge_the_rest(self) -> None:
        """Judge what the workers sent last, within the time that the supervisor gives."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SHUTDOWN_S / 2
        self._judge_batch()
        while self._inbox.waiting and loop.time() < deadline:
            await asyncio.sleep(0)  # lets the channels be read
            self._judge_batch()

    def _judge_batch(self) -> None:
        for stats in self._inbox.take_stats():
            if stats.worker:
                self._take_report(stats.worker)
            if stats.supervisor:
                self._workers.take_restarts(stats.supervisor)
        self._write_accounts()  # what is received now is known even if judging it should be the end of this process
        batch = self._inbox.take(BATCH)
        if batch:
            self._pipeline.process(batch)
            self._write_accounts()
        self._metrics.coverage.last_loop.set_to_current_time()

    def _write_accounts(self) -> None:
        self._workers.set_lost(self._inbox.lost, sum(self._inbox.damaged.values()))
        self._ledger.write(self._inbox.received)

    def _take_report(self, report: WorkerReport) -> None:
        try:
            self._workers.take(report)
        except ValueError as error:  # another version was installed under a running supervisor, which starts it anew
            log.error("a report cannot be used: %s", error)
            return
        self._reported[report.worker] = asyncio.get_running_loop().time()

    def _take_models(self, models: Sequence[ServedModel]) -> None:
        if self._loader:
            models = self._loader.without_ours(models)
        for identity in self._catalog.update(models):
            log.info("combination %s is served", identity.label)
            self._pipeline.introduce(identity)
        reserved = self._catalog.reserved_names()
        self._metrics.discovery.show_reserved(reserved)
        for name in set(reserved) - self._reserved:
            log.warning(
                "an adapter is named %s: vLLM applies it to requests for the base model with such content", name
            )
        self._reserved = set(reserved)
        self._adapters.take_models(models)
        self._assess()

    def _note_admin_call(self, call: Exchange) -> None:
        """An exchange on one of the server's admin routes ended: what it may have changed is looked at soon."""
        name, ended = adapter_named(call), call.started + call.duration_s
        if self._adapters.note_admin_call(call.method, call.target, call.status, name, ended):
            self._discovery.look_soon()

    def _start_anew(self, labels: Sequence[str]) -> None:
        """These names hold something else now: what was counted and judged was of another combination."""
        self._pipeline.forget(labels, time.time(), "replaced")
        if self._prober:
            self._prober.forget(labels)

    def _introduce_all(self) -> None:
        for identity in self._catalog.identities():
            self._pipeline.introduce(identity)
        self._assess()

    async def _follow_registry(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            registry = await in_thread("registry file", self._registry_file.look)
            if registry is not None:
                self._take_registry(registry)
                log.info("the registry was read anew: %d combinations declared", len(registry.combinations))
            if registry is not None or self._registry_file.problem:
                self._metrics.adapters.registry_read(time.time() if registry is not None else None)

    def _take_registry(self, registry: Registry) -> None:
        self._registry = registry
        self._registry_saved = saved(registry)
        self._catalog.take_registry(registry)
        self._adapters.take_registry(registry)
        self._introduce_all()

    def _assess(self) -> None:
        self._pipeline.drifts.check_baseline(time.time())
        drifts = [state for state in self._pipeline.drifts.states() if state.condition is Condition.DRIFTING]
        automatic = self._config.adapters.quarantine_drifting
        set_aside = {one.combination: f"it drifts: {one.signal}" for one in drifts if one.signal in automatic}
        if self._prober:
            set_aside |= self._prober.failed()
        probed = self._prober.outcomes() if self._prober else {}
        self._pipeline.counts.unvalidated = self._adapters.assess(
            {one.combination for one in drifts}, set_aside, probed
        )
        if self._policy:
            self._publish(self._policy)

    def _publish(self, store: PolicyStore) -> None:
        """Give the workers what follows from the present statuses."""
        policy = self._adapters.policy(store.policy)
        if policy is None or not store.publish(policy):
            return
        stopped = {
            (one.reason, one.combination) for one in (*policy.names.values(), *policy.paths.values()) if one.reason
        }
        for reason, combination in sorted(stopped):
            self._workers.introduce_blocked(reason, combination)
        log.info(
            "policy: %d names, %d may not answer",
            len(policy.names),
            sum(1 for one in policy.names.values() if one.reason),
        )

    async def _keep_house(self) -> None:
        self._look_back()
        while True:
            await asyncio.sleep(SNAPSHOT_S)
            gone = self._catalog.expire(time.monotonic())
            if gone:
                log.info("combinations gone: %s", ", ".join(gone))
                self._pipeline.forget(gone, time.time(), "unloaded")
                if self._prober:
                    self._prober.forget(gone)
            if self._prober:
                self._prober.measure(time.time())
            self._assess()
            self._save()
            self._look_back()

    def _look_back(self) -> None:
        """What became of the latest traffic, as soon as all of it is counted here."""
        if self._workers.whole:
            own = self._metrics.coverage.counts
            seen, skipped = self._workers.total("seen"), self._workers.total("skipped")
            self._recent.note(time.monotonic(), judged(seen, skipped, own["unscored"], own["scored"]))

    def _save(self) -> None:
        state = self._state()
        trends = self._pipeline.drifts.trends.save()  # may be as large as all the rest: left out before that is lost
        if not self._snapshot.save({**state, "trends": trends}) and not self._snapshot.save(state):
            log.warning("the state is too large for a snapshot")

    def _state(self) -> dict[str, Any]:
        probing = {"probing": self._prober.save()} if self._prober else {}
        webhook = {"webhook": self._webhook.save()} if self._webhook else {}
        return {
            **self._pipeline.save(),
            **probing,
            **webhook,
            "adapters": self._adapters.save(),
            "registry": self._registry_saved,
        }

    def _restore(self) -> None:
        try:
            self._ledger.restore()
        except ValueError as error:
            log.error("the accounts cannot be carried on: %s", error)
        state, self._predecessor = self._predecessor, {}
        if not state:
            return
        try:
            self._adapters.restore(state.get("adapters"))
        except ValueError as error:
            log.error("the snapshot's events of adapters cannot be used: %s", error)
        try:
            self._pipeline.drifts.findings.restore(state.get("findings") or {})
        except ValueError as error:
            log.error("the snapshot's findings cannot be used: %s", error)
        if self._prober and "probing" in state:
            try:
                self._prober.restore(state["probing"])
            except ValueError as error:
                log.error("the snapshot's rounds of probing cannot be used: %s", error)
        if self._webhook and "webhook" in state:
            try:
                self._webhook.restore(state["webhook"])
            except ValueError as error:
                log.error("the snapshot's messages cannot be used: %s", error)
        try:
            self._pipeline.restore(state)
            self._pipeline.drifts.check_baseline(time.time(), always=True)
        except ValueError as error:
            log.error("the snapshot cannot be used: %s", error)
        else:
            log.info("carries on from the last snapshot")
            try:
                self._pipeline.drifts.trends.restore(state.get("trends") or {})
            except ValueError as error:
                log.error("the snapshot's trends cannot be used: %s", error)
        self._pipeline.drifts.end_stale(time.time())


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
