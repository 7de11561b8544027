"""/v1/messages, in the form of Anthropic's API: streamed and not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.protocols.body import plain_body
from monitor.protocols.request_body import NamesModel, RequestShape, has_content, requested_model
from monitor.protocols.response_body import ABSENT, MAX_ID, ResponseShape, error_type, is_stream, token_count
from monitor.protocols.turns import ContentPart, Message, content_text, last_question
from monitor.records import Choice, Dialogue, Exchange, Prompt

_FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "abort",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""stop_reason -> the finish_reason that says the same; unknown ones stay as they are."""


class _Request(NamesModel):
    messages: list[Message] | None = None
    system: str | list[ContentPart | str] | None = None
    tools: msgspec.Raw = ABSENT


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None


class _Delta(msgspec.Struct, gc=False):
    text: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None

    @property
    def prompt_tokens(self) -> int | None:
        """The whole prompt: the API counts what the cache had apart."""
        if self.input_tokens is None:
            return None
        return self.input_tokens + (self.cache_read_input_tokens or 0) + (self.cache_creation_input_tokens or 0)


class _Answer(msgspec.Struct, gc=False):
    """A whole response, or what the first event of a stream says of it."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = ABSENT


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    index: int = 0
    message: _Answer | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = ABSENT


_REQUEST: Final = RequestShape(_Request)
_WHOLE: Final = ResponseShape(_Answer)
_STREAM: Final = ResponseShape(_Event)


@dataclass(slots=True)
class _Growing:
    """The answer while its pieces come in."""

    identity: str = ""
    model: str = ""
    text: list[str] = field(default_factory=list)
    block: int = -1
    """The block that the last piece of text belongs to."""
    reasoning: list[str] = field(default_factory=list)
    tool_call: bool = False
    stop_reason: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str = ""
    begun: bool = False
    damaged: bool = False

    def add_head(self, head: _Answer) -> None:
        self.begun = True
        self.identity = head.id or self.identity
        self.model = head.model or self.model
        self.stop_reason = head.stop_reason or self.stop_reason
        self.count(head.usage)
        for index, block in enumerate(head.content or ()):
            self.add_block(index, block)

    def add_block(self, index: int, block: _Block) -> None:
        self.tool_call = self.tool_call or block.type == "tool_use"
        self.add_text(index, block.text)
        if block.thinking:
            self.reasoning.append(block.thinking)

    def add_text(self, index: int, text: str | None) -> None:
        """Blocks of text are lines of their own: what one says does not run on into the next."""
        if not text:
            return
        if index != self.block and self.text:
            self.text.append("\n")
        self.block = index
        self.text.append(text)

    def add(self, event: _Event) -> None:
        delta = event.delta
        if delta is not None:
            if delta.text:
                if event.index == self.block:
                    self.text.append(delta.text)
                else:
                    self.add_text(event.index, delta.text)
            elif delta.thinking:
                self.reasoning.append(delta.thinking)
            elif delta.stop_reason:
                self.stop_reason = delta.stop_reason
        if event.content_block:
            self.add_block(event.index, event.content_block)
        if event.message:
            self.add_head(event.message)
        if event.usage:
            self.count(event.usage)
        if event.error is not ABSENT:
            self.error = error_type(event.error) or self.error

    def count(self, usage: _Usage | None) -> None:
        if usage:
            prompt, completion = token_count(usage.prompt_tokens), token_count(usage.output_tokens)
            self.prompt_tokens = self.prompt_tokens if prompt is None else prompt
            self.completion_tokens = self.completion_tokens if completion is None else completion


def decode_messages(exchange: Exchange) -> Dialogue:
    """The dialogue of a message. Raises DecodeError when nothing useful can be read from it."""
    request = _REQUEST.read(exchange)
    stream = is_stream(exchange)
    answer = _read_stream(exchange) if stream else _read_whole(exchange)
    return Dialogue(
        prompts=(_prompt(request),),
        choices=_choices(answer),
        model_requested=requested_model(exchange, request, answer.model),
        model_answered=answer.model,
        stream=stream,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        error=answer.error,
        damaged=answer.damaged,
        response_id=answer.identity[:MAX_ID],
    )


def _prompt(request: _Request | None) -> Prompt:
    if request is None:
        return Prompt(text="")
    system, _ = content_text(request.system)
    return last_question(request.messages or (), has_tools=has_content(request.tools), system=system)


def _read_whole(exchange: Exchange) -> _Growing:
    answer = _Growing()
    if exchange.response_truncated:  # JSON cut in the middle cannot be parsed; the model stands at its end
        answer.begun = True
        return answer
    whole = _WHOLE.whole(plain_body(exchange.response, exchange.response_encoding))
    answer.error = error_type(whole.error)
    if whole.content is not None:
        answer.add_head(whole)
        answer.stop_reason = answer.stop_reason or "abort"  # vLLM names no reason for an answer that it gave up
    return answer


def _read_stream(exchange: Exchange) -> _Growing:
    events, damaged = _STREAM.stream(exchange)
    answer = _Growing(damaged=damaged)
    for event in events:
        answer.add(event)
    return answer


def _choices(answer: _Growing) -> tuple[Choice, ...]:
    if not (answer.begun or answer.text or answer.tool_call):
        return ()
    return (
        Choice(
            index=0,
            prompt=0,
            text="".join(answer.text),
            reasoning="".join(answer.reasoning),
            finish_reason=_FINISH_REASONS.get(answer.stop_reason, answer.stop_reason),
            tool_call=answer.tool_call,
        ),
    )
