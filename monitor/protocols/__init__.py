"""Decoders, one per shape of the API; sans-IO: bytes in, a dialogue out."""

from collections.abc import Callable

from monitor.protocols.body import DecodeError
from monitor.protocols.openai import decode_openai
from monitor.records import Dialogue, Exchange

DECODERS: dict[str, Callable[[Exchange], Dialogue]] = {
    "chat_completions": decode_openai,
    "completions": decode_openai,
}
"""Endpoint -> decoder; the endpoints' names are those of monitor.protocols.endpoints."""

__all__ = ["DECODERS", "DecodeError"]
