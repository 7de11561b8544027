"""/v1/chat/completions and /v1/completions, streamed and not.

Only the few fields that are needed are named; msgspec skips the rest without building objects for it, and vLLM's other
fields (logprobs above all, which can be far longer than the text) cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.protocols.body import DecodeError, plain_body
from monitor.protocols.openai_request import (
    MODEL_IN_CUT_JSON,
    CompletionRequest,
    prompts_of,
    read_request,
    requested_model,
)
from monitor.protocols.sse import event_data
from monitor.records import Choice, Dialogue, Exchange, Prompt

MAX_CHOICES: Final = 512
"""Answers of one response that are judged; a list of very many prompts must not hold up everybody else's."""
MAX_TOKENS: Final = 2**40
"""What a server counts beyond this is no count."""

_DONE: Final = b"[DONE]"
_NONE: Final = (b"", b"null")
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = msgspec.Raw()


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Response(msgspec.Struct):
    """A response, or one event of a stream."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()


class _Error(msgspec.Struct):
    type: str | None = None


_response = msgspec.json.Decoder(_Response)
_events = msgspec.json.Decoder(list[_Response])
_error = msgspec.json.Decoder(_Error)


@dataclass(slots=True)
class _Growing:
    """A choice while its pieces come in."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    finish_reason: str = ""
    tool_call: bool = False

    def add(self, piece: _Choice) -> None:
        delta = piece.delta or piece.message
        if piece.text:
            self.text.append(piece.text)
        if delta:
            if delta.content:
                self.text.append(delta.content)
            elif delta.refusal:
                self.text.append(delta.refusal)
            thought = delta.reasoning or delta.reasoning_content
            if thought:
                self.reasoning.append(thought)
            if not self.tool_call:
                self.tool_call = bytes(delta.tool_calls) not in (*_NONE, b"[]")
        if piece.finish_reason:
            self.finish_reason = piece.finish_reason


@dataclass(slots=True)
class _Answer:
    """A whole response while its events come in."""

    growing: dict[int, _Growing] = field(default_factory=dict)
    model: str = ""
    identity: str = ""
    error: str = ""
    usage: _Usage | None = None
    damaged: bool = False

    def add(self, event: _Response) -> None:
        self.model = self.model or event.model or ""
        self.identity = self.identity or event.id or ""
        self.usage = event.usage or self.usage
        if bytes(event.error) not in _NONE:
            self.error = _error_type(event.error)
        for piece in event.choices or ():
            one = self.growing.get(piece.index)
            if one is None:
                if piece.index < 0 or len(self.growing) >= MAX_CHOICES:
                    self.damaged = self.damaged or piece.index < 0
                    continue
                one = self.growing[piece.index] = _Growing()
            one.add(piece)


def decode_openai(exchange: Exchange) -> Dialogue:
    """The dialogue of a chat or text completion.

    Raises DecodeError when nothing useful can be read from it.
    """
    request = read_request(exchange)
    body = plain_body(exchange.response, exchange.response_encoding)
    stream = exchange.response_type == "text/event-stream"
    answer = _read_stream(exchange, body) if stream else _read_whole(exchange, body)
    requested = requested_model(exchange, request)
    if requested is None:  # it was asked for in the part of the request that was not copied
        if not answer.model:
            raise DecodeError("no_model")
        requested = answer.model
    prompts = prompts_of(request)
    return Dialogue(
        prompts=prompts,
        choices=_choices(answer, request, prompts),
        model_requested=requested,
        model_answered=answer.model,
        stream=stream,
        prompt_tokens=_count(answer.usage.prompt_tokens) if answer.usage else None,
        completion_tokens=_count(answer.usage.completion_tokens) if answer.usage else None,
        error=answer.error,
        damaged=answer.damaged,
        response_id=answer.identity[:256],
    )


def _read_whole(exchange: Exchange, body: bytes) -> _Answer:
    answer = _Answer()
    if exchange.response_truncated:  # JSON cut in the middle cannot be parsed; the answer counts as truncated
        found = MODEL_IN_CUT_JSON.search(body.partition(b'"choices"')[0])
        answer.model = found.group(1).decode("utf-8", "replace") if found else ""
        answer.growing[0] = _Growing()
        return answer
    try:
        answer.add(_response.decode(body))
    except _UNREADABLE as error:
        raise DecodeError("malformed_response") from error
    return answer


def _read_stream(exchange: Exchange, body: bytes) -> _Answer:
    """All events, decoded in one call; when that fails, one by one, leaving out what cannot be read."""
    answer = _Answer()
    data = [piece for piece in event_data(body) if piece != _DONE]
    events: Sequence[_Response]
    try:
        events = _events.decode(b"[" + b",".join(data) + b"]")
    except _UNREADABLE:
        answer.damaged = True
        events = [event for event in map(_read_event, data) if event is not None]
    if not events and not exchange.response_truncated:
        raise DecodeError("malformed_response")
    for event in events:
        answer.add(event)
    return answer


def _read_event(data: bytes) -> _Response | None:
    try:
        return _response.decode(data)
    except _UNREADABLE:
        return None


def _choices(answer: _Answer, request: CompletionRequest | None, prompts: tuple[Prompt, ...]) -> tuple[Choice, ...]:
    per_prompt = request.answers_per_prompt if request else 1
    echo = bool(request and request.echo)
    choices = []
    for index, one in sorted(answer.growing.items()):
        prompt = min(index // per_prompt, len(prompts) - 1)
        text = "".join(one.text)
        choices.append(
            Choice(
                index=index,
                prompt=prompt,
                text=text.removeprefix(prompts[prompt].text) if echo else text,
                reasoning="".join(one.reasoning),
                finish_reason=one.finish_reason,
                tool_call=one.tool_call,
            )
        )
    return tuple(choices)


def _count(tokens: int | None) -> int | None:
    return tokens if tokens is not None and 0 <= tokens <= MAX_TOKENS else None


def _error_type(raw: msgspec.Raw) -> str:
    try:
        return (_error.decode(raw).type or "error")[:64]
    except _UNREADABLE:
        return "error"
