"""What was asked: the few fields that are needed of a request to /v1/chat/completions or /v1/completions.

A request that the server understood must not escape because it is written in an unusual way. So what the strict and fast
parser declines is read once more with Python's own, which the servers use: it takes UTF-16, NaN and lone surrogates.
"""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec

from monitor.protocols.body import DecodeError, plain_body
from monitor.records import Exchange, Prompt

MODEL_IN_CUT_JSON: Final = re.compile(rb'"model"\s*:\s*"([^"\\]{1,256})"')
"""Finds the model where a body was cut and cannot be parsed; text inside strings has its quotes escaped and cannot match."""


class _ContentPart(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Message(msgspec.Struct):
    role: str = ""
    content: str | list[_ContentPart | str] | None = None


class CompletionRequest(msgspec.Struct):
    """Everything else in the request is skipped without building objects for it."""

    model: str | None = None
    messages: list[_Message] | None = None
    prompt: str | list[str | int | list[int]] | None = None
    tools: msgspec.Raw = msgspec.Raw()
    n: int | None = None
    echo: bool | None = None

    @property
    def answers_per_prompt(self) -> int:
        """How many choices of the response belong to one prompt."""
        return max(1, self.n or 1)


_strict = msgspec.json.Decoder(CompletionRequest)
_lax = msgspec.json.Decoder(CompletionRequest, strict=False)
_NEEDED: Final = CompletionRequest.__struct_fields__

_MEDIA: Final = frozenset(
    {"image_url", "input_image", "image", "audio_url", "input_audio", "audio", "video_url", "file"}
)


def read_request(exchange: Exchange) -> CompletionRequest | None:
    """The request; None when its copy is cut: then the answer is judged without its prompt.

    Raises DecodeError when it cannot be read.
    """
    if exchange.request_truncated:
        return None
    body = plain_body(exchange.request, exchange.request_encoding)
    try:
        return _strict.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_as_the_server_does(body)


def requested_model(exchange: Exchange, request: CompletionRequest | None) -> str | None:
    """The request's `model`, "" when it names none, None when that cannot be known."""
    if request is not None:
        return request.model or ""
    found = MODEL_IN_CUT_JSON.search(exchange.request) if not exchange.request_encoding else None
    return found.group(1).decode("utf-8", "replace") if found else None


def prompts_of(request: CompletionRequest | None) -> tuple[Prompt, ...]:
    """What was asked, at least one prompt; an unknown one has no text."""
    if request is None:
        return (Prompt(text=""),)
    if request.messages:
        return (_chat_prompt(request, request.messages),)
    if isinstance(request.prompt, str):
        return (Prompt(text=request.prompt),)
    listed = request.prompt or []
    texts = tuple(Prompt(text=one if isinstance(one, str) else "") for one in listed if not isinstance(one, int))
    return texts or (Prompt(text=""),)  # a list of integers is one prompt of token ids


def _read_as_the_server_does(body: bytes) -> CompletionRequest:
    try:
        found = json.loads(body)
        if not isinstance(found, dict):
            raise DecodeError("malformed_request")
        needed = {name: found[name] for name in _NEEDED if name in found}
        return _lax.decode(json.dumps(needed, ensure_ascii=False).encode("utf-8", "replace"))
    except DecodeError:
        raise
    except (ValueError, RecursionError) as error:  # msgspec's and json's errors are ValueErrors
        raise DecodeError("malformed_request") from error


def _chat_prompt(request: CompletionRequest, messages: list[_Message]) -> Prompt:
    last_user = ""
    system: list[str] = []
    media = False
    for message in messages:
        text, has_media = _content(message.content)
        media = media or has_media
        if message.role in ("system", "developer"):
            system.append(text)
        elif message.role == "user":
            last_user = text
    return Prompt(
        text=last_user,
        system="\n".join(system),
        turns=len(messages),
        has_tools=bytes(request.tools) not in (b"", b"null", b"[]"),
        has_media=media,
    )


def _content(content: str | list[_ContentPart | str] | None) -> tuple[str, bool]:
    """Text of a message's content, and whether it has parts that are not text."""
    if content is None:
        return "", False
    if isinstance(content, str):
        return content, False
    texts = [part if isinstance(part, str) else part.text for part in content]
    media = any(not isinstance(part, str) and part.type in _MEDIA for part in content)
    return "\n".join(text for text in texts if text is not None), media
