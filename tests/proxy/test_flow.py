"""Slow clients, slow servers, and what either may cost in memory."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

from running_sidecar import Sidecar, SidecarStarter, eventually
from running_worker import WorkerStarter
from scripted_upstream import Gone, Peer, ScriptedUpstream, plain
from wire import Wire, ask, get, post

from monitor.proxy.client import ClientConnection
from monitor.proxy.request import Request, RequestReader
from monitor.proxy.upstream import UpstreamConnection


async def next_report(running: Sidecar) -> None:
    """Return when the analysis process has heard twice more from the workers."""
    for _ in range(2):
        before = await running.metric("alignment_analysis_last_loop_timestamp_seconds")

        async def later(before: float = before) -> bool:
            return await running.metric("alignment_analysis_last_loop_timestamp_seconds") > before + 0.5

        await eventually(later, "a turn of the analysis process")


MEGABYTE = bytes(1 << 20)


def resident_bytes(pid: int) -> int:
    """Memory that a process has in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


async def test_a_client_that_does_not_read_costs_little_memory_and_stops_the_server(
    sidecar: SidecarStarter, scripted: ScriptedUpstream
) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        if "/large" not in (await peer.read_request()).line:
            await peer.send(plain(b"{}"))  # the monitor's own look at the list of models
            return
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (200 << 20))
        while sent < 200:
            await peer.send(MEGABYTE)
            sent += 1

    scripted.script = script
    running = await sidecar(scripted.url, {"proxy": {"routes": {"allow": ["/large"]}}})
    (pid,) = running.children("worker")
    before = resident_bytes(pid)
    async with await Wire.open(running.port, receive_buffer=65536) as wire:
        await wire.send(get("/large"))
        await wire.read_until(b"\r\n\r\n")
        stands_at = -1
        while sent != stands_at:  # until the server gets rid of nothing more between two reports of the worker
            stands_at = sent
            await next_report(running)
        assert sent < 60
        assert resident_bytes(pid) - before < 16 << 20
        left = 200 << 20
        while left:
            piece = await wire.reader.read(1 << 20)
            assert piece, f"ended {left} bytes early"
            left -= len(piece)
    assert sent == 200


async def test_a_connection_whose_client_was_slow_is_whole_again_for_the_next(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    """The last bytes may fill the client's buffer: the server's connection must not stay unread in the pool."""
    body = bytes(12 << 20)

    async def script(peer: Peer) -> None:
        seen = await peer.read_request()
        await peer.send(plain(body if seen.body == b"large" else b"small"))

    scripted.script = script
    running = worker(scripted.url)
    for _ in range(5):
        async with await Wire.open(running.port, receive_buffer=65536) as wire:
            await wire.send(post(b"large") + post(b"small"))
            head = await wire.read_until(b"\r\n\r\n")
            assert b"200 OK" in head
            assert await wire.exactly(len(body)) == body
            assert (await wire.answer()).body == b"small"
        assert (await ask(running.port, post(b"small"))).body == b"small"
    assert scripted.connections <= 2


async def test_a_server_that_does_not_read_stops_the_client(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await go_on.wait()
        await peer.send(plain(b"%d" % len((await peer.read_request()).body)))

    scripted.script = script
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        wire.writer.write(post(bytes(64 << 20)))
        left = -1
        while left != wire.writer.transport.get_write_buffer_size():
            left = wire.writer.transport.get_write_buffer_size()
            await running.looks(1)
        assert left > 32 << 20
        go_on.set()
        assert (await wire.answer()).body == b"%d" % (64 << 20)


async def test_a_client_that_has_stopped_reading_is_cut_off_in_the_end(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        while True:
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + MEGABYTE)

    scripted.script = script
    running = worker(scripted.url, {"stream_idle_timeout_s": 0.2})
    async with await Wire.open(running.port, receive_buffer=65536) as wire:
        await wire.send(get())
        assert await eventually(lambda: running.report() and running.report().endings, "cut off")
        await eventually(lambda: scripted.open == 0, "the server is told")
    assert (await running.stop()).endings == {"client_gone": 1}


async def test_nothing_stays_behind_after_any_ending(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    async def script(peer: Peer) -> None:
        seen = await peer.read_request()
        if seen.body == b"reset":
            peer.reset()
        elif seen.body == b"cut":
            await peer.send(plain(b"whole")[:-2])
            peer.close()
        elif seen.body == b"hang":
            await peer.wait_gone()
            raise Gone
        else:
            await peer.send(plain(b"ok", headers=b"connection: close\r\n"))

    scripted.script = script
    running = worker(scripted.url)
    for _ in range(10):
        await ask(running.port, post(b"ok"))
        await ask(running.port, post(b"reset"))
        await ask(running.port, b"nonsense\r\n\r\n")
        for body in (b"cut", b"hang"):
            async with await Wire.open(running.port) as wire:
                await wire.send(post(body) * 2)
                if body == b"cut":
                    await wire.rest()
                else:
                    await eventually(lambda: scripted.seen[-1].body == b"hang", "the request is there")
    report = await running.stop()
    assert report.endings == {"complete": 10, "upstream_error": 10, "upstream_broke": 10, "client_gone": 30}
    assert report.seen == report.sampled == {"chat_completions": 60}
    kinds = (ClientConnection, UpstreamConnection, RequestReader, Request)
    gc.collect()
    assert [found for found in gc.get_objects() if isinstance(found, kinds)] == []
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() in ("connect", "tick")] == []


async def test_draining_lets_a_running_stream_end_and_cuts_off_what_outlasts_the_grace(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        seen = await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
        await (go_on.wait() if seen.body == b"ends" else peer.wait_gone())
        await peer.send(b"def")

    scripted.script = script
    running = worker(scripted.url, {"drain_grace_s": 1.0})
    async with (
        await Wire.open(running.port) as ends,
        await Wire.open(running.port) as lasts,
        await Wire.open(running.port) as idle,
    ):
        for wire, body in ((ends, b"ends"), (lasts, b"lasts")):
            await wire.send(post(body))
            await wire.read_until(b"abc")
        stopping = asyncio.ensure_future(running.stop())
        assert await idle.rest() == b""
        go_on.set()
        assert await ends.rest() == b"def"
        assert await lasts.rest() == b""
        assert (await stopping).endings == {"complete": 1, "client_gone": 1}
