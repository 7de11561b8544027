from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from blockbuster import blockbuster_ctx
from prometheus_client import CollectorRegistry

from monitor.adapters import ServedModel, discovery
from monitor.adapters.discovery import Discovery, DiscoveryError, ModelsClient, client_for
from monitor.telemetry.adapter_metrics import DiscoveryMetrics

MODELS = {"object": "list", "data": [{"id": "base", "root": "/m"}, {"id": "alpha", "root": "/a", "parent": "base"}]}


@dataclass
class Server:
    """A real server whose /v1/models answers as the test says."""

    answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
    url: str = ""
    keys: list[str | None] = field(default_factory=list)

    async def models(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers.get("Authorization"))
        return await self.answer(request)


async def listed(_: web.Request) -> web.StreamResponse:
    return web.json_response(MODELS)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(listed)
    app = web.Application()
    app.router.add_get("/v1/models", made.models)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await web.UnixSite(runner, str(tmp_path / "vllm.sock")).start()
    made.url = site.name.replace("://127.0.0.1:0", f"://127.0.0.1:{runner.addresses[0][1]}")
    yield made
    await runner.cleanup()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[ModelsClient]:
    made = client_for(server.url, None, None)
    yield made
    await made.session.close()


def answers(
    status: int = 200, body: bytes = b"", **headers: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return answer


async def test_the_list_is_read(client: ModelsClient) -> None:
    assert await client.fetch() == [ServedModel("base", "", "/m"), ServedModel("alpha", "base", "/a")]


async def test_a_list_of_many_hundreds_of_adapters_is_read_whole(server: Server, client: ModelsClient) -> None:
    cards = [{"id": f"adapter-{n}", "parent": "base", "permission": [{"id": "x" * 400}]} for n in range(2000)]
    server.answer = answers(body=json.dumps({"data": cards}).encode())
    assert len(await client.fetch()) == 2000


async def test_a_unix_socket_will_do(server: Server, tmp_path: Path) -> None:
    client = client_for(f"unix:{tmp_path / 'vllm.sock'}", None, None)
    assert len(await client.fetch()) == 2
    await client.session.close()


async def test_the_key_is_read_anew_for_every_look_without_holding_up_the_loop(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "key"
    client = client_for(server.url, file, None)
    for key in ("first", "second\n"):
        file.write_text(key)
        with blockbuster_ctx():
            await client.fetch()
    assert server.keys == ["Bearer first", "Bearer second"]
    await client.session.close()


@pytest.mark.parametrize("content", [b"", b"two\nlines", b"\xff\xfe", b"\n"])
async def test_a_key_file_that_holds_no_key_is_told_and_not_sent(
    server: Server, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    client = client_for(server.url, file, None)
    with pytest.raises(DiscoveryError, match="is not one line of ASCII text"):
        await client.fetch()
    assert server.keys == []
    await client.session.close()


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (401, b"{}", "401: the server wants an API key (adapters.api_key_file)"),
        (500, b"oops", "status 500"),
        (404, b"", "status 404"),
        (307, b"", "status 307"),
        (200, b"<html>", "unreadable answer: JSON is malformed: invalid character (byte 0)"),
        (200, b"", "unreadable answer: Input data was truncated"),
        (200, b'{"data": 3}', "unreadable answer: Expected `array`, got `int` - at `$.data`"),
        (200, b'{"data": [{"id": null}]}', "unreadable answer: Expected `str`, got `null` - at `$.data[0].id`"),
        (200, b'{"x":' + b"[" * 100_000, "unreadable answer: maximum recursion depth exceeded"),
        (200, b'{"data": [{"id": "\xff"}]}', "unreadable answer: 'utf-8' codec can't decode byte 0xff"),
    ],
)
async def test_an_answer_that_is_no_list_says_why(
    server: Server, client: ModelsClient, status: int, body: bytes, problem: str
) -> None:
    server.answer = answers(status, body, Location="http://127.0.0.1:1/")
    with pytest.raises(DiscoveryError) as caught:
        await client.fetch()
    assert str(caught.value).startswith(problem)


async def test_an_endless_list_is_given_up(
    server: Server, client: ModelsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "MAX_BODY_BYTES", 1000)
    server.answer = answers(body=bytes(2000))
    with pytest.raises(DiscoveryError, match="longer than 1000 bytes"):
        await client.fetch()


async def test_a_server_that_does_not_answer_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(discovery, "TIMEOUT_S", 0.2)
    server.answer = silent
    client = client_for(server.url, None, None)
    with pytest.raises(DiscoveryError):
        await client.fetch()
    await client.session.close()


async def test_nobody_there_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    client = client_for(f"unix:{tmp_path / 'none.sock'}", None, None)
    with pytest.raises(DiscoveryError):
        await client.fetch()
    await client.session.close()


@dataclass
class Seen:
    """A running discovery and what it told."""

    discovery: Discovery
    registry: CollectorRegistry
    lists: list[Any] = field(default_factory=list)

    def value(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


def watching(client: ModelsClient, interval_s: float = 60.0) -> Seen:
    registry = CollectorRegistry()
    lists: list[Any] = []
    return Seen(Discovery(client, interval_s, lists.append, DiscoveryMetrics(registry)), registry, lists)


async def test_success_and_failure_show_at_once_and_failure_is_logged_once(
    server: Server, client: ModelsClient, caplog: pytest.LogCaptureFixture
) -> None:
    seen = watching(client)
    await seen.discovery.look()
    assert (seen.value("alignment_discovery_up"), len(seen.lists)) == (1, 1)
    success = seen.value("alignment_discovery_last_success_timestamp_seconds")
    server.answer = answers(500)
    for _ in range(3):
        await seen.discovery.look()
    assert (seen.value("alignment_discovery_up"), len(seen.lists)) == (0, 1)
    assert seen.value("alignment_discovery_last_success_timestamp_seconds") == success
    assert [record.message for record in caplog.records] == ["cannot read the server's list of models: status 500"]


async def test_an_unknown_name_makes_it_look_within_two_seconds_and_not_more_often(client: ModelsClient) -> None:
    seen = watching(client)
    running = asyncio.create_task(seen.discovery.run())
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(5):
        while len(seen.lists) < 2:
            seen.discovery.look_soon()
            await asyncio.sleep(0.01)
    assert 1.9 < loop.time() - begun < 4
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_list_that_the_rest_stumbles_over_does_not_end_the_looking(
    client: ModelsClient, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def take(models: Any) -> None:
        seen.append(models)
        if len(seen) == 1:
            raise RuntimeError("a quokka")

    running = asyncio.create_task(Discovery(client, 0.01, take, DiscoveryMetrics(CollectorRegistry())).run())
    async with asyncio.timeout(10):
        while len(seen) < 2:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert "looking at the server's list of models failed (0 more before): RuntimeError at " in caplog.text
    assert "quokka" not in caplog.text
