"""The admin port of a pipeline with real parts, on a free port in the test's own loop or in a thread."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from monitor.adapters import Catalog, Registry, ServedModel
from monitor.adapters.timeline import Timeline
from monitor.admin import (
    Access,
    Audit,
    Changes,
    Sources,
    StoredExamples,
    Tokens,
    build_admin,
    changing,
    combinations_view,
    evidence,
    reading,
)
from monitor.arrival import Arrival
from monitor.config.model import AdminSection, DriftSection
from monitor.drift import SequentialDetector
from monitor.evidence.keeper import Keeper
from monitor.pipeline import Pipeline
from monitor.records import Choice, Dialogue, Item, Outcome, Prompt, Stratum, Verdict
from monitor.telemetry.metrics import Metrics

REGISTRY = {
    "adapters": [
        {"name": "a", "evaluations": [{"date": "2026-01-02", "scope": "alone", "suite": "s", "metrics": [
            {"type": "refusal_lost", "value": 0.1, "lower": 0.0, "upper": 0.2}]}]},
    ],
    "combinations": [
        {"served_name": "org/ab", "merge": "linear", "parts": [{"adapter": "a"}, {"adapter": "b"}],
         "evaluations": [{"date": "2026-01-03", "scope": "combined", "suite": "s"},
                         {"date": "2026-01-04", "scope": "combined", "suite": "t"}]},
        {"served_name": "abc", "merge": "ties", "parts": [{"adapter": "a"}, {"adapter": "b"}, {"adapter": "c"}]},
    ],
}  # fmt: skip


class YesMeansCompliance:
    name = "words"
    version = "1"
    risk_version = "r1"

    def score(self, items: Sequence[Item]) -> list[Verdict]:
        return [
            Verdict(
                Outcome.COMPLIANCE if item.response == "yes" else Outcome.REFUSAL,
                self.name,
                self.version,
                Stratum.HARMFUL_LOOKING,
                category="weapons",
            )
            for item in items
        ]


class ApiBench:
    def __init__(
        self, section: AdminSection | None = None, outputs: Sequence[Any] = (), keeper: Keeper | None = None
    ) -> None:
        registry = Registry.model_validate(REGISTRY)
        self.catalog = Catalog(registry, 10, 60)
        models = [ServedModel("base", ""), *(ServedModel(name, "base") for name in ("org/ab", "abc", "a"))]
        self.catalog.update(models)
        self.timeline = Timeline()
        self.timeline.take_models(models, 900.0)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, "0")
        drift = DriftSection(window=20, minimum_samples=10, minimum_base_samples=10, average_run_length=1000)
        self.pipeline = Pipeline(self.catalog, YesMeansCompliance(), SequentialDetector(drift), self.metrics, outputs)
        self.now = 1000.0
        self.section = section or AdminSection()
        self.sources = Sources(self.view, lambda: registry, self.timeline, self.pipeline.drifts.findings)
        self.kept = 0
        self.keeper = keeper
        self.changes = Changes(self.reset, self.keep)
        self.audit = Audit(self.section.audit_file)
        self.access = Access(
            Tokens(self.section), lambda scope, reason: self.metrics.admin.denied.labels(scope, reason).inc()
        )
        self.url = ""

    def operations(self) -> list[Any]:
        stored = evidence(self.sources, self.keeper, self.audit)
        return [*reading(self.sources), *changing(self.sources, self.changes, self.audit), *stored]

    def reset(self, name: str) -> list[str]:
        return [case.id for case in self.pipeline.reset(name, 1500.0)]

    def keep(self) -> None:
        self.kept += 1

    def view(self) -> dict[str, Any]:
        return combinations_view(self.catalog, self.pipeline, self.now)

    def say(self, model: str, answer: str, times: int = 1, at: float = 940.0) -> None:
        dialogue = Dialogue((Prompt("x"),), (Choice(0, 0, answer, finish_reason="stop"),), model, model)
        for number in range(times):
            self.pipeline.take([Arrival(dialogue, "chat_completions", at + number)])

    def drift(self) -> None:
        self.say("base", "no", 20)
        self.say("org/ab", "yes", 20)

    async def start(self) -> web.AppRunner:
        app = build_admin(
            self.registry,
            self.view,
            list,
            list,
            self.pipeline.drifts.trends.of,
            self.operations(),
            self.access,
            cases=lambda: self.pipeline.drifts.findings.cases,
            stored=StoredExamples(self.keeper, self.access, self.audit) if self.keeper else None,
        )
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def ask(
        self, path: str, method: str = "GET", body: Any = None, token: str = "", **headers: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, json=body, headers=headers) as response,
        ):
            text = await response.text()
            found = json.loads(text) if "json" in response.content_type and text else text
            return response.status, found, response.headers


@contextmanager
def in_thread(bench: ApiBench) -> Iterator[str]:
    """The bench's port, served by a loop of another thread, for clients that block; its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(bench.start(), loop).result(10)
    try:
        yield bench.url
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
