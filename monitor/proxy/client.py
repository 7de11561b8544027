"""The proxy's side towards the clients: reads requests, sends them upstream, and owns the life of each exchange."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final, cast

import httptools

from monitor.protocols.endpoints import endpoint_of
from monitor.proxy.head import connection_tokens, error_response, request_head
from monitor.proxy.upstream import WRITE_BUFFER_BYTES, UpstreamConnection
from monitor.records import Ending

if TYPE_CHECKING:
    from monitor.proxy.tap import Recording
    from monitor.proxy.worker import Relay

MAX_HEAD_BYTES: Final = 64 * 1024
"""Longest head of a request; 431 beyond that."""
LINGER_S: Final = 2.0
"""Seconds for which a client that is still sending may read the answer that ends its connection."""
MAX_HELD_BYTES: Final = 256 * 1024
"""Bytes of a request's body that wait for an upstream connection before the client is no longer read."""


class Request:
    """One request between its first byte and its response's last."""

    __slots__ = (
        "chunked", "complete", "head", "head_only", "held", "held_bytes", "http10", "keep_alive", "received_at", "recording",
        "send_delay_s",
    )  # fmt: skip

    def __init__(
        self, head: bytes, recording: Recording, *, head_only: bool, http10: bool, keep_alive: bool, chunked: bool
    ) -> None:
        self.head = head
        self.recording = recording
        self.head_only = head_only
        self.http10 = http10
        self.keep_alive = keep_alive
        self.chunked = chunked
        self.complete = False
        """Its body has been read to the end."""
        self.held: list[bytes] = [head]
        """Bytes that wait to be written upstream."""
        self.held_bytes = len(head)
        self.received_at = time.perf_counter()
        self.send_delay_s = 0.0
        """Seconds from the end of the head to its writing upstream, connecting included."""

    def add(self, data: bytes) -> None:
        """Bytes to send upstream, in the framing of the request."""
        if self.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self.held.append(data)
        self.held_bytes += len(data)

    def finish(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """The body is complete."""
        self.complete = True
        if self.chunked:
            lines = b"".join(b"%b: %b\r\n" % (name, value) for name, value in trailers)
            self.held.append(b"0\r\n" + lines + b"\r\n")

    def take(self) -> bytes:
        """All bytes that wait, which then no longer wait."""
        data = self.held[0] if len(self.held) == 1 else b"".join(self.held)
        self.held = []
        self.held_bytes = 0
        return data


class ClientConnection(asyncio.Protocol):
    """One client connection. Pipelined requests are answered in order, one at a time."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._in_head = False
        self._discarding = False
        """The last response is written; what the client still sends is thrown away, so that no reset destroys it."""
        self._reading: Request | None = None
        """The request whose body is being read."""
        self._waiting: deque[Request] = deque()
        """Requests that were sent before the present one was answered."""
        self._active: Request | None = None
        self._upstream: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._refusal: bytes = b""
        """The response to a request that cannot be forwarded; sent when those before it are answered."""
        self._reading_paused = False
        self._blocked_since: float | None = None
        """Event loop time since when the client does not read; the server is not read meanwhile."""
        self._closed = False
        self.closes_after = False
        """The connection ends after the present response."""
        self.response_started = False
        self.last_event = 0.0
        """Event loop time of the last byte from the client or the last ending."""

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from asyncio's
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.last_event = self._relay.loop.time()
        self._relay.clients.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        self.last_event = self._relay.loop.time()
        if self._refusal or self._discarding:
            return
        self._feed(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self._refusal:
                self._refuse(431, "request_header_fields_too_large", "the request's head is longer than 64 KiB")
        if self._active and self._upstream:
            self._send()
        self._balance_reading()

    def eof_received(self) -> bool:
        """The client closed its side; uvicorn takes that for a disconnect too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: the server must learn it at once."""
        self._closed = True
        self._relay.clients.discard(self)
        if self._connecting:
            self._connecting.cancel()
        if self._upstream:
            self._upstream.abort()
            self._upstream = None
        for request in (self._active, *self._waiting):
            if request:
                request.recording.end(Ending.CLIENT_GONE)
        if self._reading and self._reading is not self._active:
            self._reading.recording.end(Ending.CLIENT_GONE)
        self._active = self._reading = None
        self._waiting.clear()

    def pause_writing(self) -> None:
        """The client reads slower than the server sends."""
        self._blocked_since = self._relay.loop.time()
        if self._upstream and not self._upstream.closed:
            self._upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._blocked_since = None
        if self._upstream and not self._upstream.closed:
            self._upstream.last_byte = self._relay.loop.time()
            self._upstream.transport.resume_reading()

    # What the parser found

    def on_message_begin(self) -> None:
        """httptools: a request begins."""
        self._in_head = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """httptools: a piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header, or a trailer."""
        (self._headers if self._in_head else self._trailers).append((name, value))

    def on_headers_complete(self) -> None:
        """httptools: a request's head is complete."""
        self._in_head = False
        if self._refusal:
            return
        headers, self._headers = self._headers, []
        url, self._url = self._url, b""
        method = self._parser.get_method().decode("ascii")
        if method == "CONNECT":
            self._refuse(501, "unsupported_method", "the proxy does not carry CONNECT")
            return
        tokens = connection_tokens(headers)
        lower = {name.lower(): value for name, value in headers}
        if b"upgrade" in tokens and lower.get(b"upgrade", b"").strip().lower() == b"websocket":
            self._refuse(501, "unsupported_upgrade", "the proxy does not carry WebSocket connections")
            return
        http10 = self._parser.get_http_version() == "1.0"
        self._reading = Request(
            request_head(method, url, headers, tokens),
            self._record(method, url, lower),
            head_only=method == "HEAD",
            http10=http10,
            keep_alive=self._parser.should_keep_alive() and not http10,
            chunked=b"transfer-encoding" in lower,
        )
        if lower.get(b"expect", b"").lower() == b"100-continue" and not http10 and not self._active:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._enqueue(self._reading)

    def on_body(self, data: bytes) -> None:
        """httptools: a piece of a request's body."""
        if self._reading:
            self._reading.recording.request(data)
            self._reading.add(data)

    def on_message_complete(self) -> None:
        """httptools: a request is complete."""
        if self._reading:
            self._reading.finish(self._trailers)
            self._reading.recording.request_complete()
            self._reading = None
        self._trailers = []

    # What the upstream connection reports

    def write(self, data: bytes) -> None:
        """Bytes for the client."""
        if not self._closed:
            self.transport.write(data)

    def held_back(self, seconds: float) -> None:
        """The proxy took so long between reading a response's head and writing it."""
        if self._active:
            self._relay.counts.add_latency(self._active.send_delay_s + seconds)

    def response_complete(self, upstream: UpstreamConnection) -> None:
        """The response has been written to its end."""
        request = self._active
        if request is None:
            return
        request.recording.end(Ending.COMPLETE)
        if not request.complete:
            self.closes_after = True  # the server answered without reading the whole request
            upstream.abort()
        else:
            upstream.release()
        self._next(request)

    def upstream_failed(self, upstream: UpstreamConnection, reason: str) -> None:
        """The server broke off, before or inside its response."""
        upstream.abort()
        self._fail(Ending.UPSTREAM_BROKE, 502, "upstream_error", reason, framed=upstream.framed)

    def pause_reading(self) -> None:
        """Read no more from the client for now."""
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read from the client again."""
        if self._reading_paused and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    # What the worker asks for

    @property
    def idle(self) -> bool:
        """No request is being read or answered."""
        return self._active is None and not self._waiting and self._reading is None

    def drain(self) -> None:
        """Close when idle, else after the present response."""
        self.closes_after = True
        if self.idle:
            self.transport.close()

    def check_time(self, now: float) -> None:
        """Enforce the time limits; called every second with the event loop's time."""
        limits = self._relay.limits
        if self._discarding:
            if now - self.last_event > LINGER_S:
                self.transport.abort()
        elif self._blocked_since is not None:
            if now - self._blocked_since > limits.stream_idle_timeout_s:
                self.transport.abort()  # a client that has stopped reading
        elif self._active is None or not self._active.complete:
            if now - self.last_event > limits.client_idle_timeout_s and not self._reading_paused:
                self.transport.abort()  # nothing asked, or a request that never ends
        elif self._upstream:
            limit = limits.stream_idle_timeout_s if self.response_started else limits.first_byte_timeout_s
            if now - self._upstream.last_byte > limit:
                self._upstream.abort()
                verb = "stopped sending" if self.response_started else "did not answer in time"
                framed = self._upstream.framed
                self._fail(Ending.TIMEOUT, 504, "upstream_timeout", f"the server {verb} ({limit:g} s)", framed=framed)

    # The way of a request

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # An Upgrade that is not carried is simply not forwarded (RFC 9110, 7.8); the connection stays HTTP/1.1.
            self._parser = httptools.HttpRequestParser(self)
            rest = data[int(upgrade.args[0]) :]
            if rest and not self._refusal:
                self._feed(rest)
        except httptools.HttpParserError as error:
            self._refuse(400, "bad_request", f"the request is not valid HTTP: {error}")

    def _record(self, method: str, url: bytes, lower: dict[bytes, bytes]) -> Recording:
        target = url.decode("latin-1")
        recording = self._relay.tap.open(method, target, endpoint_of(method, target))
        recording.request_encoding = lower.get(b"content-encoding", b"").strip().lower().decode("latin-1")
        recording.request_id = lower.get(b"x-request-id", b"")[:128].decode("latin-1")
        recording.adapter_header = lower.get(b"x-amzn-sagemaker-adapter-identifier", b"")[:256].decode("latin-1")
        return recording

    def _enqueue(self, request: Request) -> None:
        if self._active is None:
            self._start(request)
        else:
            self._waiting.append(request)

    def _start(self, request: Request) -> None:
        self._active = request
        self.response_started = False
        self.closes_after = not request.keep_alive or self._relay.draining
        upstream = self._relay.pool.take()
        if upstream:
            self._attach(request, upstream)
        else:
            self._connecting = self._relay.spawn("connect", self._connect(request))

    async def _connect(self, request: Request) -> None:
        try:
            upstream = await self._relay.pool.connect()
        except TimeoutError:
            self._fail(Ending.UPSTREAM_ERROR, 504, "upstream_timeout", "no connection to the server in time")
            return
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._fail(Ending.UPSTREAM_ERROR, 502, "upstream_unreachable", f"no connection to the server: {reason}")
            return
        finally:
            self._connecting = None
        if self._closed or self._active is not request:
            upstream.abort()
            return
        self._attach(request, upstream)
        self._send()
        self._balance_reading()

    def _attach(self, request: Request, upstream: UpstreamConnection) -> None:
        self._upstream = upstream
        upstream.begin(self, request.recording, head_only=request.head_only, to_http10=request.http10)

    def _send(self) -> None:
        """Write what waits of the active request."""
        request, upstream = self._active, self._upstream
        if request is None or upstream is None or not request.held:
            return
        upstream.last_byte = self._relay.loop.time()
        first = request.held[0] is request.head
        upstream.transport.write(request.take())
        if first:
            request.send_delay_s = time.perf_counter() - request.received_at

    def _next(self, request: Request) -> None:
        """The present exchange is over; begin the one that waits, or end."""
        self._active = None
        self._upstream = None
        self.response_started = False
        self.last_event = self._relay.loop.time()
        if self.closes_after or self._relay.draining:
            for waiting in self._waiting:
                waiting.recording.end(Ending.CLIENT_GONE)
            self._waiting.clear()
            self._end(read_to_end=request.complete)
        elif self._waiting:
            self._start(self._waiting.popleft())
            self._send()
        elif self._refusal:
            self._answer_refusal()
        self._balance_reading()

    def _end(self, *, read_to_end: bool) -> None:
        """Close when everything is written; a client that is still sending gets time to read its answer."""
        self._reading = None
        if read_to_end or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self._discarding = True
            self.transport.write_eof()
            self.resume_reading()

    def _break_off(self, framed: bool) -> None:
        """Make the client see that its response is incomplete.

        With a length or chunks the missing end says so, and what came so far is delivered. Without either, the end of the
        connection would look like the end of the response, so the connection is reset.
        """
        if framed:
            self.transport.close()
        else:
            self.transport.abort()

    def _fail(self, ending: Ending, status: int, kind: str, message: str, *, framed: bool = True) -> None:
        """The server gave no whole response to the active request."""
        request = self._active
        if request is None:
            return
        if self.response_started:
            request.recording.end(ending)
            self._active = self._upstream = None
            self._break_off(framed)
            return
        if ending is Ending.UPSTREAM_BROKE:
            ending = Ending.UPSTREAM_ERROR
        request.recording.status = 0
        request.recording.end(ending)
        self._relay.counts.rejected[kind] += 1
        self.closes_after = self.closes_after or not request.complete
        self.write(error_response(status, kind, message, close=self.closes_after))
        self._next(request)

    def _refuse(self, status: int, kind: str, message: str) -> None:
        self._relay.counts.rejected[kind] += 1
        self._refusal = error_response(status, kind, message, close=True)
        if self._active is None:
            self._answer_refusal()

    def _answer_refusal(self) -> None:
        self.write(self._refusal)
        self.last_event = self._relay.loop.time()
        self._end(read_to_end=False)

    def _balance_reading(self) -> None:
        """Stop reading while pipelined requests or a body without a connection wait; go on when they do not."""
        held = self._active.held_bytes if self._active and self._upstream is None else 0
        if self._discarding:
            return
        if self._waiting or held > MAX_HELD_BYTES:
            self.pause_reading()
        elif self._upstream is None or self._upstream.transport.get_write_buffer_size() < WRITE_BUFFER_BYTES:
            self.resume_reading()
