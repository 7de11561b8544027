"""The proxy's side towards vLLM: one protocol per connection, and the pool that keeps idle ones for less than vLLM does."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

import httptools

from monitor.proxy.head import HEAD_END, HOP_BY_HOP, response_head

if TYPE_CHECKING:
    from monitor.proxy.client import ClientConnection
    from monitor.proxy.request import Request
    from monitor.proxy.tap import Recording

log = logging.getLogger(__name__)

WRITE_BUFFER_BYTES: Final = 16 * 1024
"""Bytes that may wait in one socket's write buffer before the other side stops being read. One reading of the other side (256 KiB)
may come on top, so a slow client costs that and the copy of its response, about 550 KiB."""
MAX_HEAD_BYTES: Final = 128 * 1024
_DROP_FRAMING: Final = HOP_BY_HOP | {b"transfer-encoding", b"trailer"}
_ATTENTION: Final = HOP_BY_HOP | {b"content-encoding", b"content-type", b"content-length", b"transfer-encoding"}


class UpstreamConnection(asyncio.Protocol):
    """One connection to the server; carries one exchange at a time.

    The response's bytes go to the client as they came, framing included; the parser reads along to find its end and to
    hand the body to the tap. Only heads with hop-by-hop headers and answers to HTTP/1.0 clients are rewritten.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.transport: asyncio.Transport
        self.client: ClientConnection | None = None
        self.recording: Recording | None = None
        self.idle_since = 0.0
        self.last_byte = 0.0
        """Event loop time of the last byte received, or of the start of the exchange."""
        self.closed = False
        self.write_blocked = False
        """The server does not take what is written to it."""
        self.complete = False
        self._reading_paused = False
        self._head_bytes = b""
        self._plain_body: list[bytes] = []
        self._reset(head_only=False, to_http10=False)
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from asyncio's
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def begin(self, client: ClientConnection, request: Request) -> None:
        """Carry the exchange of this client from now on."""
        self.client = client
        self.recording = request.recording
        self.last_byte = self._pool.loop.time()
        self._reset(head_only=request.head_only, to_http10=request.http10)
        self._websocket = request.websocket

    @property
    def framed(self) -> bool:
        """The client can tell a complete response from one that broke off."""
        return not self._until_close and not self._to_http10

    def release(self) -> None:
        """The exchange is over: back to the pool when the connection can carry another."""
        reusable = self.complete and self._server_keeps and not self._head_only
        self.client = None
        self.recording = None
        if self.closed:
            return
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # the server does not read the request's end: closing would wait for that
        elif reusable:
            self.resume_reading()  # its client may have been slow; an idle connection must see the server's close
            self._pool.put(self)
        else:
            self.transport.close()

    def abort(self) -> None:
        """Drop the connection at once; vLLM stops generating when it sees that."""
        self.client = None
        self.recording = None
        if not self.closed:
            self.transport.abort()

    def pause_reading(self) -> None:
        """Read no more of the response for now: the client is slower."""
        if not self._reading_paused and not self.closed:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._reading_paused and not self.closed:
            self._reading_paused = False
            self.last_byte = self._pool.loop.time()
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes of a response."""
        client = self.client
        if client is None or self.complete:
            self.transport.abort()  # nobody asked for these bytes
            return
        self.last_byte = self._pool.loop.time()
        if self._tunnelling:
            client.write(data)
            return
        in_head = not self._head_complete
        if in_head:
            received_at = time.perf_counter()
            self._head_bytes += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._websocket and not self._beyond_end:
                self._begin_tunnel(client)
            else:
                client.upstream_failed(self, "the server switched protocols, which the proxy does not carry")
            return
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserCallbackError):  # a mistake of this program
                log.error("reading a response failed", exc_info=error)
            if not (self._head_complete and self._head_only):
                client.upstream_failed(self, f"the server's response is not HTTP: {error}")
                return
        if self._beyond_end:
            client.upstream_failed(self, "the server sent bytes beyond the end of its response")
        elif not in_head:
            self._forward(client, data)
        elif self._head_complete:
            self._forward_head(client, received_at)
        elif len(self._head_bytes) > MAX_HEAD_BYTES:
            client.upstream_failed(self, "the head of the server's response is too large")

    def eof_received(self) -> bool:
        """asyncio: the server closed its side."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self.closed = True
        self._pool.forget(self)
        client = self.client
        if client is None:
            return
        if self._until_close and self._head_complete and exc is None and not self.complete:
            self.complete = True
            client.response_complete(self)
        else:
            client.upstream_failed(self, "the server closed the connection")

    def pause_writing(self) -> None:
        """asyncio: the server takes the request slower than the client sends it."""
        self.write_blocked = True
        if self.client:
            self.client.upstream_blocked()

    def resume_writing(self) -> None:
        """asyncio: the server takes more."""
        self.write_blocked = False
        if self.client:
            self.client.upstream_blocked()

    # What the parser found

    def on_message_begin(self) -> None:
        """httptools: a response begins."""
        if self.complete:
            self._beyond_end = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header, or a trailer."""
        lower = name.lower()
        if self._head_complete or lower not in _ATTENTION:
            return
        if lower in HOP_BY_HOP:
            self._rewrite = True
        elif lower == b"content-length":
            self._until_close = False
        elif lower == b"transfer-encoding":
            self._chunked = value.lower().endswith(b"chunked")
            self._until_close = not self._chunked
        elif self.recording and lower == b"content-type":
            self.recording.response_type = value.partition(b";")[0].strip().lower().decode("latin-1")
        elif self.recording:
            self.recording.response_encoding = value.strip().lower().decode("latin-1")

    def on_headers_complete(self) -> None:
        """httptools: the head is complete."""
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interim = True
            return
        self._head_complete = True
        self._server_keeps = self._parser.should_keep_alive()
        if self.recording:
            self.recording.status = status
        if status in (204, 304) or self._head_only:
            self._until_close = False

    def on_body(self, data: bytes) -> None:
        """httptools: a piece of the body, without transfer coding."""
        if self.recording:
            self.recording.response(data)
        if self._to_http10:
            self._plain_body.append(data)

    def on_message_complete(self) -> None:
        """httptools: the response is complete."""
        if self._interim:
            self._pass_interim()
        else:
            self.complete = True

    # Forwarding

    def _pass_interim(self) -> None:
        """A 1xx response precedes the real one. 100 Continue ends here: the proxy answers Expect itself."""
        raw, _, self._head_bytes = self._head_bytes.lstrip(b"\r\n").partition(HEAD_END)
        if self.client and not self._to_http10 and self._parser.get_status_code() != 100:
            self.client.write(response_head(raw + HEAD_END))
        self._interim = self._rewrite = self._chunked = False
        self._until_close = True

    def _forward_head(self, client: ClientConnection, received_at: float) -> None:
        raw, _, rest = self._head_bytes.lstrip(b"\r\n").partition(HEAD_END)
        raw += HEAD_END
        self._head_bytes = b""
        if self._head_only:
            self.complete = True
            rest = b""
        close = client.closes_after or self._until_close or (self._to_http10 and self._chunked)
        if close:
            client.closes_after = True
        if self._to_http10:
            raw = response_head(raw, drop=_DROP_FRAMING, close=True)
        elif self._rewrite or close:
            raw = response_head(raw, close=close)
        client.response_started = True
        client.write(raw if self._to_http10 else raw + rest)
        client.held_back(time.perf_counter() - received_at)
        self._forward(client, b"")

    def _begin_tunnel(self, client: ClientConnection) -> None:
        """The server switched to WebSocket as it was asked to: its bytes are no HTTP any more, and end with the connection."""
        raw, self._head_bytes = self._head_bytes.lstrip(b"\r\n"), b""
        self._tunnelling = self._until_close = True
        self.complete = self._server_keeps = False
        client.response_started = True
        client.write(raw)
        client.switched()

    def _forward(self, client: ClientConnection, data: bytes) -> None:
        if self._to_http10:
            data = b"".join(self._plain_body)
            self._plain_body.clear()
        if data:
            client.write(data)
        if self.complete:
            client.response_complete(self)

    def _reset(self, *, head_only: bool, to_http10: bool) -> None:
        self._head_only = head_only
        """The request was HEAD: the response has no body whatever its headers say."""
        self._to_http10 = to_http10
        """The client speaks HTTP/1.0: it gets the body without chunks."""
        self._websocket = False
        """The request asks for WebSocket."""
        self._tunnelling = False
        self._head_bytes = b""
        self._head_complete = False
        self._interim = False
        self._rewrite = False
        self._chunked = False
        self._until_close = True
        self._server_keeps = False
        self._beyond_end = False
        self._plain_body = []
        self.complete = False


class Pool:
    """Connects to the server and keeps idle connections for less time than the server does."""

    def __init__(
        self,
        url: str,
        *,
        idle_s: float,
        connect_timeout_s: float,
        tls: ssl.SSLContext | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.loop = loop
        self._address = urlsplit(url)
        self.host = (self._address.netloc or "localhost").encode("ascii", "replace")
        """What the server is called."""
        self._idle_s = idle_s
        self._connect_timeout_s = connect_timeout_s
        self._tls = tls
        self._idle: deque[UpstreamConnection] = deque()

    def take(self) -> UpstreamConnection | None:
        """The idle connection used last, None when there is none young enough."""
        oldest = self.loop.time() - self._idle_s
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and not connection.transport.is_closing():
                if connection.idle_since >= oldest:
                    return connection
                connection.transport.close()
        return None

    async def connect(self) -> UpstreamConnection:
        """A new connection. Raises OSError, TimeoutError after `connect_timeout_s`."""
        parts = self._address
        async with asyncio.timeout(self._connect_timeout_s):
            if parts.scheme == "unix":
                _, connection = await self.loop.create_unix_connection(lambda: UpstreamConnection(self), parts.path)
            else:
                default = 443 if parts.scheme == "https" else 80
                _, connection = await self.loop.create_connection(
                    lambda: UpstreamConnection(self), parts.hostname or "", parts.port or default, ssl=self._tls
                )
        return connection

    def put(self, connection: UpstreamConnection) -> None:
        """Keep an idle connection for the next exchange."""
        connection.idle_since = self.loop.time()
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is closed."""
        if connection.client is None and connection in self._idle:
            self._idle.remove(connection)

    def expire(self) -> None:
        """Close what has been idle for too long; called every second."""
        oldest = self.loop.time() - self._idle_s
        while self._idle and (self._idle[0].closed or self._idle[0].idle_since < oldest):
            connection = self._idle.popleft()
            if not connection.closed:
                connection.transport.close()

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().transport.close()
