"""Reading a response's body, whole or streamed, into the few fields that a decoder names.

msgspec skips all other fields without building objects for them; logprobs above all can be far longer than the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

from monitor.protocols.body import DecodeError, plain_body
from monitor.protocols.request_body import UNREADABLE
from monitor.protocols.runs import merged
from monitor.protocols.sse import event_data, plain_event_data
from monitor.records import Exchange

MAX_CHOICES: Final = 512
"""Answers of one response that are judged; a list of very many prompts must not hold up everybody else's."""
MAX_TOKENS: Final = 2**40
"""What a server counts beyond this is no count."""
MAX_ID: Final = 256
"""Longest identity of a response that is kept, in characters."""

ABSENT: Final = msgspec.Raw()
"""Default of fields that are not looked into; compared by identity, which costs nothing in every event of a long stream."""

_DONE: Final = b"[DONE]"
_NONE: Final = (b"", b"null")

S = TypeVar("S", bound=msgspec.Struct)


class _Error(msgspec.Struct):
    type: str | None = None


_error = msgspec.json.Decoder(_Error)


class ResponseShape(Generic[S]):
    """Reads responses of one shape."""

    def __init__(self, shape: type[S]) -> None:
        self._one = msgspec.json.Decoder(shape)
        self._all: msgspec.json.Decoder[list[S]] = msgspec.json.Decoder(list[shape])  # type: ignore[valid-type]

    def whole(self, body: bytes) -> S:
        """A response that is one JSON text. Raises DecodeError."""
        try:
            return self._one.decode(body)
        except UNREADABLE as error:
            raise DecodeError("malformed_response") from error

    def event(self, data: bytes) -> S | None:
        """One event of a stream, None when it cannot be read."""
        try:
            return self._one.decode(data)
        except UNREADABLE:
            return None

    def stream(self, exchange: Exchange) -> tuple[Sequence[S], bool]:
        """All events of a stream; what cannot be read is left out, and the second value tells that something was.

        Raises DecodeError when nothing can be read of a stream that was copied to its end.
        """
        body = plain_body(exchange.response, exchange.response_encoding)
        events = self._at_once(plain_event_data(body))
        if events:
            return events, False
        data = [piece for piece in event_data(body) if piece != _DONE]
        events = self._at_once(data)
        if events:
            return events, False
        found = [event for event in map(self.event, data) if event is not None]
        if not found and not exchange.response_truncated:
            raise DecodeError("malformed_response")
        return found, len(found) < len(data)

    def _at_once(self, data: list[bytes]) -> Sequence[S]:
        """All events in one call of the parser, none when any of them cannot be read."""
        try:
            return self._all.decode(b"[" + b",".join(merged(data)) + b"]")
        except UNREADABLE:
            return ()


def last_event(body: bytes) -> bytes:
    """The data of a stream's last event, "" when it is not as plain as vLLM writes it."""
    end = body.rfind(b"\n\n")
    block = body[body.rfind(b"\n\n", 0, max(end, 0)) + 2 : max(end, 0)]
    data = event_data(block + b"\n\n")
    return data[0] if data else b""


def is_stream(exchange: Exchange) -> bool:
    """True for a response of server-sent events."""
    return exchange.response_type == "text/event-stream"


def token_count(tokens: int | None) -> int | None:
    """A count of tokens as a server wrote it, None for what cannot be one."""
    return tokens if tokens is not None and 0 <= tokens <= MAX_TOKENS else None


def error_type(raw: msgspec.Raw) -> str:
    """Type of an error object; "" when there is none."""
    if raw is ABSENT or bytes(raw) in _NONE:
        return ""
    try:
        return (_error.decode(raw).type or "error")[:64]
    except UNREADABLE:
        return "error"
