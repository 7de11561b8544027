"""Every way in which an exchange can end, each exactly once, and what either side sees of it."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path

import pytest
from running_sidecar import eventually, free_ports
from running_worker import WorkerStarter
from scripted_upstream import Gone, Peer, ScriptedUpstream, plain
from wire import Wire, ask, get, post

from monitor.proxy.upstream import UpstreamConnection

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b"9\r\ndata: 1\n\n\r\n"


class Hanging:
    """Reads a request, sends `first`, and then waits until its client is gone."""

    def __init__(self, first: bytes = b"") -> None:
        self.first = first
        self.asked = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.read_request()
        if self.first:
            await peer.send(self.first)
        self.asked.set()
        await peer.wait_gone()
        self.gone.set()
        raise Gone


@pytest.mark.parametrize("first", [b"", HEAD, HEAD + EVENT], ids=["no byte", "head", "stream"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_goes_is_gone_for_the_server_at_once(
    worker: WorkerStarter, scripted: ScriptedUpstream, first: bytes, how: str
) -> None:
    scripted.script = hanging = Hanging(first)
    running = worker(scripted.url)
    wire = await Wire.open(running.port)
    await wire.send(post(b"{}"))
    await asyncio.wait_for(hanging.asked.wait(), 10)
    if first:
        await wire.exactly(len(first))
    getattr(wire, how)()
    await asyncio.wait_for(hanging.gone.wait(), 0.8)  # not at the next look at the time limits, but at once
    exchange = await running.exchange()
    assert (exchange.ending, exchange.status) == ("client_gone", 200 if first else 0)
    assert (await running.stop()).endings == {"client_gone": 1}


async def test_a_client_that_goes_with_requests_waiting_is_gone_for_the_server_at_once(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    scripted.script = hanging = Hanging()
    running = worker(scripted.url)
    wire = await Wire.open(running.port)
    await wire.send(post(b"{}") * 3 + post(b"cut off")[:-3])
    await asyncio.wait_for(hanging.asked.wait(), 10)
    wire.close()
    await asyncio.wait_for(hanging.gone.wait(), 0.8)
    report = await running.stop()
    assert report.endings == {"client_gone": 4}
    assert report.sampled == report.seen == {"chat_completions": 4}


async def test_a_client_that_goes_while_it_is_not_read_is_noticed(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    scripted.script = hanging = Hanging()
    running = worker(scripted.url)
    wire = await Wire.open(running.port)
    await wire.send(get() * 300)  # more than are read ahead
    await asyncio.wait_for(hanging.asked.wait(), 10)
    await wire.send(get() * 300)
    wire.close()
    await asyncio.wait_for(hanging.gone.wait(), 5)


async def test_a_client_that_goes_during_the_upload_is_gone_for_the_server(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        try:
            await peer.read_request()
        finally:
            gone.set()

    scripted.script = script
    running = worker(scripted.url)
    wire = await Wire.open(running.port)
    await wire.send(post(b"x" * 1000)[:-1])
    await eventually(lambda: scripted.connections == 1, "the upload begins")
    wire.close()
    await asyncio.wait_for(gone.wait(), 10)
    assert scripted.seen == []
    assert (await running.stop()).endings == {"client_gone": 1}


async def test_a_client_that_goes_while_the_proxy_connects_ends_its_exchange(worker: WorkerStarter) -> None:
    with full_backlog() as port:
        running = worker(f"http://127.0.0.1:{port}")
        wire = await Wire.open(running.port)
        await wire.send(post(b"{}") * 2)
        await eventually(lambda: running.report() and running.report().connections == 1, "the request is read")
        wire.close()
        assert (await running.exchange(1)).ending == "client_gone"
        assert (await running.stop()).endings == {"client_gone": 2}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("sent", [HEAD, HEAD + EVENT, HEAD + EVENT + b"9\r\ndat", plain(b"abcdef")[:-3]])
async def test_a_server_that_breaks_off_inside_a_response_breaks_off_the_client(
    worker: WorkerStarter, scripted: ScriptedUpstream, sent: bytes, how: str
) -> None:
    delivered = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(sent)
        await delivered.wait()
        getattr(peer, how)()

    scripted.script = script
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        await wire.send(post(b"{}"))
        assert await wire.exactly(len(sent)) == sent
        delivered.set()
        assert await wire.rest() == b""  # neither [DONE] nor a last chunk
    assert (await running.exchange()).ending == "upstream_broke"
    assert (await running.stop()).endings == {"upstream_broke": 1}


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"GET / HTTP/1.0"])
async def test_a_response_without_a_length_that_is_reset_does_not_look_complete(
    worker: WorkerStarter, scripted: ScriptedUpstream, request_line: bytes
) -> None:
    delivered = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await delivered.wait()
        peer.reset()

    scripted.script = script
    async with await Wire.open(worker(scripted.url).port) as wire:
        await wire.send(request_line + b"\r\nHost: t\r\n\r\n")
        await wire.read_until(b"abc")
        delivered.set()
        with pytest.raises(ConnectionResetError):
            await wire.rest()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", b"nonsense\r\n\r\n"])
async def test_a_server_that_breaks_off_before_its_response_gives_a_502_that_says_so(
    worker: WorkerStarter, scripted: ScriptedUpstream, sent: bytes, how: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        if sent:
            await peer.send(sent)
        getattr(peer, how)()

    scripted.script = script
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        for _ in range(2):  # the client's connection stays usable
            await wire.send(post(b"{}"))
            answer = await wire.answer()
            assert answer.status == 502
            assert json.loads(answer.body)["error"]["source"] == "alignment-monitor"
    exchange = await running.exchange()
    assert (exchange.ending, exchange.status) == ("upstream_error", 0)
    report = await running.stop()
    assert (report.endings, report.rejected) == ({"upstream_error": 2}, {"upstream_error": 2})


async def test_no_server_gives_a_502_and_a_head_request_gets_it_without_a_body(worker: WorkerStarter) -> None:
    running = worker(f"http://127.0.0.1:{free_ports(1)[0]}")
    async with await Wire.open(running.port) as wire:
        await wire.send(b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert (await wire.answer(head_only=True)).status == 502
        await wire.send(post(b"{}") + post(b"{}"))
        for _ in range(2):
            answer = await wire.answer()
            assert answer.status == 502
            assert json.loads(answer.body)["error"]["type"] == "upstream_unreachable"
    assert (await running.stop()).endings == {"upstream_error": 3}


async def test_a_host_that_cannot_be_looked_up_gives_a_502(worker: WorkerStarter) -> None:
    assert (await ask(worker(f"http://{'x' * 64}.invalid:80").port, get())).status == 502


async def test_a_server_that_cannot_be_connected_to_in_time_gives_a_504(worker: WorkerStarter) -> None:
    with full_backlog() as port:
        running = worker(f"http://127.0.0.1:{port}", {"connect_timeout_s": 0.2})
        answer = await ask(running.port, post(b"{}"))
        assert answer.status == 504
        assert json.loads(answer.body)["error"]["type"] == "upstream_timeout"
        assert (await running.stop()).endings == {"upstream_error": 1}


async def test_a_server_that_does_not_answer_in_time_gives_a_504_and_is_told(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    scripted.script = hanging = Hanging()
    running = worker(scripted.url, {"first_byte_timeout_s": 0.1})
    assert (await ask(running.port, post(b"{}"))).status == 504
    await asyncio.wait_for(hanging.gone.wait(), 10)
    assert (await running.exchange()).ending == "timeout"


async def test_a_stream_that_falls_silent_is_broken_off_on_both_sides(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    scripted.script = hanging = Hanging(HEAD + EVENT)
    running = worker(scripted.url, {"stream_idle_timeout_s": 0.1})
    async with await Wire.open(running.port) as wire:
        await wire.send(post(b"{}"))
        assert await wire.rest() == HEAD + EVENT
    await asyncio.wait_for(hanging.gone.wait(), 10)
    assert (await running.stop()).endings == {"timeout": 1}


async def test_a_slow_upload_is_not_taken_for_a_silent_server(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    """The first-byte limit begins when the server has the request, so an upload may last longer."""
    running = worker(scripted.url, {"first_byte_timeout_s": 0.3})
    async with await Wire.open(running.port) as wire:
        await wire.send(post(b"ab")[:-2])
        await running.looks(2)
        await wire.send(b"ab")
        assert (await wire.answer()).body == b"ab"


async def test_a_server_that_answers_before_it_has_read_the_request_is_heard(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(plain(b"too large", status="413 Content Too Large"))
        peer.close()

    scripted.script = script
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        await wire.send(
            b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000
        )
        answer = await wire.answer()
        assert (answer.status, answer.body) == (413, b"too large")
        await wire.send(b"x" * 100_000)  # is thrown away
        assert await wire.rest() == b""
    assert (await running.stop()).endings == {"complete": 1}


async def test_a_server_that_answers_and_never_reads_the_request_to_its_end_keeps_no_connection(
    worker: WorkerStarter, tmp_path: Path
) -> None:
    """What waits to be written would keep a connection that is only closed open for ever."""
    sent, over = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_head()
        await sent.wait()
        await peer.send(plain(b"heard enough"))
        await over.wait()
        raise Gone

    def connections() -> list[UpstreamConnection]:
        gc.collect()
        return [found for found in gc.get_objects() if isinstance(found, UpstreamConnection) and not found.closed]

    async with ScriptedUpstream(script, unix_path=tmp_path / "vllm.sock") as upstream:
        running = worker(upstream.url)
        async with await Wire.open(running.port) as wire:
            await wire.send(b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
            await eventually(lambda: upstream.open and connections(), "a connection to the server")
            (connection,) = connections()
            while not connection.transport.get_write_buffer_size():  # until the kernel takes no more
                await wire.send(b"2000\r\n%b\r\n" % bytes(0x2000))
                await asyncio.sleep(0.001)
            await wire.send(b"0\r\n\r\n")
            await asyncio.sleep(0.05)
            sent.set()
            assert (await wire.answer()).body == b"heard enough"
            await eventually(lambda: connection.closed, "the connection's end")
        over.set()
    assert (await running.stop()).endings == {"complete": 1}


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"junk"])
async def test_bytes_behind_a_response_are_never_taken_for_the_next_one(
    worker: WorkerStarter, scripted: ScriptedUpstream, extra: bytes
) -> None:
    async def script(peer: Peer) -> None:
        seen = await peer.read_request()
        await peer.send(plain(seen.body))
        if seen.body == b"first":
            await peer.send(extra)
            await peer.wait_gone()
            raise Gone

    scripted.script = script
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        await wire.send(post(b"first"))
        first = await wire.answer()  # or a 502, when the junk came together with the response
        assert first.body == b"first" or first.status == 502
        await eventually(lambda: scripted.open == 0, "the connection is not kept")
        await wire.send(post(b"second"))
        assert (await wire.answer()).body == b"second"


async def test_an_idle_connection_that_the_server_closed_is_not_used_again(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(plain((await peer.read_request()).body))
        peer.close()

    scripted.script = script
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        for number in range(20):
            await wire.send(post(b"%d" % number))
            assert (await wire.answer()).body == b"%d" % number
            await eventually(lambda: scripted.open == 0, "closed")
    assert (await running.stop()).endings == {"complete": 20}


async def test_an_idle_connection_is_closed_before_the_server_would(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = worker(scripted.url, {"pool_idle_s": 0.1})
    assert (await ask(running.port, post(b"a"))).status == 200
    await eventually(lambda: scripted.open == 0, "the idle connection is closed", within_s=3)
    assert (await ask(running.port, post(b"a"))).status == 200
    assert scripted.connections == 2


async def test_a_response_that_says_close_is_the_last_of_its_connection(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(plain(b"ok", headers=b"connection: close\r\n"))
        await peer.wait_gone()
        raise Gone

    scripted.script = script
    async with await Wire.open(worker(scripted.url).port) as wire:
        for number in range(1, 4):
            await wire.send(get())
            answer = await wire.answer()
            assert (answer.status, answer.header("connection")) == (200, None)
            assert scripted.connections == number


async def test_a_server_on_a_unix_socket_is_reached(worker: WorkerStarter, tmp_path: Path) -> None:
    async with ScriptedUpstream(unix_path=tmp_path / "vllm.sock") as upstream:
        running = worker(upstream.url)
        assert (await ask(running.port, post(b"over unix"))).body == b"over unix"
        assert (await ask(running.port, b"GET / HTTP/1.0\r\n\r\n")).status == 200
        assert upstream.seen[1].header("host") == "localhost"


class full_backlog:
    """A port whose connections are never accepted, and whose queue is full."""

    def __enter__(self) -> int:
        import socket

        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self._server.listen(0)
        self._fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._server.getsockname())
            self._fillers.append(filler)
        port: int = self._server.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        for filler in self._fillers:
            filler.close()
        self._server.close()
