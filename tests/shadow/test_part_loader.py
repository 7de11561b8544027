"""Parts that are loaded to be asked, by a real server that is told so: when, under which name, and that they go again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from monitor.adapters import ServedModel
from monitor.probes.asking import probe_session
from monitor.records import Part
from monitor.shadow import PartLoader, ShadowClient
from monitor.shadow.part_loader import IDLE_S, LOOK_S, PREFIX, RETRY_FILES_S, RETRY_S
from monitor.telemetry.pair_metrics import PairMetrics

A, B, C = Part("a"), Part("b", digest="b" * 64), Part("c")


class Stage:
    """A loader before a server that keeps what it was told to load."""

    def __init__(self) -> None:
        self.loaded: dict[str, str] = {}
        self.told: list[str] = []
        self.status = 200
        self.folders = {"a": "/adapters/a", "b": "/adapters/b", "c": "/adapters/c"}
        self.refused: set[str] = set()
        self.now = 0.0
        self.patience_s = 5.0
        self.slow_s = 0.0
        self.registry: CollectorRegistry
        self.session: Any
        self.loader: PartLoader

    def connect(self, session: Any, sidecar: str = "one") -> None:
        self.session, self.registry = session, CollectorRegistry()
        self.loader = PartLoader(
            ShadowClient(session, self.patience_s),
            2,
            lambda part: self.folders.get(part.adapter, ""),
            lambda part, _path: "quarantined" if part.adapter in self.refused else "",
            PairMetrics(self.registry),
            sidecar,
            lambda: self.now,
        )

    async def load(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.told.append(f"load {body['lora_name']}")
        if self.status == 200:
            self.loaded[body["lora_name"]] = body["lora_path"]
        await asyncio.sleep(self.slow_s)
        return web.Response(status=self.status)

    async def unload(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        self.told.append(f"unload {name}")
        if self.status != 200:
            return web.Response(status=self.status)
        return web.Response(status=200 if self.loaded.pop(name, None) else 404)

    def count(self, result: str) -> float | None:
        return self.registry.get_sample_value("alignment_shadow_part_loads_total", {"result": result})

    @property
    def names(self) -> list[str]:
        return [one.served_name for one in self.loader.served]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    app = web.Application()
    app.router.add_post("/v1/load_lora_adapter", made.load)
    app.router.add_post("/v1/unload_lora_adapter", made.unload)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    session = probe_session(f"http://127.0.0.1:{runner.addresses[0][1]}", reuse=False)
    made.connect(session)
    yield made
    await session.close()
    await runner.cleanup()


async def test_what_is_wanted_is_loaded_under_a_name_of_its_own_until_nobody_wants_it(stage: Stage) -> None:
    stage.loader.want([B], "base")
    assert stage.loader.served == [], "wanting does not wait"
    await stage.loader.look()
    assert stage.loaded == {stage.loader.name_of(B): "/adapters/b"}
    assert stage.loader.name_of(B).startswith(PREFIX)
    (served,) = stage.loader.served
    assert (served.served_name, served.base, served.parts) == (stage.loader.name_of(B), "base", (B,))
    stage.now += IDLE_S
    stage.loader.want([B], "base")
    stage.now += IDLE_S
    await stage.loader.look()
    assert stage.names == [stage.loader.name_of(B)], "it was wanted again meanwhile"
    stage.now += 1
    await stage.loader.look()
    assert (stage.loaded, stage.names) == ({}, [])
    assert stage.told == [f"load {stage.loader.name_of(B)}", f"unload {stage.loader.name_of(B)}"]


async def test_no_more_are_loaded_at_a_time_than_allowed(stage: Stage) -> None:
    stage.loader.want([A, B, C], "base")
    await stage.loader.look()
    assert stage.names == [stage.loader.name_of(A), stage.loader.name_of(B)]
    stage.now += IDLE_S + 1
    stage.loader.want([C], "base")
    await stage.loader.look()
    assert stage.names == [stage.loader.name_of(C)]


async def test_what_may_not_be_loaded_or_has_no_files_is_not(stage: Stage) -> None:
    stage.refused, stage.folders = {"a"}, {"a": "/adapters/a"}
    stage.loader.want([A, B], "base")
    await stage.loader.look()
    await stage.loader.look()
    assert stage.told == []
    assert (stage.count("denied"), stage.count("no_files"), stage.count("ok")) == (1, 1, 0)
    stage.now += RETRY_FILES_S
    stage.folders["b"] = "/adapters/b"
    stage.loader.want([A, B], "base")
    await stage.loader.look()
    assert stage.names == [stage.loader.name_of(B)]
    assert stage.count("denied") == 1


async def test_a_server_that_refuses_is_not_asked_again_for_an_hour(stage: Stage) -> None:
    stage.status = 403
    for _ in range(3):
        stage.loader.want([A], "base")
        await stage.loader.look()
        stage.now += IDLE_S + 1
    assert stage.told == [f"load {stage.loader.name_of(A)}"]
    assert stage.count("unauthorized") == 1
    stage.status, stage.now = 200, RETRY_S
    stage.loader.want([A], "base")
    await stage.loader.look()
    assert stage.names == [stage.loader.name_of(A)]


async def test_what_a_process_before_left_is_hidden_and_unloaded_and_what_another_sidecar_loaded_is_not(
    stage: Stage,
) -> None:
    stage.loader.want([A], "base")
    await stage.loader.look()
    (left,) = stage.loaded
    stage.connect(stage.session, "another")
    stage.loader.want([A], "base")
    await stage.loader.look()
    (theirs,) = set(stage.loaded) - {left}
    stage.connect(stage.session)
    listed = [ServedModel("base", ""), ServedModel("a", "base"), ServedModel(left, "base"), ServedModel(theirs, "base")]
    assert [one.name for one in stage.loader.without_ours(listed)] == ["base", "a", theirs]
    stage.status = 503
    await stage.loader.look()
    assert left in stage.loaded
    stage.status = 200
    await stage.loader.look()
    assert set(stage.loaded) == {theirs}


async def test_what_a_server_that_was_started_anew_does_not_have_is_loaded_again(stage: Stage) -> None:
    before = [ServedModel("base", "")]
    stage.loader.want([A], "base")
    await stage.loader.look()
    stage.loader.without_ours(before)
    assert len(stage.names) == 1, "that list may have been read before it was loaded"
    stage.loader.without_ours([*before, ServedModel(stage.names[0], "base")])
    stage.loaded.clear()
    stage.loader.without_ours(before)
    stage.loader.without_ours(before)
    assert stage.names == []
    await stage.loader.look()
    assert list(stage.loaded) == stage.names == [stage.loader.name_of(A)]


async def test_what_was_loaded_after_the_patience_ended_is_unloaded(stage: Stage) -> None:
    stage.patience_s, stage.slow_s = 0.05, 0.2
    stage.connect(stage.session)
    stage.loader.want([A], "base")
    await stage.loader.look()
    assert (list(stage.loaded), stage.names) == ([stage.loader.name_of(A)], [])
    await stage.loader.look()
    assert stage.loaded == {}


async def test_what_is_being_loaded_at_the_end_is_unloaded(stage: Stage) -> None:
    stage.slow_s = 5.0
    stage.loader.want([A], "base")
    looking = asyncio.create_task(stage.loader.look())
    while not stage.loaded:
        await asyncio.sleep(0.01)
    looking.cancel()
    await asyncio.wait([looking])
    await stage.loader.unload_all()
    assert stage.loaded == {}


async def test_a_part_that_cannot_be_unloaded_does_not_fill_the_log(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.loader.want([A], "base")
    await stage.loader.look()
    stage.status = 500
    stage.now += IDLE_S + 1
    with caplog.at_level(logging.WARNING):
        for _ in range(6):
            await stage.loader.look()
            stage.now += LOOK_S - 1
    assert len(stage.told) == 7
    assert len(caplog.records) == 1


async def test_at_the_end_everything_is_unloaded(stage: Stage) -> None:
    stage.loader.want([A, B], "base")
    await stage.loader.look()
    assert [one.name for one in stage.loader.without_ours([ServedModel(name, "base") for name in stage.loaded])] == []
    await stage.loader.unload_all()
    assert (stage.loaded, stage.names) == ({}, [])
    assert stage.registry.get_sample_value("alignment_shadow_parts_loaded") == 0
