"""Reads requests off one client connection and makes each ready to be forwarded.

Strict about everything that two parsers could read differently: what is not plain HTTP/1.1 with one framing is refused
here and never reaches the server. The head is written anew from its parsed fields, so no byte that the parser overlooked
passes.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final, Protocol

import httptools

from monitor.protocols.endpoints import endpoint_of
from monitor.proxy.gate import Gate, Question
from monitor.proxy.head import FORBIDDEN_TRAILERS, TOKEN_HEADER, fields_of, request_head, tokens_of
from monitor.proxy.routes import Routes
from monitor.proxy.tap import Recording, Tap

log = logging.getLogger(__name__)

MAX_HEAD_BYTES: Final = 64 * 1024
"""Longest head of a request, and longest trailers; 431 beyond that. While a head is incomplete, what one reading of the
socket brings (256 KiB) may come on top."""


class Request:
    """One request between its first byte and its response's last."""

    __slots__ = (
        "begun_at", "chunked", "complete", "early", "expects_continue", "head", "head_only", "held", "held_bytes", "http10",
        "keep_alive", "question", "recording", "send_delay_s", "switched", "websocket",
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
        self.expects_continue = False
        """The client waits for 100 Continue before it sends the body."""
        self.question: Question | None = None
        """What has to be decided before any of it is sent upstream."""
        self.websocket = False
        """It asks the server to switch to the WebSocket protocol, and nothing else follows on this connection."""
        self.switched = False
        """The server did."""
        self.early = b""
        """Bytes that came before: a server that does not switch would take them for its next request."""
        self.held: list[bytes] = [head]
        """Bytes that wait to be written upstream."""
        self.held_bytes = len(head)
        self.begun_at = time.perf_counter()
        """When its turn came: a pipelined request waits for those before it."""
        self.send_delay_s = 0.0
        """Seconds from `begun_at` to its writing upstream, connecting included."""

    def add(self, data: bytes) -> None:
        """A piece of the body: to be sent upstream in the framing of the request, and to be copied."""
        self.recording.request(data)
        if self.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self.held.append(data)
        self.held_bytes += len(data)

    def tunnel(self, data: bytes) -> None:
        """Bytes behind the head of a request for WebSocket."""
        if self.switched:
            self.held.append(data)
            self.held_bytes += len(data)
        else:
            self.early += data

    def switch(self) -> None:
        """The server speaks WebSocket now: what came early is for it."""
        self.switched = True
        early, self.early = self.early, b""
        if early:
            self.tunnel(early)

    def finish(self, trailers: list[tuple[bytes, bytes]]) -> None:
        """The body is complete."""
        self.complete = True
        self.recording.request_complete()
        if self.chunked:
            lines = b"".join(b"%b: %b\r\n" % (name, value) for name, value in trailers)
            self.held.append(b"0\r\n" + lines + b"\r\n")

    def held_body(self) -> bytes:
        """The whole body, while none of it has been taken."""
        pieces = self.held[1:]
        if self.chunked:
            pieces = [piece[piece.index(b"\r\n") + 2 : -2] for piece in pieces[:-1]]  # the last one ends the body
        return b"".join(pieces)

    def take(self) -> bytes:
        """All bytes that wait, which then no longer wait."""
        data = self.held[0] if len(self.held) == 1 else b"".join(self.held)
        self.held = []
        self.held_bytes = 0
        return data


class Requests(Protocol):
    """Who is told what was read."""

    def admit(self, request: Request) -> None:
        """A request's head is complete; its body follows into `request` itself."""
        ...

    def deny(self, route: str) -> None:
        """A request asked for a route that is closed; a refusal follows. route: its label, "" for none."""
        ...

    def refuse(self, status: int, kind: str, message: str) -> None:
        """What the client sent cannot be forwarded, and nothing after it can be read."""
        ...


class RequestReader:
    """The parser's callbacks of one client connection."""

    def __init__(
        self,
        requests: Requests,
        tap: Tap,
        host: bytes,
        routes: Routes,
        *,
        carries_websocket: bool,
        gate: Gate | None = None,
    ) -> None:
        self._requests = requests
        self._tap = tap
        self._routes = routes
        self._carries_websocket = carries_websocket
        self._gate = gate
        self._host = host
        """What the server is called, for HTTP/1.0 requests that name no host."""
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._trailer_bytes = 0
        self._partial_bytes = 0
        """Length of what was read of an incomplete head, without the piece in which it began."""
        self._begun = 0
        """Requests begun so far."""
        self._unread_framing = b""
        """The header that frames a body which the parser, because of an Upgrade, is not going to read."""
        self._resuming = False
        """The parser is being told that header again."""
        self._tunnel: Request | None = None
        """The request for WebSocket behind which nothing is parsed any more."""
        self.refused = False
        """Something came that cannot be forwarded; what follows is thrown away."""
        self._now = 0.0
        self.in_head = False
        self.head_since = 0.0
        """Event loop time of the present head's first byte."""
        self.reading: Request | None = None
        """The request whose body is being read."""

    def feed(self, data: bytes, now: float) -> None:
        """Take bytes of the connection, read at this time of the event loop."""
        self._now = now
        if self._tunnel:
            self._tunnel.tunnel(data)
            return
        begun = self._begun
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._feed_rest(memoryview(data)[int(upgrade.args[0]) :])
        except httptools.HttpParserError as error:
            self._refuse_malformed(error)
        if self.in_head:
            self._partial_bytes = self._partial_bytes + len(data) if begun == self._begun else 0
            if self._partial_bytes > MAX_HEAD_BYTES:
                self._refuse_large("head")

    def close(self) -> None:
        """Nothing comes any more; lets go of the parser, which refers back to this."""
        self._parser = None
        self.reading = self._tunnel = None

    def give_up(self) -> Request | None:
        """Throw away what follows; the request that is then cut off inside its body."""
        self.refused = True
        broken, self.reading = self.reading, None
        return broken

    # httptools

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._resuming:
            return
        self.in_head = True
        self.head_since = self._now
        self._begun += 1

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        if self.in_head:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or a trailer."""
        if self.in_head:
            self._headers.append((name, value))
            return
        if self._resuming:
            return
        self._trailer_bytes += len(name) + len(value)
        if self._trailer_bytes > MAX_HEAD_BYTES:
            self._trailers.clear()
            self._refuse_large("trailers")
        elif name.lower() not in FORBIDDEN_TRAILERS:
            self._trailers.append((name, value))

    def on_headers_complete(self) -> None:
        """A request's head is complete."""
        if self._resuming:
            return
        self.in_head = False
        headers, self._headers = self._headers, []
        url, self._url = self._url, b""
        if not self.refused:
            self._read_head(self._parser.get_method(), url, headers, self._parser.get_http_version())

    def on_body(self, data: bytes) -> None:
        """A piece of a request's body."""
        if self.reading:
            self.reading.add(data)

    def on_message_complete(self) -> None:
        """A request is complete."""
        if self.reading and not self._unread_framing:
            self.reading.finish(self._trailers)
            self.reading = None
        if self._trailer_bytes:
            self._trailers = []
            self._trailer_bytes = 0

    # The head

    def _read_head(self, method: bytes, url: bytes, headers: list[tuple[bytes, bytes]], version: str) -> None:
        fields = fields_of(headers)
        if fields is None:
            self._refuse(400, "bad_request", "the request repeats a header that says where it goes or where it ends")
            return
        http10 = version == "1.0"
        coding = fields.get(b"transfer-encoding")
        named = tokens_of(fields[b"connection"]) if b"connection" in fields else frozenset()
        websocket = b"upgrade" in named and b"websocket" in tokens_of(fields.get(b"upgrade", b""))
        target = url.decode("latin-1")
        if not (http10 or version == "1.1"):
            self._refuse(505, "unsupported_version", "the proxy speaks HTTP/1.1")
        elif method == b"CONNECT":
            self._refuse(501, "unsupported_method", "the proxy does not carry CONNECT")
        elif coding is not None and http10:
            self._refuse(400, "bad_request", "an HTTP/1.0 request has no transfer coding")
        elif coding is not None and coding.lower() != b"chunked":
            self._refuse(501, "unsupported_transfer_coding", "the proxy knows no transfer coding but chunked")
        elif denial := self._routes.denial(target, fields.get(TOKEN_HEADER)):
            self._requests.deny(denial.route)
            self._refuse(denial.status, denial.kind, denial.message)
        elif websocket and not self._carries_websocket:
            self._refuse(
                501, "unsupported_upgrade", "the proxy does not carry WebSocket; proxy.routes.websocket: tunnel would"
            )
        elif websocket and (http10 or method != b"GET" or _framing(fields)):
            self._refuse(400, "bad_request", "a request for WebSocket is a GET in HTTP/1.1 without a body")
        else:
            if http10 and b"host" not in fields:
                headers.append((b"host", self._host))
            head = request_head(method, url, headers, named, websocket=websocket)
            if len(head) > MAX_HEAD_BYTES:
                self._refuse_large("head")
                return
            request = Request(
                head,
                self._record(method.decode("ascii"), target, fields),
                head_only=method == b"HEAD",
                http10=http10,
                keep_alive=not http10 and not websocket and self._parser.should_keep_alive(),
                chunked=coding is not None,
            )
            if b"expect" in fields:
                request.expects_continue = not http10 and fields[b"expect"].lower() == b"100-continue"
            request.websocket = websocket
            if self._gate:
                recording = request.recording
                request.question = self._gate.question(
                    recording.method, target, recording.endpoint, headers, websocket=websocket
                )
            self.reading = request
            if websocket:
                self._tunnel = request
            elif b"upgrade" in named and self._parser.should_upgrade():
                self._unread_framing = _framing(fields)
            self._requests.admit(request)

    def _record(self, method: str, target: str, fields: dict[bytes, bytes]) -> Recording:
        recording = Recording(self._tap, method, target, endpoint_of(method, target))
        if b"content-encoding" in fields:
            recording.request_encoding = fields[b"content-encoding"].strip().lower().decode("latin-1")
        if b"x-request-id" in fields:
            recording.request_id = fields[b"x-request-id"][:128].decode("latin-1")
        if b"x-amzn-sagemaker-adapter-identifier" in fields:
            recording.adapter_header = fields[b"x-amzn-sagemaker-adapter-identifier"][:256].decode("latin-1")
        recording.no_replay = fields.get(self._tap.opt_out, b"0").strip() != b"0"
        return recording

    # What cannot be read

    def _feed_rest(self, rest: memoryview) -> None:
        """Go on after an Upgrade.

        One that is not carried is simply not forwarded (RFC 9110, 7.8); the connection stays HTTP/1.1, and a body follows
        as ever, although the parser takes everything behind the head for another protocol. A new parser is therefore told
        how that body is framed.
        """
        if self._tunnel:
            self._tunnel.tunnel(bytes(rest))
            return
        while not self.refused:
            self._parser = httptools.HttpRequestParser(self)
            if self._unread_framing:
                self._resuming = True
                self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % self._unread_framing)
                self._resuming = False
                self._unread_framing = b""
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[int(upgrade.args[0]) :]
            except httptools.HttpParserError as error:
                self._refuse_malformed(error)
                return
            else:
                return

    def _refuse_malformed(self, error: Exception) -> None:
        if isinstance(error, httptools.HttpParserCallbackError):  # a mistake of this program
            log.error("reading a request failed", exc_info=error)
            self._refuse(500, "proxy_error", "the proxy failed to read the request")
        else:
            self._refuse(400, "bad_request", f"the request is not valid HTTP: {error}")

    def _refuse_large(self, part: str) -> None:
        self._refuse(431, "request_header_fields_too_large", f"the request's {part} is longer than 64 KiB")

    def _refuse(self, status: int, kind: str, message: str) -> None:
        if not self.refused:
            self._requests.refuse(status, kind, message)


def _framing(fields: dict[bytes, bytes]) -> bytes:
    """The header that says how long the body is; b"" when there is no body."""
    if b"transfer-encoding" in fields:
        return b"transfer-encoding: chunked"
    length = int(fields.get(b"content-length", b"0"))
    return b"content-length: %d" % length if length else b""
