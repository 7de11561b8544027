"""What the proxy does not forward: requests that two parsers could read differently, and those it does not carry."""

from __future__ import annotations

import asyncio
import json

import pytest
from running_worker import WorkerStarter
from scripted_upstream import Peer, ScriptedUpstream, plain
from wire import Wire, ask, get, post

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"


def request(headers: bytes, body: bytes = b"", line: bytes = b"POST /v1/completions HTTP/1.1") -> bytes:
    return line + b"\r\nHost: t\r\n" + headers + b"\r\n" + body


AMBIGUOUS = {
    "length and chunks": request(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "chunks and length": request(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "chunked twice": request(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "identity, then chunked": request(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "chunked, then identity": request(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "identity": request(b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "identity with a length": request(b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
    "x-chunked": request(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "quoted chunked": request(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"),
    "chunked before a tab": request(b"Transfer-Encoding: chunked\t\r\n", b"0\r\n\r\n"),
    "vertical tab before chunked": request(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
    "empty coding": request(b"Transfer-Encoding: \r\n", b"0\r\n\r\n"),
    "chunks in HTTP/1.0": request(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"POST / HTTP/1.0"),
    "two lengths": request(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"01234"),
    "the same length twice": request(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"01234"),
    "list of lengths": request(b"Content-Length: 5, 5\r\n", b"01234"),
    "signed length": request(b"Content-Length: +5\r\n", b"01234"),
    "negative length": request(b"Content-Length: -5\r\n", b"01234"),
    "hexadecimal length": request(b"Content-Length: 0x5\r\n", b"01234"),
    "length beyond 64 bits": request(b"Content-Length: 18446744073709551621\r\n", b"01234"),
    "empty length": request(b"Content-Length: \r\n", b"01234"),
    "space before the colon": request(b"Content-Length : 5\r\n", b"01234"),
    "folded header": request(b"X-A: b\r\n c\r\n"),
    "folded coding": request(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"),
    "space before the first header": b"GET / HTTP/1.1\r\n Host: t\r\n\r\n",
    "NUL in a value": request(b"X-A: b\0c\r\n"),
    "NUL in a name": request(b"X\0A: b\r\n"),
    "control byte in a value": request(b"X-A: b\x01c\r\n"),
    "bare line feeds": b"POST / HTTP/1.1\nHost: t\nContent-Length: 0\n\n",
    "one bare line feed": request(b"X-A: b\nX-B: c\r\n"),
    "bare carriage return": request(b"X-A: b\rX-B: c\r\n"),
    "line feed at the end": b"GET / HTTP/1.1\r\nHost: t\r\n\n",
    "name with a bracket": request(b"X(A: b\r\n"),
    "name beyond ASCII": request(b"X\xe9: b\r\n"),
    "no name": request(b": b\r\n"),
    "no colon": request(b"X-A\r\n"),
    "two hosts": request(b"Host: other\r\n"),
    "space in the target": b"GET /a b HTTP/1.1\r\nHost: t\r\n\r\n",
    "tab in the target": b"GET /a\tb HTTP/1.1\r\nHost: t\r\n\r\n",
    "control byte in the target": b"GET /a\x01b HTTP/1.1\r\nHost: t\r\n\r\n",
    "NUL in the target": b"GET /a\0b HTTP/1.1\r\nHost: t\r\n\r\n",
    "byte beyond ASCII in the target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: t\r\n\r\n",
    "no slash": b"GET a HTTP/1.1\r\nHost: t\r\n\r\n",
    "unknown method": b"FOO / HTTP/1.1\r\nHost: t\r\n\r\n",
    "lower-case method": b"get / HTTP/1.1\r\nHost: t\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: t\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
}


@pytest.mark.parametrize("raw", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_what_is_ambiguous_is_refused_and_nothing_of_it_reaches_the_server(
    worker: WorkerStarter, scripted: ScriptedUpstream, raw: bytes
) -> None:
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        await wire.send(raw + SMUGGLED)
        answer = await wire.answer()
        assert answer.status in (400, 501, 505)
        assert json.loads(answer.body)["error"]["source"] == "alignment-monitor"
        assert await wire.rest() == b""  # one answer, and the end
    report = await running.stop()
    assert sum(report.rejected.values()) == 1
    assert report.seen == report.endings == {}
    assert scripted.seen == []


BAD_CHUNKS = {
    "hexadecimal prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "sign": b"-3\r\nabc\r\n0\r\n\r\n",
    "no digit": b"\r\nabc\r\n0\r\n\r\n",
    "beyond 64 bits": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "bare line feed": b"3\nabc\r\n0\r\n\r\n",
    "bare line feed behind the data": b"3\r\nabc\n0\r\n\r\n",
    "bare line feed in an extension": b"3;a\nabc\r\n0\r\n\r\n",
    "control byte in an extension": b"3;a=\x01\r\nabc\r\n0\r\n\r\n",
    "more data than announced": b"3\r\nabcd\r\n0\r\n\r\n",
    "less data than announced": b"5\r\nabc\r\n0\r\n\r\n",
    "space before the extension": b"3 ;a\r\nabc\r\n0\r\n\r\n",
    "length in the trailers": b"3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
    "coding in the trailers": b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "folded trailer": b"3\r\nabc\r\n0\r\nX: a\r\n b\r\n\r\n",
}


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
async def test_a_body_with_bad_chunks_is_refused_and_never_completed_for_the_server(
    worker: WorkerStarter, scripted: ScriptedUpstream, chunks: bytes, apart: bool
) -> None:
    running = worker(scripted.url)
    head = b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with await Wire.open(running.port) as wire:
        if apart:
            await wire.send(head + b"5\r\nfirst\r\n")
            for at in range(len(chunks)):
                await wire.send(chunks[at : at + 1])
                await asyncio.sleep(0)
            await wire.send(SMUGGLED)
        else:
            await wire.send(head + chunks + SMUGGLED)
        assert (await wire.answer()).status == 400
        assert await wire.rest() == b""
    report = await running.stop()
    assert scripted.seen == []
    assert scripted.open == 0
    assert report.endings == {"client_gone": 1}
    assert report.sampled == {"completions": 1}


async def test_a_refused_request_is_answered_after_those_before_it(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async with await Wire.open(worker(scripted.url).port) as wire:
        await wire.send(post(b"one") + post(b"two") + b"nonsense\r\n\r\n" + post(b"three"))
        assert (await wire.answer()).body == b"one"
        assert (await wire.answer()).body == b"two"
        assert (await wire.answer()).status == 400
        assert await wire.rest() == b""
    assert [seen.body for seen in scripted.seen] == [b"one", b"two"]


async def test_a_body_that_goes_bad_under_a_running_response_breaks_it_off(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
        await peer.wait_gone()
        peer.close()

    scripted.script = script
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        await wire.read_until(b"abc")
        await wire.send(b"nonsense\r\n")
        assert await wire.rest() == b""
    assert (await running.stop()).endings == {"client_gone": 1}


@pytest.mark.parametrize("value", [b"websocket", b"WebSocket", b"h2c, websocket"])
async def test_websocket_is_refused_clearly(worker: WorkerStarter, scripted: ScriptedUpstream, value: bytes) -> None:
    extra = b"Connection: keep-alive, Upgrade\r\nUpgrade: %b\r\nSec-WebSocket-Key: x\r\n" % value
    answer = await ask(worker(scripted.url).port, get("/v1/realtime", extra))
    assert answer.status == 501
    assert "WebSocket" in json.loads(answer.body)["error"]["message"]
    assert scripted.connections == 0


async def test_another_upgrade_is_ignored_and_the_connection_stays_http(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    """The parser takes what follows for another protocol; a body lost there would be the server's next request."""
    extra = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
    chunked = b"POST / HTTP/1.1\r\nHost: t\r\n" + extra + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    requests = get(extra=extra) + post(b"body", extra=extra) + chunked + post(b"", extra=extra) + post(b"last")
    running = worker(scripted.url)
    for step in (1, 7, len(requests)):
        async with await Wire.open(running.port) as wire:
            for at in range(0, len(requests), step):
                await wire.send(requests[at : at + step])
                await asyncio.sleep(0)
            assert [(await wire.answer()).body for _ in range(5)] == [b"", b"body", b"abc", b"", b"last"]
    assert all(
        seen.header(name) is None for seen in scripted.seen for name in ("upgrade", "http2-settings", "connection")
    )
    assert (await running.exchange(0)).request == b"body"


async def test_a_server_that_switches_protocols_unasked_gives_a_502(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nxx")
        await peer.wait_gone()
        peer.close()

    scripted.script = script
    assert (await ask(worker(scripted.url).port, get())).status == 502


async def test_many_upgrades_in_one_piece_do_not_exhaust_the_stack(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    small = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        await wire.send(small * 1500)
        assert (await wire.answer()).status == 200
    assert (await ask(running.port, get())).status == 200


async def test_connect_is_refused(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    answer = await ask(worker(scripted.url).port, b"CONNECT example.org:443 HTTP/1.1\r\nHost: t\r\n\r\n" + SMUGGLED)
    assert answer.status == 501


@pytest.mark.parametrize("size", [70_000, 600_000])
async def test_a_head_beyond_the_limit_is_refused(worker: WorkerStarter, scripted: ScriptedUpstream, size: int) -> None:
    async with await Wire.open(worker(scripted.url).port) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: t\r\n" + b"".join(b"x-%d: 1\r\n" % n for n in range(size // 9)))
        await wire.send(b"\r\n")
        assert (await wire.answer()).status == 431
    assert scripted.connections == 0


async def test_one_endless_header_is_refused_before_its_end(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    async with await Wire.open(worker(scripted.url).port) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: t\r\nx: ")
        for _ in range(64):
            await wire.send(b"x" * 16384)
        assert (await wire.answer()).status == 431


async def test_endless_trailers_are_refused(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        await wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        for _ in range(100):
            await wire.send(b"x-trailer: %b\r\n" % (b"x" * 1000))
        assert (await wire.answer()).status == 431
    assert scripted.seen == []


async def test_a_large_body_before_the_next_head_does_not_count_as_head(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async with await Wire.open(worker(scripted.url).port) as wire:
        await wire.send(post(b"x" * 200_000) + get()[:-10])
        assert len((await wire.answer()).body) == 200_000
        await wire.send(get()[-10:])
        assert (await wire.answer()).status == 200


async def test_a_client_that_never_ends_its_head_is_cut_off_however_slowly_it_sends(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = worker(scripted.url, {"client_idle_timeout_s": 1.5})
    async with await Wire.open(running.port) as wire:
        await wire.send(b"GET / HTTP/1.1\r\n")
        ended = asyncio.ensure_future(wire.rest())
        for _ in range(6):
            wire.writer.write(b"x: 1\r\n")
            await running.looks(1)
            if ended.done():
                break
        assert ended.done()
        assert await ended == b""


async def test_an_idle_client_is_closed_and_one_with_a_running_request_is_not(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await go_on.wait()
        await peer.send(plain(b"late"))

    scripted.script = script
    running = worker(scripted.url, {"client_idle_timeout_s": 0.2})
    async with await Wire.open(running.port) as idle, await Wire.open(running.port) as waiting:
        await waiting.send(get())
        assert await idle.rest() == b""
        await running.looks(2)
        go_on.set()
        assert (await waiting.answer()).body == b"late"


async def test_too_many_pipelined_requests_are_refused_behind_the_answers_to_the_first(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await go_on.wait()
        await peer.send(plain(b""))

    scripted.script = script
    running = worker(scripted.url)
    small = b"GET / HTTP/1.1\r\n\r\n"
    async with await Wire.open(running.port) as wire:
        await wire.send(small * 4000)
        go_on.set()
        statuses = []
        while not statuses or statuses[-1] == 200:
            statuses.append((await wire.answer()).status)
            if len(statuses) == 4000:
                break
        assert statuses[-1] in (200, 429)
    report = await running.stop()
    assert sum(report.endings.values()) == sum(report.seen.values())


async def test_an_absolute_target_reaches_the_same_server(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    running = worker(scripted.url)
    raw = b"POST http://elsewhere.example/v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}"
    assert (await ask(running.port, raw)).body == b"{}"
    assert (await running.stop()).sampled == {"chat_completions": 1}


AMBIGUOUS_RESPONSES = {
    "length and chunks": b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunks and length": b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "two lengths": b"content-length: 3\r\ncontent-length: 5\r\n\r\nabcde",
    "list of lengths": b"content-length: 3, 3\r\n\r\nabc",
    "signed length": b"content-length: +3\r\n\r\nabc",
    "hexadecimal prefix of a chunk": b"transfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "folded header": b"x: a\r\n b\r\ncontent-length: 3\r\n\r\nabc",
    "space before the colon": b"content-length : 3\r\n\r\nabc",
    "bare line feed at the end": b"content-length: 3\r\n\nabc",
    "bare carriage return": b"x: a\rcontent-length: 5\r\ncontent-length: 3\r\n\r\nabc",
    "NUL in a value": b"x: a\0b\r\ncontent-length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("raw", AMBIGUOUS_RESPONSES.values(), ids=AMBIGUOUS_RESPONSES.keys())
async def test_a_response_that_two_parsers_could_read_differently_is_not_passed_on(
    worker: WorkerStarter, scripted: ScriptedUpstream, raw: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + raw)
        await peer.wait_gone()
        peer.close()

    scripted.script = script
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        for _ in range(2):
            await wire.send(post(b"{}"))
            answer = await wire.answer()
            assert (answer.status, json.loads(answer.body)["error"]["type"]) == (502, "upstream_error")
    assert (await running.stop()).endings == {"upstream_error": 2}


async def test_a_chunk_extension_without_end_costs_no_memory_and_is_not_forwarded(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        await wire.send(b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3;x=")
        for _ in range(64):
            await wire.send(b"y" * 16384)
        await wire.send(b"\r\nabc\r\n0\r\n\r\n")
        assert (await wire.answer()).body == b"abc"
    assert scripted.seen[0].raw_body == b"3\r\nabc\r\n0\r\n\r\n"
