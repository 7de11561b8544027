"""What is off until somebody switches it on: examples, messages, replays, loading, probing, the judge."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable
from typing import Any, Final

from monitor.adapters import Catalog
from monitor.adapters.watch import AdapterWatch
from monitor.config import Config
from monitor.evidence.keeper import Keeper
from monitor.findings import Case, Severity, severity_of
from monitor.lifecycle import Cleanups, Tasks
from monitor.outputs.incidents import Incidents
from monitor.outputs.message import Composer
from monitor.outputs.receiver import Receiver, receiver_session
from monitor.outputs.webhook import Webhook
from monitor.pipeline import Pipeline
from monitor.probes.asking import probe_session
from monitor.probes.shipped import load_suites
from monitor.probing import Prober
from monitor.scoring.judge import Judge, judge_session
from monitor.scoring.judge_client import JudgeClient
from monitor.shadow import PartLoader, Shadow, ShadowClient
from monitor.telemetry.metrics import Metrics
from monitor.tls import upstream_context

log = logging.getLogger(__name__)

EVIDENCE_S: Final = 2.0
"""Seconds that the last examples get to be written at the end."""


class SwitchedOn:
    """Those that the configuration asks for; the others are None."""

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        adapters: AdapterWatch,
        pipeline: Pipeline,
        metrics: Metrics,
        tasks: Tasks,
        cleanups: Cleanups,
    ) -> None:
        self._config = config
        self._catalog = catalog
        self._adapters = adapters
        self._pipeline = pipeline
        self._metrics = metrics
        self._tasks = tasks
        self._cleanups = cleanups
        self._judge: Judge | None = None
        self._shadow: Shadow | None = None
        self.loader: PartLoader | None = None
        self.prober: Prober | None = None
        self.webhook: Webhook | None = None
        self.evidence: Keeper | None = None

    def build(self, on_round: Callable[[], None], on_taken: Callable[[], None]) -> None:
        """Before a predecessor's state is taken over, which is theirs too.

        on_round: called when a round of probing began or ended. on_taken: called when a message was taken.
        """
        self._build_prober(on_round)
        self._build_webhook(on_taken)
        self._start_evidence()

    def build_loader(self) -> None:
        """Before the server's list is read, in which a process before this one may have left parts."""
        section = self._config.shadow
        if section.enabled and section.parts and section.load_parts:
            self._adapters.scans = True
            self.loader = PartLoader(
                self._shadow_client("loading of parts"),
                section.parts_loaded,
                self._adapters.folder_of,
                self._adapters.load_problem,
                self._metrics.pairs,
                sidecar=f"{socket.gethostname()} {self._config.admin.listen}",
            )

    def start(self) -> None:
        """When names can be told apart: begin to ask and to tell."""
        self._start_judge()
        self._start_shadow()
        if self.prober:
            self._tasks.forever("probing", self.prober.run())
        if self.webhook:
            self._tasks.forever("webhook", self.webhook.run())

    async def stop(self) -> None:
        """When the last answers were judged."""
        if self._judge:
            self._judge.stop()
        if self._shadow:
            self._shadow.stop()
        if self.webhook:
            self.webhook.stop()
        if self.evidence:
            await asyncio.to_thread(self.evidence.close, EVIDENCE_S)

    def probed(self) -> list[tuple[str, dict[str, Any]]]:
        """Evaluations that this process has made itself: served name, and the evaluation as the registry has them."""
        records = self.prober.records.all() if self.prober else []
        return [(record.target.served_name, record.evaluation) for record in records if record.evaluation]

    def _start_judge(self) -> None:
        section = self._config.scoring.judge
        if section.endpoint is None:
            return
        session = judge_session()
        self._judge = Judge(section, JudgeClient(session, section), self._metrics.judge, random.Random(), asyncio.sleep)
        self._pipeline.on_verdict = self._judge.offer
        self._cleanups.add("judge", session.close)
        self._tasks.forever("judge tier", self._judge.run())
        log.info("prompts and answers are sent to the judge %s at %s", section.model, section.endpoint)

    def _shadow_client(self, name: str) -> ShadowClient:
        section = self._config.shadow
        # A connection of its own for each: this process runs when nothing else wants to, and vLLM closes idle ones after 5 s.
        session = probe_session(self._config.proxy.upstream, upstream_context(self._config.proxy), reuse=False)
        self._cleanups.add(name, session.close)
        return ShadowClient(session, section.timeout_s, section.api_key_file or self._config.adapters.api_key_file)

    def _start_shadow(self) -> None:
        section = self._config.shadow
        if not section.enabled:
            return
        client = self._shadow_client("shadow replays")
        self._shadow = Shadow(
            section, client, self._catalog, self._pipeline, self._metrics.pairs, random.Random(), loader=self.loader
        )
        self._pipeline.on_sample = self._shadow.offer
        if self.evidence:
            self._shadow.on_base_answer = self.evidence.add_base
        self._tasks.forever("shadow replays", self._shadow.run())
        if self.loader:
            self._cleanups.add("loaded parts", self.loader.unload_all)
            self._tasks.forever("loading of parts", self.loader.run())
        log.info("a share of harmful-looking requests is asked again of the base (shadow.enabled)")

    def _start_evidence(self) -> None:
        section = self._config.evidence
        if not section.enabled:
            return
        self.evidence = Keeper(section, self._metrics.evidence)
        self._pipeline.keep_example = self.evidence.offer
        self._pipeline.drifts.findings.on_examples = self.evidence.name
        self.evidence.start()
        log.info("prompts and answers are stored, redacted, in %s (evidence.enabled)", section.folder)

    def _build_prober(self, on_round: Callable[[], None]) -> None:
        section = self._config.probing
        if not section.enabled:
            return
        session = probe_session(self._config.proxy.upstream, upstream_context(self._config.proxy))
        key = section.api_key_file or self._config.adapters.api_key_file
        client = ShadowClient(session, section.timeout_s, key, "probe")
        self.prober = Prober(
            section,
            load_suites(section.suites),
            client,
            self._catalog,
            self._adapters,
            self._pipeline,
            self._metrics.probes,
            random.Random(),
        )
        self.prober.on_changed = on_round
        self._cleanups.add("probing", session.close)
        log.info("combinations are asked questions of ours (probing.enabled): %s", ", ".join(section.suites))

    def _build_webhook(self, on_taken: Callable[[], None]) -> None:
        section = self._config.outputs.webhook
        if not section.enabled:
            return
        session = receiver_session(section)
        composer = Composer(self._console(), self._served_name)
        self.webhook = Webhook(
            Receiver(session, section),
            Incidents(composer, self._severity_of, Severity[section.minimum_severity.upper()]),
            lambda: self._pipeline.drifts.findings.cases,
            self._metrics.webhook,
            random.Random(),
        )
        self.webhook.on_taken = on_taken
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
        pairs = self._pipeline.drifts.pairs(case.combination, now)
        return severity_of(case, now, replays=self._config.shadow.enabled, pairs=pairs)
