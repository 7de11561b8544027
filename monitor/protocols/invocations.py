"""/invocations: a chat or text completion by its body, whose adapter is named by a header."""

from __future__ import annotations

from dataclasses import replace

from monitor.protocols.openai import decode_openai
from monitor.records import Dialogue, Exchange


def decode_invocations(exchange: Exchange) -> Dialogue:
    """The dialogue of an invocation. Raises DecodeError when nothing useful can be read from it.

    vLLM puts the header's adapter in the place of the body's `model`, and nothing where there is no header. What the body
    asked for then stays the requested model, so that the base answering in its stead counts as the mismatch that it is.
    """
    dialogue = decode_openai(exchange)
    return replace(dialogue, model_requested=exchange.adapter_header) if exchange.adapter_header else dialogue
