"""Decoders, one per shape of the API; sans-IO: bytes in, a dialogue out."""

from collections.abc import Callable

from monitor.protocols.background import Background
from monitor.protocols.body import DecodeError
from monitor.protocols.generate import decode_generate
from monitor.protocols.invocations import decode_invocations
from monitor.protocols.messages import decode_messages
from monitor.protocols.openai import decode_openai
from monitor.protocols.request_body import adapter_named, asked_model
from monitor.protocols.responses import decode_responses
from monitor.records import Dialogue, Exchange

DECODERS: dict[str, Callable[[Exchange], Dialogue]] = {
    "chat_completions": decode_openai,
    "batch": decode_openai,
    "completions": decode_openai,
    "responses": decode_responses,
    "messages": decode_messages,
    "generate": decode_generate,
    "invocations": decode_invocations,
}
"""Endpoint -> decoder; the endpoints' names are those of monitor.protocols.endpoints."""

__all__ = ["DECODERS", "Background", "DecodeError", "adapter_named", "asked_model"]
