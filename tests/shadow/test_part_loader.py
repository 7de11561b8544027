"""Parts that are loaded to be asked, by a real server that is told so: when, under which name, and that they go again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from monitor.adapters import ServedModel
from monitor.probes.asking import probe_session
from monitor.records import Part
from monitor.shadow import PartLoader, ShadowClient
from monitor.shadow.part_loader import IDLE_S, PREFIX, RETRY_FILES_S, RETRY_S, name_of
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
        self.registry = CollectorRegistry()
        self.loader: PartLoader

    def connect(self, session: Any) -> None:
        self.loader = PartLoader(
            ShadowClient(session, 5.0),
            2,
            lambda part: self.folders.get(part.adapter, ""),
            lambda part, _path: "quarantined" if part.adapter in self.refused else "",
            PairMetrics(self.registry),
            lambda: self.now,
        )

    async def load(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.told.append(f"load {body['lora_name']}")
        if self.status == 200:
            self.loaded[body["lora_name"]] = body["lora_path"]
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
    assert stage.loaded == {name_of(B): "/adapters/b"}
    assert name_of(B).startswith(PREFIX)
    (served,) = stage.loader.served
    assert (served.served_name, served.base, served.parts) == (name_of(B), "base", (B,))
    stage.now += IDLE_S
    stage.loader.want([B], "base")
    stage.now += IDLE_S
    await stage.loader.look()
    assert stage.names == [name_of(B)], "it was wanted again meanwhile"
    stage.now += 1
    await stage.loader.look()
    assert (stage.loaded, stage.names) == ({}, [])
    assert stage.told == [f"load {name_of(B)}", f"unload {name_of(B)}"]


async def test_no_more_are_loaded_at_a_time_than_allowed(stage: Stage) -> None:
    stage.loader.want([A, B, C], "base")
    await stage.loader.look()
    assert stage.names == [name_of(A), name_of(B)]
    stage.now += IDLE_S + 1
    stage.loader.want([C], "base")
    await stage.loader.look()
    assert stage.names == [name_of(C)]


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
    assert stage.names == [name_of(B)]
    assert stage.count("denied") == 1


async def test_a_server_that_refuses_is_not_asked_again_for_an_hour(stage: Stage) -> None:
    stage.status = 403
    for _ in range(3):
        stage.loader.want([A], "base")
        await stage.loader.look()
        stage.now += IDLE_S + 1
    assert stage.told == [f"load {name_of(A)}"]
    assert stage.count("unauthorized") == 1
    stage.status, stage.now = 200, RETRY_S
    stage.loader.want([A], "base")
    await stage.loader.look()
    assert stage.names == [name_of(A)]


async def test_what_a_process_before_left_is_hidden_and_unloaded_and_what_others_load_later_is_not(
    stage: Stage,
) -> None:
    left, other = PREFIX + "0123", PREFIX + "4567"
    stage.loaded[left] = "/adapters/x"
    listed = [ServedModel("base", ""), ServedModel("a", "base"), ServedModel(left, "base")]
    assert [one.name for one in stage.loader.without_ours(listed)] == ["base", "a"]
    stage.status = 503
    await stage.loader.look()
    assert left in stage.loaded
    stage.status = 200
    await stage.loader.look()
    assert stage.loaded == {}
    assert [one.name for one in stage.loader.without_ours([ServedModel(other, "base")])] == [other]


async def test_at_the_end_everything_is_unloaded(stage: Stage) -> None:
    stage.loader.want([A, B], "base")
    await stage.loader.look()
    assert [one.name for one in stage.loader.without_ours([ServedModel(name, "base") for name in stage.loaded])] == []
    await stage.loader.unload_all()
    assert (stage.loaded, stage.names) == ({}, [])
    assert stage.registry.get_sample_value("alignment_shadow_parts_loaded") == 0
