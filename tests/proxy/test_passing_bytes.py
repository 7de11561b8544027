"""What a client gets through the proxy is what it would have got from the server, byte for byte."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from running_worker import WorkerStarter
from scripted_upstream import Peer, ScriptedUpstream, plain
from wire import Wire, ask, get, post

CHUNKED = b"HTTP/1.1 200 OK\r\nServer: x\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\n"
RESPONSES = {
    "plain": plain(b'{"a": 1}'),
    "empty": plain(b""),
    "no reason phrase": b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok",
    "odd spelling and order": b"HTTP/1.1 299 Whatever You Like\r\nX-B: 1\r\nx-a:2\r\nX-b:  3 \r\nContent-LENGTH: 2\r\n\r\nok",
    "repeated headers": b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n",
    "latin-1 header": b"HTTP/1.1 200 OK\r\nx-name: caf\xe9\r\ncontent-length: 0\r\n\r\n",
    "hop-by-hop": b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\ncontent-length: 2\r\n\r\nok",
    "chunked": CHUNKED + b"3\r\nabc\r\n10;ext=1\r\n0123456789abcdef\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"3\r\nabc\r\n0\r\nX-Sum: 9\r\nx-more: a\r\n\r\n",
    "server-sent events": CHUNKED + b'12\r\ndata: {"a":"\xc3\xa9"}\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n',
    "broken events": CHUNKED + b"9\r\ndata: {\xff\n\r\n5\r\n\x00\x01\r\n\n\r\n0\r\n\r\n",
    "malformed JSON": plain(b'{"choices": [{"message": {"content": "\xff\xfe'),
    "invalid UTF-8": plain(bytes(range(256))),
    "error": plain(b'{"error": {"message": "no"}}', status="404 Not Found"),
    "server error": plain(b"oops", status="500 Internal Server Error", headers=b""),
    "204": b"HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n",
    "304": b'HTTP/1.1 304 Not Modified\r\netag: "x"\r\ncontent-length: 1234\r\n\r\n',
    "401": b'HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer realm="x"\r\ncontent-length: 0\r\n\r\n',
}


@pytest.mark.parametrize("raw", RESPONSES.values(), ids=RESPONSES.keys())
async def test_a_response_passes_unchanged(worker: WorkerStarter, scripted: ScriptedUpstream, raw: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(raw)

    scripted.script = script
    running = worker(scripted.url)
    direct = await ask(scripted.port, post(b"{}"))
    async with await Wire.open(running.port) as wire:
        for _ in range(2):  # the connection is used again, and so is the server's
            await wire.send(post(b"{}"))
            through = await wire.answer()
            assert through.lines == direct.lines
            assert through.raw_body == direct.raw_body
    assert scripted.connections == 2
    assert (await running.exchange()).response == direct.body
    assert (await running.stop()).endings == {"complete": 2}


@pytest.mark.parametrize("raw", RESPONSES.values(), ids=RESPONSES.keys())
async def test_a_response_that_comes_byte_by_byte_passes_unchanged(
    worker: WorkerStarter, scripted: ScriptedUpstream, raw: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        for at in range(len(raw)):
            await peer.send(raw[at : at + 1])
            await asyncio.sleep(0)

    scripted.script = script
    running = worker(scripted.url)
    through = await ask(running.port, get())
    direct = await ask(scripted.port, get())
    assert (through.lines, through.raw_body) == (direct.lines, direct.raw_body)


async def test_chunks_pass_when_they_come_and_are_not_gathered(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(CHUNKED)
        for number in range(3):
            await peer.send(b"8\r\ndata: %d\n\r\n" % number)
            await go_on.wait()
            go_on.clear()
        await peer.send(b"0\r\n\r\n")

    scripted.script = script
    async with await Wire.open(worker(scripted.url).port) as wire:
        await wire.send(post(b"{}"))
        await wire.read_until(b"\r\n\r\n")
        for number in range(3):
            assert await wire.exactly(13) == b"8\r\ndata: %d\n\r\n" % number
            go_on.set()
        assert await wire.exactly(5) == b"0\r\n\r\n"


@pytest.mark.parametrize("framing", [b"content-length: 12\r\n", b"transfer-encoding: chunked\r\n", b""])
async def test_a_response_to_head_has_no_body(
    worker: WorkerStarter, scripted: ScriptedUpstream, framing: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\n%b\r\n" % framing)

    scripted.script = script
    async with await Wire.open(worker(scripted.url).port) as wire:
        for _ in range(2):
            await wire.send(b"HEAD /health HTTP/1.1\r\nHost: test\r\n\r\n")
            assert await wire.answer(head_only=True) == (await ask(scripted.port, get(), head_only=True))


async def test_a_response_that_ends_with_the_connection_passes_and_ends_the_clients(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nabc")
        await peer.send(b"def")
        peer.close()

    scripted.script = script
    running = worker(scripted.url)
    answer = await ask(running.port, get())
    assert answer.body == b"abcdef"
    assert answer.header("connection") == "close"
    assert (await running.stop()).endings == {"complete": 1}


async def test_an_http_1_0_client_gets_the_body_without_chunks(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(CHUNKED + b"3\r\nabc\r\n")
        await peer.send(b"3\r\ndef\r\n0\r\n\r\n")

    scripted.script = script
    answer = await ask(worker(scripted.url).port, b"GET /v1/models HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answer.body == b"abcdef"
    assert answer.header("transfer-encoding") is None
    assert answer.header("connection") == "close"
    assert scripted.seen[0].line == "GET /v1/models HTTP/1.1"
    assert scripted.seen[0].header("host") == f"127.0.0.1:{scripted.port}"


async def test_connection_close_of_the_client_ends_its_connection_but_not_the_servers(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = worker(scripted.url)
    for _ in range(3):
        async with await Wire.open(running.port) as wire:
            await wire.send(post(b"abc", extra=b"Connection: close\r\n"))
            assert (await wire.answer()).body == b"abc"
            assert await wire.rest() == b""
    assert scripted.connections == 1
    assert scripted.seen[0].header("connection") is None


async def test_pipelined_requests_are_answered_in_order(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    running = worker(scripted.url)
    bodies = [b"body %d" % number * number for number in range(200)]
    async with await Wire.open(running.port) as wire:
        await wire.send(b"".join(post(body) for body in bodies))
        assert [(await wire.answer()).body for _ in bodies] == bodies
    assert (await running.stop()).endings == {"complete": 200}


async def test_requests_pass_with_their_headers_and_without_the_hop_by_hop_ones(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    extra = (
        b"Authorization: Bearer sk-secret\r\nX-Request-Id: 7\r\nx-ODD: a b\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
        b"Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nCookie: a=1\r\nCookie: b=2\r\ntraceparent: 00-1\r\n"
    )
    await ask(worker(scripted.url).port, post(b"{}", "/v1/chat/completions?a=%20b", extra))
    assert scripted.seen[0].line == "POST /v1/chat/completions?a=%20b HTTP/1.1"
    assert scripted.seen[0].headers == [
        ("Host", "test"), ("Content-Type", "application/json"), ("Authorization", "Bearer sk-secret"), ("X-Request-Id", "7"),
        ("x-ODD", "a b"), ("Cookie", "a=1"), ("Cookie", "b=2"), ("traceparent", "00-1"), ("Content-Length", "2"),
    ]  # fmt: skip


async def test_a_connection_header_cannot_take_away_what_frames_or_authorises_a_request(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    extra = b"Authorization: Bearer x\r\nConnection: content-length, host, authorization\r\n"
    assert (await ask(worker(scripted.url).port, post(b"abc", extra=extra))).body == b"abc"
    assert scripted.seen[0].header("authorization") == "Bearer x"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_any_method_and_path_passes(worker: WorkerStarter, scripted: ScriptedUpstream, method: str) -> None:
    running = worker(scripted.url, {"routes": {"unlisted": "pass"}})
    await ask(running.port, f"{method} /a//b/%2e%7E?x=%ff&y HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert scripted.seen[0].line == f"{method} /a//b/%2e%7E?x=%ff&y HTTP/1.1"


async def test_a_chunked_upload_passes_while_it_comes(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    got_first = asyncio.Event()

    async def script(peer: Peer) -> None:
        head = await peer.read_head()
        assert b"Transfer-Encoding: chunked\r\n" in head
        received = await peer.read_some()
        got_first.set()
        while not received.endswith(b"0\r\nX-Sum: 1\r\n\r\n"):
            received += await peer.read_some()
        await peer.send(plain(received))

    scripted.script = script
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        await wire.send(
            b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n"
        )
        await asyncio.wait_for(got_first.wait(), 10)
        await wire.send(b"006\r\n world\r\n0\r\nX-Sum: 1\r\nAuthorization: later\r\n\r\n")
        assert (await wire.answer()).body == b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"
    assert (await running.exchange()).request == b"hello world"


async def test_expect_100_continue_is_answered_and_not_forwarded(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async with await Wire.open(worker(scripted.url).port) as wire:
        request = post(b"body", extra=b"Expect: 100-continue\r\n")
        await wire.send(request[:-4])
        assert await wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(b"body" + request[:-4])  # the next one waits for its turn, and then is told as well
        assert (await wire.answer()).body == b"body"
        assert await wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(b"body")
        assert (await wire.answer()).body == b"body"
    assert scripted.seen[0].header("expect") is None


async def test_interim_responses_pass_but_100_continue_and_not_to_http_1_0(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n" + plain(b"ok"))

    scripted.script = script
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        await wire.send(get())
        assert await wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        assert await wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 102 Processing\r\n\r\n"
        assert (await wire.answer()).body == b"ok"
    assert (await ask(running.port, b"GET / HTTP/1.0\r\n\r\n")).status == 200
    assert (await running.stop()).endings == {"complete": 2}


async def test_fifty_megabytes_pass_in_each_direction(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    block = bytes(range(256)) * 4096
    running = worker(scripted.url)

    async def script(peer: Peer) -> None:
        head = await peer.read_head()
        assert b"Content-Length: %d\r\n" % (50 * len(block)) in head
        digest, left = hashlib.sha256(), 50 * len(block)
        while left:
            data = await peer.read_some()
            digest.update(data)
            left -= len(data)
        await peer.send(
            b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nx-sum: %b\r\n\r\n"
            % (50 * len(block), digest.hexdigest().encode())
        )
        for _ in range(50):
            await peer.send(block)

    scripted.script = script
    async with await Wire.open(running.port) as wire:
        await wire.send(b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % (50 * len(block)))
        for _ in range(50):
            await wire.send(block)
        head = await wire.read_until(b"\r\n\r\n")
        expected = hashlib.sha256()
        received = hashlib.sha256()
        for _ in range(50):
            expected.update(block)
            received.update(await wire.exactly(len(block)))
        assert expected.hexdigest().encode() in head
        assert received.digest() == expected.digest()
    exchange = await running.exchange()
    assert (exchange.request_bytes, exchange.response_bytes) == (50 * len(block), 50 * len(block))
    assert (exchange.request, exchange.response) == (block[: 256 * 1024], block[: 256 * 1024])
    assert exchange.request_truncated
    assert exchange.response_truncated
