"""A stand-in for a vLLM server that costs next to nothing, so that the proxy in front of it is what is measured.

It speaks the part of the API that the proxies need: chat completions (plain, streamed, paced), /v1/models, /health.
Answers are kept ready-made; a stream goes out as one HTTP chunk per SSE event, as vLLM's server sends it.

    python fastserver.py PORT
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import cast

import httptools
import uvloop
from exchanges import PATH, Ask, plain_answer, read_ask, stream_answer

_EVENTS_PER_TURN = 16
"""Events that an unpaced stream writes before other connections get their turn."""
_MODELS = (
    b'{"object":"list","data":['
    b'{"id":"base","object":"model","owned_by":"vllm","root":"/models/base","parent":null,"max_model_len":8192},'
    b'{"id":"alpha","object":"model","owned_by":"vllm","root":"/adapters/alpha","parent":"base","max_model_len":null}]}'
)
_EMPTY_PATHS = (b"/health", b"/ping", b"/metrics")


def _head(status: str, kind: str, framing: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nserver: uvicorn\r\ncontent-type: {kind}\r\n{framing}\r\n\r\n".encode()


def _whole(body: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    return _head(status, kind, f"content-length: {len(body)}") + body


@lru_cache(maxsize=1024)
def _chunks(ask: Ask) -> tuple[bytes, ...]:
    events = stream_answer(ask)
    return tuple(b"%x\r\n%b\r\n" % (len(event), event) for event in events)


_STREAM_HEAD = _head("200 OK", "text/event-stream; charset=utf-8", "transfer-encoding: chunked")


class Connection(asyncio.Protocol):
    """One client connection: requests come one after the other, each is answered whole before the next is sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._timer: asyncio.Handle | None = None
        self._url = b""
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        """Expect no more requests."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        path, body = self._url.partition(b"?")[0], self._body
        self._url = self._body = b""
        if path == PATH.encode():
            self._answer(read_ask(body))
        elif path == b"/v1/models":
            self._transport.write(_whole(_MODELS))
        elif path in _EMPTY_PATHS:
            self._transport.write(_whole(b"", kind="text/plain"))
        else:
            self._transport.write(_whole(b"{}", status="404 Not Found"))

    def _answer(self, ask: Ask) -> None:
        if not ask.stream:
            self._transport.write(_whole(plain_answer(ask)))
            return
        self._transport.write(_STREAM_HEAD)
        chunks = iter(_chunks(ask))
        if ask.interval_ms:
            self._transport.write(next(chunks))
            self._paced(ask, chunks, self._loop.time())
        else:
            self._unpaced(chunks)

    def _unpaced(self, chunks: Iterator[bytes]) -> None:
        turn = list(islice(chunks, _EVENTS_PER_TURN))
        for chunk in turn:
            self._transport.write(chunk)
        if len(turn) == _EVENTS_PER_TURN:
            self._timer = self._loop.call_soon(self._unpaced, chunks)
        else:
            self._transport.write(b"0\r\n\r\n")

    def _paced(self, ask: Ask, chunks: Iterator[bytes], due: float) -> None:
        chunk = next(chunks, None)
        if chunk is None:
            self._transport.write(b"0\r\n\r\n")
            return
        self._transport.write(chunk)
        due += ask.interval_ms / 1000
        self._timer = self._loop.call_at(due, self._paced, ask, chunks, due)


async def serve(port: int) -> None:
    """Listen on 127.0.0.1:`port` until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(loop), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
