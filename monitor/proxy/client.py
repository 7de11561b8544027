"""The proxy's side towards the clients: owns the life of each exchange, from its turn to its one ending."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from monitor.proxy.gate import BUSY, TOO_LARGE, Refusal, refused
from monitor.proxy.gate import MAX_HELD_BYTES as MAX_UNDECIDED_BYTES
from monitor.proxy.head import error_response
from monitor.proxy.request import Request, RequestReader
from monitor.proxy.upstream import WRITE_BUFFER_BYTES, UpstreamConnection
from monitor.records import Ending

if TYPE_CHECKING:
    from monitor.proxy.worker import Relay

log = logging.getLogger(__name__)

LINGER_S: Final = 2.0
"""Seconds of silence for which a client that is still sending may read the answer that ends its connection."""
LONGEST_LINGER_S: Final = 30.0
MAX_HELD_BYTES: Final = 256 * 1024
"""Bytes of requests that wait for their turn or for an upstream connection before the client is no longer read."""
MAX_PIPELINED: Final = 64
"""Requests that wait for their turn before the client is no longer read."""
MOST_PIPELINED: Final = 1024
"""Requests out of one reading of the socket that may wait; about 2 KiB each."""
_HANGUP: Final = getattr(select, "POLLRDHUP", 0)


class ClientConnection(asyncio.Protocol):
    """One client connection. Pipelined requests are answered in order, one at a time."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.transport: asyncio.Transport
        self._reader = RequestReader(
            self,
            relay.tap,
            relay.pool.host,
            relay.routes,
            carries_websocket=relay.limits.routes.websocket == "tunnel",
            gate=relay.gate,
        )
        self._waiting: deque[Request] = deque()
        """Requests that were sent before the present one was answered."""
        self._active: Request | None = None
        self._upstream: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._refusal: bytes = b""
        """The response to what cannot be forwarded; sent when the requests before it are answered."""
        self._discarding = False
        """The last response is written; what the client still sends is thrown away, so that no reset destroys it."""
        self._reading_paused = False
        self._blocked_since: float | None = None
        """Event loop time since when the client does not read; the server is not read meanwhile."""
        self._closed = False
        self.closes_after = False
        """The connection ends after the present response."""
        self.response_started = False
        self._last_data = 0.0
        """Event loop time of the last bytes from the client."""
        self._idle_since = 0.0
        """Event loop time of the connection's beginning, or of the end of its last exchange."""

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from asyncio's
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._last_data = self._idle_since = self._relay.loop.time()
        self._relay.clients.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        self._last_data = self._relay.loop.time()
        if self._refusal or self._discarding:
            return
        self._reader.feed(data, self._last_data)
        if self._undecided:
            self._decide()
        if self._upstream:
            self._send()
        self._balance_reading()

    def eof_received(self) -> bool:
        """The client closed its side; uvicorn takes that for a disconnect too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: the server must learn it at once."""
        self._closed = True
        self._relay.clients.discard(self)
        self._reader.close()
        self._drop_upstream()
        if self._active:
            whole = self._active.switched and exc is None  # either side may close a WebSocket connection
            self._active.recording.end(Ending.COMPLETE if whole else Ending.CLIENT_GONE)
            self._active = None
        self._drop_waiting()

    def pause_writing(self) -> None:
        """The client reads slower than the server sends."""
        self._blocked_since = self._relay.loop.time()
        if self._upstream:
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._blocked_since = None
        if self._upstream:
            self._upstream.resume_reading()

    # What was read

    def admit(self, request: Request) -> None:
        """A request's head was read: it is its turn, or it waits."""
        if self._active is None:
            self._start(request)
            return
        self._waiting.append(request)
        if len(self._waiting) > MOST_PIPELINED:
            self.refuse(429, "too_many_requests", "too many requests were sent before the answer to the first")

    def deny(self, route: str) -> None:
        """A request asked for a route that is closed."""
        if route:
            self._relay.counts.denied[route] += 1

    def refuse(self, status: int, kind: str, message: str) -> None:
        """What the client sent cannot be forwarded; nothing that it sends afterwards is read."""
        self._relay.counts.rejected[kind] += 1
        self._refusal = error_response(status, kind, message, close=True)
        broken = self._reader.give_up()
        if broken is None:
            if self._active is None:
                self._answer_refusal()
        elif broken is self._active:
            self._abandon(broken)
        elif self._waiting and self._waiting[-1] is broken:
            self._waiting.pop()
            broken.recording.end(Ending.CLIENT_GONE)

    # What the upstream connection reports

    def write(self, data: bytes) -> None:
        """Bytes for the client."""
        if not self._closed:
            self.transport.write(data)

    def held_back(self, seconds: float) -> None:
        """The proxy took so long between reading a response's head and writing it."""
        if self._active:
            self._relay.counts.add_latency(self._active.send_delay_s + seconds)

    def switched(self) -> None:
        """The server speaks WebSocket from now on: bytes pass both ways until either side closes."""
        if self._active:
            self._active.switch()
            self._send()
            self._balance_reading()

    def response_complete(self, upstream: UpstreamConnection) -> None:
        """The response has been written to its end."""
        request = self._active
        if request is None:
            upstream.abort()
            return
        request.recording.end(Ending.COMPLETE)
        if request.complete:
            upstream.release()
        else:
            self.closes_after = True  # the server answered without reading the whole request
            upstream.abort()
        self._next(request)

    def upstream_failed(self, upstream: UpstreamConnection, reason: str) -> None:
        """The server broke off, before or inside its response."""
        framed = upstream.framed
        upstream.abort()
        self._fail(Ending.UPSTREAM_BROKE, 502, "upstream_error", reason, framed=framed)

    def upstream_blocked(self) -> None:
        """The server takes the request slower than the client sends it, or takes it again."""
        self._balance_reading()

    # What the worker asks for

    @property
    def idle(self) -> bool:
        """No request is being answered."""
        return self._active is None

    def drain(self) -> None:
        """Close when idle, else after the present response."""
        self.closes_after = True
        if self.idle:
            self.transport.close()

    def check_time(self, now: float) -> None:
        """Enforce the time limits; called every second with the event loop's time."""
        limits = self._relay.limits
        if self._discarding:
            if now - self._last_data > LINGER_S or now - self._idle_since > LONGEST_LINGER_S:
                self.transport.abort()
        elif self._reading_paused and _hung_up(self.transport):
            self.transport.abort()  # not seen otherwise, because its bytes are not read
        elif self._blocked_since is not None:
            if now - self._blocked_since > limits.stream_idle_timeout_s:
                self.transport.abort()  # a client that has stopped reading
        elif self._active is None:
            since = self._reader.head_since if self._reader.in_head else self._idle_since
            if now - since > limits.client_idle_timeout_s:
                self.transport.abort()  # nothing asked, a head that never ends, or a last answer that is not read
        elif self._active.complete or self._reading_paused or self.response_started:
            self._check_upstream(now)
        elif now - self._last_data > limits.client_idle_timeout_s:
            self.transport.abort()  # a body that never ends

    def _check_upstream(self, now: float) -> None:
        if self._upstream is None:
            return  # connecting, which has a limit of its own
        limits = self._relay.limits
        limit = limits.stream_idle_timeout_s if self.response_started else limits.first_byte_timeout_s
        if now - self._upstream.last_byte > limit:
            framed = self._upstream.framed
            self._upstream.abort()
            verb = "stopped sending" if self.response_started else "did not answer in time"
            self._fail(Ending.TIMEOUT, 504, "upstream_timeout", f"the server {verb} ({limit:g} s)", framed=framed)

    # The way of a request

    def _start(self, request: Request) -> None:
        self._active = request
        self.response_started = False
        self.closes_after = not request.keep_alive or self._relay.draining
        if request.question is None:
            self._open(request)
        elif request.expects_continue and not request.complete:
            request.expects_continue = False
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    @property
    def undecided_bytes(self) -> int:
        """Bytes of a request that is held until it is known whether it passes."""
        return self._active.held_bytes if self._undecided and self._active else 0

    @property
    def _undecided(self) -> bool:
        return self._active is not None and self._active.question is not None

    def _decide(self) -> None:
        """Forward the active request or refuse it, once its model can be read or never will be."""
        request, gate = self._active, self._relay.gate
        if request is None or request.question is None or gate is None or self._closed:
            return
        refusal: Refusal | None = None
        if request.complete or request.websocket:
            request.begun_at = time.perf_counter()  # the wait for the client's own bytes is none of the proxy's
            refusal = gate.refusal(request.question, b"" if request.websocket else request.held_body())
        elif request.held_bytes > gate.body_limit:
            refusal = refused(TOO_LARGE, "")
        elif request.held_bytes <= MAX_HELD_BYTES or not self._relay.holds_too_much(MAX_UNDECIDED_BYTES):
            return
        else:
            refusal = refused(BUSY, "")
        request.question = None
        if refusal is None:
            self._open(request)
            self._send()
        else:
            self._relay.counts.block(refusal.decision.reason, refusal.decision.combination)
            self._answer(request, refusal.status, refusal.kind, refusal.message, param=refusal.param)

    def _open(self, request: Request) -> None:
        upstream = self._relay.pool.take()
        if upstream:
            self._attach(request, upstream)
        else:
            self._connecting = self._relay.spawn("connect", self._connect(request))

    async def _connect(self, request: Request) -> None:
        try:
            upstream = await self._relay.pool.connect()
        except Exception as error:  # whatever it is, the client must get an answer
            self._connecting = None
            if isinstance(error, TimeoutError):
                self._fail(Ending.UPSTREAM_ERROR, 504, "upstream_timeout", "no connection to the server in time")
                return
            reason = getattr(error, "strerror", None) or type(error).__name__
            self._fail(Ending.UPSTREAM_ERROR, 502, "upstream_unreachable", f"no connection to the server: {reason}")
            if not isinstance(error, OSError):
                log.exception("connecting to the server failed")
            return
        self._connecting = None
        if self._active is not request:
            upstream.abort()
            return
        self._attach(request, upstream)
        self._send()
        self._balance_reading()

    def _attach(self, request: Request, upstream: UpstreamConnection) -> None:
        self._upstream = upstream
        upstream.begin(self, request)
        if self._blocked_since is not None:
            upstream.pause_reading()
        if request.expects_continue and not request.complete:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _send(self) -> None:
        """Write what waits of the active request."""
        request, upstream = self._active, self._upstream
        if request is None or upstream is None or not request.held:
            return
        upstream.last_byte = self._relay.loop.time()
        first = request.held[0] is request.head
        upstream.transport.write(request.take())
        if first:
            request.send_delay_s = time.perf_counter() - request.begun_at

    def _next(self, request: Request) -> None:
        """The present exchange is over; begin the one that waits, or end."""
        self._active = None
        self._upstream = None
        self.response_started = False
        self._idle_since = self._relay.loop.time()
        if self.closes_after or self._relay.draining:
            self._end(read_to_end=request.complete)
            return
        if self._waiting:
            following = self._waiting.popleft()
            following.begun_at = time.perf_counter()
            self._start(following)
            self._send()
            if self._undecided:
                self._relay.loop.call_soon(self._decide)  # not here: a thousand that wait would be as many calls deep
        elif self._refusal:
            self._answer_refusal()
            return
        if self._reading_paused:
            self._balance_reading()

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
        self._answer(request, status, kind, message)

    def _answer(self, request: Request, status: int, kind: str, message: str, *, param: str | None = None) -> None:
        """The proxy's own answer to the active request, in the server's stead."""
        self._relay.counts.rejected[kind] += 1
        self.closes_after = self.closes_after or not request.complete
        close, head_only = self.closes_after, request.head_only
        self.write(error_response(status, kind, message, close=close, head_only=head_only, param=param))
        self._next(request)

    def _abandon(self, request: Request) -> None:
        """The active request cannot be read to its end: the server must not take what came of it for a whole one."""
        request.recording.end(Ending.CLIENT_GONE)
        framed = self._upstream is None or self._upstream.framed
        self._drop_upstream()
        self._active = None
        if self.response_started:
            self._break_off(framed)
        else:
            self._answer_refusal()

    def _drop_upstream(self) -> None:
        if self._connecting:
            self._connecting.cancel()
            self._connecting = None
        if self._upstream:
            self._upstream.abort()
            self._upstream = None

    def _drop_waiting(self) -> None:
        for waiting in self._waiting:
            waiting.recording.end(Ending.CLIENT_GONE)
        self._waiting.clear()

    # The end of the connection

    def _answer_refusal(self) -> None:
        self.write(self._refusal)
        self._idle_since = self._last_data = self._relay.loop.time()
        self._end(read_to_end=False)

    def _end(self, *, read_to_end: bool) -> None:
        """Close when everything is written; a client that is still sending gets time to read its answer."""
        self._drop_waiting()
        self._reader.reading = None
        if read_to_end or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self._discarding = True
            self.transport.write_eof()
            self._resume_reading()

    def _break_off(self, framed: bool) -> None:
        """Make the client see that its response is incomplete.

        With a length or chunks the missing end says so, and what came so far is delivered. Without either, the end of the
        connection would look like the end of the response, so the connection is reset.
        """
        self._idle_since = self._relay.loop.time()
        if framed:
            self.transport.close()
        else:
            reset = struct.pack("ii", 1, 0)  # without it, abort() ends the connection as a complete response would
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            self.transport.abort()

    # The flow of the client's bytes

    def _balance_reading(self) -> None:
        """Stop reading while too much of what the client sent waits, or the server does not take it; else go on."""
        if self._discarding or self.transport.is_closing():
            return
        if self._must_wait():
            if not self._reading_paused:
                self._reading_paused = True
                self.transport.pause_reading()
        else:
            self._resume_reading()

    def _must_wait(self) -> bool:
        if self._upstream and self._upstream.write_blocked:
            return True
        if self._active and len(self._active.early) > MAX_HELD_BYTES:
            return True
        if self._waiting:
            held = sum(request.held_bytes for request in self._waiting)
            return held > MAX_HELD_BYTES or len(self._waiting) > MAX_PIPELINED
        if self._upstream is not None or self._active is None or self._undecided:
            return False
        return self._active.held_bytes > MAX_HELD_BYTES

    def _resume_reading(self) -> None:
        if self._reading_paused and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()


def _hung_up(transport: asyncio.Transport) -> bool:
    """The peer has closed its side, even if unread bytes of it still wait."""
    descriptor = transport.get_extra_info("socket").fileno()
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, _HANGUP)
    return bool(poll.poll(0))
