"""/v1/responses: streamed and not, and stored responses fetched or cancelled by their id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.protocols.body import DecodeError, plain_body
from monitor.protocols.endpoints import fetches_response
from monitor.protocols.request_body import NamesModel, RequestShape, has_content, requested_model
from monitor.protocols.response_body import (
    ABSENT,
    MAX_ID,
    Blocks,
    ResponseShape,
    error_type,
    is_stream,
    last_event,
    token_count,
)
from monitor.protocols.turns import Message, last_question
from monitor.records import Choice, Dialogue, Exchange, Prompt

_FINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
"""Events that end a stream and repeat the whole response."""
_UNFINISHED: Final = frozenset({"queued", "in_progress"})
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
"""Calls that the client has to carry out; others are carried out by the server, which then goes on answering."""


class _Request(NamesModel):
    input: str | list[Message] | None = None
    instructions: str | None = None
    tools: msgspec.Raw = ABSENT


class _Part(msgspec.Struct, gc=False):
    text: str | None = None
    refusal: str | None = None


class _OutputItem(msgspec.Struct, gc=False):
    type: str = ""
    content: list[_Part] | None = None
    summary: list[_Part] | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class _Response(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[_OutputItem] | None = None
    usage: _Usage | None = None
    incomplete_details: _Incomplete | None = None
    error: msgspec.Raw = ABSENT
    background: bool | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    response: _Response | None = None
    output_index: int = 0
    delta: str | None = None
    item: _OutputItem | None = None
    code: str | int | None = None
    error: msgspec.Raw = ABSENT


_REQUEST: Final = RequestShape(_Request)
_WHOLE: Final = ResponseShape(_Response)
_STREAM: Final = ResponseShape(_Event)


@dataclass(slots=True)
class _Answer:
    """The answer while its pieces come in."""

    identity: str = ""
    model: str = ""
    status: str = ""
    blocks: Blocks = field(default_factory=Blocks)
    """The text of the output items."""
    reasoning: list[str] = field(default_factory=list)
    tool_call: bool = False
    cut_by: str = ""
    usage: _Usage | None = None
    error: str = ""
    background: bool = False
    damaged: bool = False

    def add_response(self, response: _Response) -> None:
        self.identity = response.id or self.identity
        self.model = response.model or self.model
        self.status = response.status or self.status
        self.usage = response.usage or self.usage
        self.background = bool(response.background)
        self.error = error_type(response.error) or self.error
        if response.incomplete_details:
            self.cut_by = response.incomplete_details.reason or ""
        if response.output:
            self.blocks, self.reasoning = Blocks(), []  # what the pieces gave is repeated here
            for index, item in enumerate(response.output):
                self.add_item(index, item)

    def add_item(self, index: int, item: _OutputItem) -> None:
        self.note_call(item)
        for part in item.content or ():
            if item.type == "reasoning":
                self.reasoning.append(part.text or "")
            else:
                self.blocks.add(index, part.text or part.refusal)
        if item.type == "reasoning" and not item.content:
            self.reasoning.extend(part.text or "" for part in item.summary or ())

    def note_call(self, item: _OutputItem) -> None:
        self.tool_call = self.tool_call or item.type in _CALLS

    def add(self, event: _Event) -> None:
        kind = event.type
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            self.blocks.add(event.output_index, event.delta)
        elif kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
            self.reasoning.append(event.delta or "")
        elif kind == "error":
            self.error = str(event.code or "error")[:64]
        elif event.item:
            self.note_call(event.item)
        if event.response:
            self.add_response(event.response)
        if event.error is not ABSENT:
            self.error = error_type(event.error) or self.error

    @property
    def finish_reason(self) -> str:
        """Why the answer ended, in the words of the other APIs."""
        if self.status == "completed":
            return "tool_calls" if self.tool_call else "stop"
        if self.status == "incomplete":
            return "content_filter" if self.cut_by == "content_filter" else "length"
        return {"failed": "error", "cancelled": "abort"}.get(self.status, "")


def decode_responses(exchange: Exchange) -> Dialogue:
    """The dialogue of a response. Raises DecodeError when nothing useful can be read from it."""
    fetched = fetches_response(exchange.method, exchange.target)
    stream = is_stream(exchange)
    answer = _read_stream(exchange) if stream else _read_whole(exchange)
    if fetched and not answer.model:
        raise DecodeError("no_model")
    request = None if fetched else _REQUEST.read(exchange)
    return Dialogue(
        prompts=(_prompt(request),),
        choices=_choices(answer),
        model_requested=answer.model if fetched else requested_model(exchange, request, answer.model),
        model_answered=answer.model,
        stream=stream,
        prompt_tokens=token_count(answer.usage.input_tokens) if answer.usage else None,
        completion_tokens=token_count(answer.usage.output_tokens) if answer.usage else None,
        error=answer.error,
        damaged=answer.damaged,
        response_id=answer.identity[:MAX_ID],
        fetched=fetched,
        unfinished=answer.status in _UNFINISHED and not stream,
    )


def _prompt(request: _Request | None) -> Prompt:
    if request is None:
        return Prompt(text="")
    instructions = request.instructions or ""
    if isinstance(request.input, str):
        return Prompt(text=request.input, system=instructions, has_tools=has_content(request.tools))
    return last_question(request.input or (), has_tools=has_content(request.tools), system=instructions)


def _read_whole(exchange: Exchange) -> _Answer:
    answer = _Answer()
    if exchange.response_truncated:
        # JSON cut in the middle cannot be parsed. Its model is not looked for: the client's own metadata stand before it.
        answer.status = "cut"
        return answer
    answer.add_response(_WHOLE.whole(plain_body(exchange.response, exchange.response_encoding)))
    return answer


def _read_stream(exchange: Exchange) -> _Answer:
    """The last event repeats the whole response; only where it is missing are the pieces put together."""
    answer = _Answer()
    last = _STREAM.event(last_event(plain_body(exchange.response, exchange.response_encoding)))
    if last and last.type in _FINAL and last.response and last.response.output:
        answer.add_response(last.response)
        return answer
    events, answer.damaged = _STREAM.stream(exchange)
    for event in events:
        answer.add(event)
    return answer


def _choices(answer: _Answer) -> tuple[Choice, ...]:
    text = answer.blocks.text
    if not (answer.status or text or answer.tool_call):
        return ()
    if answer.status in ("queued", "cancelled", "failed") and not text:
        return ()
    return (
        Choice(
            index=0,
            prompt=0,
            text=text,
            reasoning="".join(answer.reasoning),
            finish_reason=answer.finish_reason,
            tool_call=answer.tool_call,
        ),
    )
