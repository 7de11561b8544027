"""However the bytes are cut on either side, and wherever the server breaks off: what is passed and what is copied stay right."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running_sidecar import eventually
from running_worker import WorkerStarter
from scripted_upstream import Gone, Peer, ScriptedUpstream
from wire import Wire, post

from monitor.records import Ending, Exchange

EVENTS = [b'data: {"a": "\xc3\xa9"}\n\n', b": keep-alive\n\n", b"data: [DONE]\n\n"]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
BODY = b"".join(EVENTS)
RESPONSES = {
    "length": HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY,
    "chunks": HEAD
    + b"transfer-encoding: chunked\r\n\r\n"
    + b"".join(b"%x;x=1\r\n%b\r\n" % (len(event), event) for event in EVENTS)
    + b"0\r\nX-Sum: 1\r\n\r\n",
    "until close": HEAD + b"\r\n" + BODY,
}
UPLOAD = b'{"model": "\xc3\xa9", "prompt": "Hi"}'
UPLOADS = {
    "length": post(UPLOAD),
    "chunks": b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (UPLOAD[:7], UPLOAD[7:9], UPLOAD[9:]))
    + b"0\r\n\r\n",
}


def pieces_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges) if end > begin]


async def exchange_of(upload: list[bytes], response: list[bytes]) -> tuple[bytes, Exchange, bytes]:
    """All that the client received, what was copied, and the body that the server received."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        for piece in response:
            await peer.send(piece)
            await asyncio.sleep(0)
        peer.close()

    async with ScriptedUpstream(script=script) as upstream:
        running = WorkerStarter()(upstream.url)
        async with await Wire.open(running.port) as wire:
            for piece in upload:
                await wire.send(piece)
                await asyncio.sleep(0)
            answer = await wire.answer()
        exchange = await running.exchange()
        await running.stop()
        running.inbox.close()
        await eventually(lambda: upstream.open == 0, "all connections end")
        return answer.raw_body, exchange, upstream.seen[0].body


@pytest.mark.parametrize("framing", RESPONSES)
@pytest.mark.parametrize("uploaded", UPLOADS)
@given(
    upload_cuts=st.lists(st.integers(0, 10_000), max_size=30),
    response_cuts=st.lists(st.integers(0, 10_000), max_size=30),
)
@settings(max_examples=8, deadline=None)
def test_the_copies_are_the_same_however_both_directions_are_cut(
    framing: str, uploaded: str, upload_cuts: list[int], response_cuts: list[int]
) -> None:
    raw = RESPONSES[framing]
    received, copied, arrived = asyncio.run(
        exchange_of(pieces_of(UPLOADS[uploaded], upload_cuts), pieces_of(raw, response_cuts))
    )
    assert received == raw.partition(b"\r\n\r\n")[2]
    assert arrived == UPLOAD
    assert (copied.request, copied.response) == (UPLOAD, BODY)
    assert (copied.request_bytes, copied.response_bytes) == (len(UPLOAD), len(BODY))
    assert (copied.ending, copied.status, copied.response_type) == (Ending.COMPLETE, 200, "text/event-stream")


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("framing", RESPONSES)
async def test_a_server_that_breaks_off_at_any_byte_passes_what_came_and_ends_the_exchange_once(
    worker: WorkerStarter, scripted: ScriptedUpstream, framing: str, how: str
) -> None:
    raw = RESPONSES[framing]
    head_bytes = raw.index(b"\r\n\r\n") + 4
    sent = 0
    delivered = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        if sent:
            await peer.send(raw[:sent])
        await delivered.wait()  # a reset would take back what has not been read yet
        getattr(peer, how)()
        raise Gone

    scripted.script = script
    running = worker(scripted.url)
    for number in range(len(raw)):
        sent = number
        delivered.clear()
        async with await Wire.open(running.port) as wire:
            await wire.send(post(b"{}"))
            if number < head_bytes:
                await eventually(lambda asked=number: len(scripted.seen) == asked + 1, "the request is there")
                delivered.set()
                assert (await wire.answer()).status == 502
            else:
                head = await wire.read_until(b"\r\n\r\n")
                came = await wire.exactly(number - head_bytes)
                assert came == raw[head_bytes:number]
                delivered.set()
                if framing == "until close" and how == "reset":
                    with pytest.raises(ConnectionResetError):
                        await wire.rest()
                else:
                    assert await wire.rest() == b""
                assert head.startswith(HEAD)
    report = await running.stop()
    broke, error = len(raw) - head_bytes, head_bytes
    after = "complete" if framing == "until close" and how == "close" else "upstream_broke"
    assert report.endings == {"upstream_error": error, after: broke}
    assert report.seen == report.sampled == {"chat_completions": len(raw)}
    await eventually(lambda: len(running.exchanges()) == len(raw), "all are handed off")
    for number, exchange in enumerate(running.exchanges()):
        assert (exchange.status == 0) == (number < head_bytes)
        assert BODY.startswith(exchange.response)
        assert exchange.response_bytes == len(exchange.response)


@pytest.mark.parametrize("uploaded", UPLOADS)
async def test_a_client_that_breaks_off_at_any_byte_never_gives_the_server_a_whole_request(
    worker: WorkerStarter, scripted: ScriptedUpstream, uploaded: str
) -> None:
    raw = UPLOADS[uploaded]
    head_bytes = raw.index(b"\r\n\r\n") + 4
    running = worker(scripted.url)
    for number in range(len(raw)):
        wire = await Wire.open(running.port)
        await wire.send(raw[:number])
        wire.close()
    begun = len(raw) - head_bytes
    await eventually(lambda: len(running.exchanges()) == begun, "every begun request is accounted for")
    report = await running.stop()
    assert scripted.seen == []
    assert report.endings == {"client_gone": begun}
    assert all(UPLOAD.startswith(exchange.request) for exchange in running.exchanges())
