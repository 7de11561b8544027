"""Reading a response's body, whole or streamed, into the few fields that a decoder names.

msgspec skips all other fields without building objects for them; logprobs above all can be far longer than the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

from monitor.protocols.body import DecodeError, plain_body
from monitor.protocols.request_body import UNREADABLE
from monitor.protocols.sse import event_data
from monitor.records import Exchange

MAX_CHOICES: Final = 512
"""Answers of one response that are judged; a list of very many prompts must not hold up everybody else's."""
MAX_TOKENS: Final = 2**40
"""What a server counts beyond this is no count."""
MAX_ID: Final = 256
"""Longest identity of a response that is kept, in characters."""

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

    def events(self, data: Sequence[bytes]) -> tuple[Sequence[S], bool]:
        """All events, decoded in one call; when that fails, one by one, leaving out what cannot be read.

        The second value tells whether something had to be left out.
        """
        try:
            return self._all.decode(b"[" + b",".join(data) + b"]"), False
        except UNREADABLE:
            return [event for event in map(self.event, data) if event is not None], True


def is_stream(exchange: Exchange) -> bool:
    """True for a response of server-sent events."""
    return exchange.response_type == "text/event-stream"


def stream_data(exchange: Exchange) -> list[bytes]:
    """The data of a stream's events, without the end mark that some APIs send."""
    body = plain_body(exchange.response, exchange.response_encoding)
    return [piece for piece in event_data(body) if piece != _DONE]


def token_count(tokens: int | None) -> int | None:
    """A count of tokens as a server wrote it, None for what cannot be one."""
    return tokens if tokens is not None and 0 <= tokens <= MAX_TOKENS else None


def error_type(raw: msgspec.Raw) -> str:
    """Type of an error object; "" when there is none."""
    if bytes(raw) in _NONE:
        return ""
    try:
        return (_error.decode(raw).type or "error")[:64]
    except UNREADABLE:
        return "error"
