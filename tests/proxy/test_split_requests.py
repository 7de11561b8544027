"""However a request is cut into pieces on its way, the server gets the same bytes."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from running_sidecar import eventually
from running_worker import WorkerStarter
from scripted_upstream import ScriptedUpstream
from wire import Wire, get, post

from monitor.proxy.head import fields_of, request_head, response_head, tokens_of

CHUNKED = (
    b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n"
)
SESSION = (
    post(b'{"model": "\xc3\xa9\xff"}', extra=b"X-Empty:\r\nX-Spaces:   a  b \r\n")
    + CHUNKED
    + get()
    + post(b"")
    + post(b"z" * 300)
)
NAMES = st.sampled_from(
    [
        b"Host",
        b"Connection",
        b"X-A",
        b"x-b",
        b"TE",
        b"Upgrade",
        b"Keep-Alive",
        b"Content-Length",
        b"Authorization",
        b"Expect",
    ]
)
VALUES = st.sampled_from([b"", b"1", b"close", b"X-A, x-b", b"keep-alive , Authorization", b"content-length", b"host"])


@given(cuts=st.lists(st.integers(1, len(SESSION) - 1), max_size=40, unique=True))
@settings(max_examples=12, deadline=None)
def test_the_server_gets_the_same_bytes_however_requests_are_cut(cuts: list[int]) -> None:
    async def talk(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
        async with ScriptedUpstream() as upstream:
            starter = WorkerStarter()
            running = starter(upstream.url)
            async with await Wire.open(running.port) as wire:
                for piece in pieces:
                    await wire.send(piece)
                    await asyncio.sleep(0)
                for _ in range(5):
                    assert (await wire.answer()).status == 200
            await running.stop()
            running.inbox.close()
            await eventually(lambda: upstream.open == 0, "all connections end")
            port = b"%d" % upstream.port
            return [(seen.head.replace(port, b""), seen.body) for seen in upstream.seen]

    edges = [0, *sorted(cuts), len(SESSION)]
    whole = asyncio.run(talk([SESSION]))
    assert [body for _, body in whole] == [b'{"model": "\xc3\xa9\xff"}', b"abc0123456789", b"", b"", b"z" * 300]
    assert asyncio.run(talk([SESSION[a:b] for a, b in pairwise(edges)])) == whole


@given(headers=st.lists(st.tuples(NAMES, VALUES), max_size=12))
def test_a_rewritten_request_head_keeps_what_frames_it_and_drops_what_ends_here(
    headers: list[tuple[bytes, bytes]],
) -> None:
    fields = fields_of(headers)
    once = [name for name, _ in headers if name in (b"Host", b"Content-Length")]
    assert (fields is None) == (len(once) != len(set(once)))
    if fields is None:
        return
    named = tokens_of(fields.get(b"connection", b""))
    lines = request_head(b"POST", b"/x", headers, named).split(b"\r\n")
    assert lines[0] == b"POST /x HTTP/1.1"
    assert lines[-2:] == [b"", b""]
    kept = [tuple(line.split(b": ", 1)) for line in lines[1:-2]]
    assert [pair for pair in headers if pair in kept] == kept
    for name, value in headers:
        ends_here = name in (b"Connection", b"TE", b"Upgrade", b"Keep-Alive", b"Expect") or (
            name in (b"X-A", b"x-b") and name.lower() in named
        )
        assert ((name, value) in kept) is not ends_here


@given(headers=st.lists(st.tuples(NAMES, VALUES), max_size=12), close=st.booleans())
def test_a_rewritten_response_head_keeps_its_lines_in_order(headers: list[tuple[bytes, bytes]], close: bool) -> None:
    lines = [b"HTTP/1.1 200 OK", *(name + b":" + value for name, value in headers)]
    rewritten = response_head(b"\r\n".join([*lines, b"", b""]), close=close)
    assert rewritten.endswith(b"\r\n\r\n")
    kept = rewritten[:-4].split(b"\r\n")
    assert kept[0] == lines[0]
    assert (kept[-1] == b"connection: close") == close
    assert [line for line in lines if line in kept] == kept[: len(kept) - close]
    assert not any(
        line.lower().startswith((b"connection:", b"keep-alive:", b"upgrade:")) for line in kept[: len(kept) - close]
    )
