"""WebSocket connections: refused clearly, or carried both ways by a real client to a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from running_sidecar import eventually
from running_worker import WorkerStarter
from scripted_upstream import Peer, ScriptedUpstream, plain
from wire import Wire, ask, get

TUNNEL = {"routes": {"websocket": "tunnel"}}
UPGRADE = (
    b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class EchoServer:
    """A real WebSocket server that repeats what it hears, and says `closed` when its client is gone."""

    def __init__(self) -> None:
        self.url = ""
        self.closed = 0

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 26)
        await socket.prepare(request)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and message.data == "end":
                await socket.close(code=4000)
            elif message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        self.closed += 1
        return socket


@pytest.fixture
async def echo() -> AsyncIterator[EchoServer]:
    server = EchoServer()
    app = web.Application()
    app.router.add_get("/v1/realtime", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


async def test_messages_of_any_size_pass_both_ways_until_the_server_ends_it(
    worker: WorkerStarter, echo: EchoServer
) -> None:
    running = worker(echo.url, TUNNEL)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{running.port}/v1/realtime", max_msg_size=1 << 26) as socket,
    ):
        await socket.send_str("héllo")
        assert await socket.receive_str(timeout=20) == "héllo"
        large = bytes(range(256)) * 40_000
        await socket.send_bytes(large)
        assert await socket.receive_bytes(timeout=20) == large
        await socket.send_str("end")
        assert (await socket.receive(timeout=20)).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4000
    report = await running.stop()
    assert report.endings == {"complete": 1}
    assert report.seen == {"other": 1}
    assert report.responses == {"1xx": 1}


async def test_a_client_that_vanishes_ends_the_servers_side_at_once(worker: WorkerStarter, echo: EchoServer) -> None:
    running = worker(echo.url, TUNNEL)
    async with await Wire.open(running.port) as wire:
        await wire.send(get("/v1/realtime", UPGRADE))
        assert (await wire.answer()).status == 101
        wire.reset()
    await eventually(lambda: echo.closed == 1, "the server's side ends")
    assert (await running.stop()).endings == {"client_gone": 1}


async def test_what_a_client_sends_early_waits_until_the_server_has_switched(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    """A server that does not switch would take those bytes for its next request."""
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await go_on.wait()
        await peer.send(SWITCHED + b"first")
        assert await peer.read_some() == b"earlylate"
        peer.close()

    scripted.script = script
    async with await Wire.open(worker(scripted.url, TUNNEL).port) as wire:
        await wire.send(get("/v1/realtime", UPGRADE) + b"early")
        await wire.send(b"late")
        await eventually(lambda: scripted.seen, "the request")
        assert scripted.seen[0].header("upgrade") == "websocket"
        assert scripted.seen[0].header("connection") == "Upgrade"
        go_on.set()
        assert await wire.read_until(b"\r\n\r\n") == SWITCHED
        assert await wire.rest() == b"first"


async def test_a_server_that_declines_answers_and_gets_nothing_more(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(plain(b"no", status="403 Forbidden"))

    scripted.script = script
    async with await Wire.open(worker(scripted.url, TUNNEL).port) as wire:
        await wire.send(get("/v1/realtime", UPGRADE) + get("/smuggled"))
        answer = await wire.answer()
        assert (answer.status, answer.body, answer.header("connection")) == (403, b"no", "close")
        assert await wire.rest() == b""
    assert len(scripted.seen) == 1


async def test_a_client_that_does_not_read_stops_the_server(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.read_request()
        await peer.send(SWITCHED)
        while sent < 100:
            await peer.send(bytes(1 << 20))
            sent += 1
        peer.close()

    scripted.script = script
    running = worker(scripted.url, TUNNEL)
    async with await Wire.open(running.port, receive_buffer=65536) as wire:
        await wire.send(get("/v1/realtime", UPGRADE))
        await wire.read_until(b"\r\n\r\n")
        stands_at = -1
        while sent != stands_at:
            stands_at = sent
            await running.looks(1)
        assert sent < 60
        left = 100 << 20
        while left:
            piece = await wire.reader.read(1 << 20)
            assert piece, f"ended {left} bytes early"
            left -= len(piece)


@pytest.mark.parametrize(
    "request_bytes",
    [
        get("/v1/realtime", UPGRADE + b"Content-Length: 3\r\n") + b"abc",
        get("/v1/realtime", UPGRADE + b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
        get("/v1/realtime", UPGRADE).replace(b"GET", b"POST", 1),
    ],
    ids=["length", "chunks", "POST"],
)
async def test_a_request_for_websocket_with_a_body_is_refused(
    worker: WorkerStarter, scripted: ScriptedUpstream, request_bytes: bytes
) -> None:
    assert (await ask(worker(scripted.url, TUNNEL).port, request_bytes)).status == 400
    assert scripted.connections == 0


async def test_a_closed_route_is_closed_to_websocket_too(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    assert (await ask(worker(scripted.url, TUNNEL).port, get("/sleep", UPGRADE))).status == 403
    assert scripted.connections == 0


async def test_a_silent_tunnel_is_cut_off(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(SWITCHED)
        await peer.wait_gone()
        peer.close()

    scripted.script = script
    running = worker(scripted.url, {**TUNNEL, "stream_idle_timeout_s": 0.2})
    async with await Wire.open(running.port) as wire:
        await wire.send(get("/v1/realtime", UPGRADE))
        await wire.read_until(b"\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await wire.rest()
    assert (await running.stop()).endings == {"timeout": 1}
