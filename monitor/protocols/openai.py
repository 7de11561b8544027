"""/v1/chat/completions, its batch, and /v1/completions: streamed and not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.protocols.body import plain_body
from monitor.protocols.openai_request import REQUEST, CompletionRequest, prompts_of
from monitor.protocols.request_body import MODEL_IN_CUT_JSON, has_content, requested_model
from monitor.protocols.response_body import (
    ABSENT,
    MAX_CHOICES,
    MAX_ID,
    ResponseShape,
    TokenCounts,
    error_type,
    is_stream,
    token_count,
)
from monitor.records import Choice, Dialogue, Exchange, Prompt


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = ABSENT


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Response(msgspec.Struct, gc=False):
    """A response, or one event of a stream."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: TokenCounts | None = None
    error: msgspec.Raw = ABSENT


RESPONSE: Final = ResponseShape(_Response)


@dataclass(slots=True)
class _Growing:
    """A choice while its pieces come in."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    finish_reason: str = ""
    tool_call: bool = False


@dataclass(slots=True)
class _Answer:
    """A whole response while its events come in."""

    growing: dict[int, _Growing] = field(default_factory=dict)
    model: str = ""
    identity: str = ""
    error: str = ""
    usage: TokenCounts | None = None
    damaged: bool = False

    def add(self, events: Sequence[_Response]) -> None:
        """Take a whole response, or the events of a stream: one loop without a call, for a stream has hundreds."""
        growing = self.growing
        for event in events:
            if not self.model:
                self.model = event.model or ""
                self.identity = event.id or self.identity
            if event.usage is not None:
                self.usage = event.usage
            if event.error is not ABSENT:
                self.error = error_type(event.error) or self.error
            for piece in event.choices or ():
                one = growing.get(piece.index) or self._begin(piece.index)
                if one is None:
                    continue
                if piece.finish_reason:
                    one.finish_reason = piece.finish_reason
                delta = piece.delta or piece.message
                if delta is None:
                    if piece.text:
                        one.text.append(piece.text)
                    continue
                said = delta.content or delta.refusal
                if said:
                    one.text.append(said)
                thought = delta.reasoning or delta.reasoning_content
                if thought:
                    one.reasoning.append(thought)
                if delta.tool_calls is not ABSENT and not one.tool_call:
                    one.tool_call = has_content(delta.tool_calls)

    def _begin(self, index: int) -> _Growing | None:
        if index < 0 or len(self.growing) >= MAX_CHOICES:
            self.damaged = self.damaged or index < 0
            return None
        one = self.growing[index] = _Growing()
        return one


def decode_openai(exchange: Exchange) -> Dialogue:
    """The dialogue of a chat or text completion.

    Raises DecodeError when nothing useful can be read from it.
    """
    request = REQUEST.read(exchange)
    stream = is_stream(exchange)
    answer = _read_stream(exchange) if stream else _read_whole(exchange)
    requested = requested_model(exchange, request, answer.model)
    prompts = prompts_of(request)
    return Dialogue(
        prompts=prompts,
        choices=_choices(answer, request, prompts),
        model_requested=requested,
        model_answered=answer.model,
        stream=stream,
        prompt_tokens=token_count(answer.usage.prompt_tokens) if answer.usage else None,
        completion_tokens=token_count(answer.usage.completion_tokens) if answer.usage else None,
        error=answer.error,
        damaged=answer.damaged,
        response_id=answer.identity[:MAX_ID],
    )


def _read_whole(exchange: Exchange) -> _Answer:
    body = plain_body(exchange.response, exchange.response_encoding)
    answer = _Answer()
    if exchange.response_truncated:  # JSON cut in the middle cannot be parsed; the answer counts as truncated
        found = MODEL_IN_CUT_JSON.search(body.partition(b'"choices"')[0])
        answer.model = found.group(1).decode("utf-8", "replace") if found else ""
        answer.growing[0] = _Growing()
        return answer
    answer.add([RESPONSE.whole(body)])
    return answer


def _read_stream(exchange: Exchange) -> _Answer:
    events, damaged = RESPONSE.stream(exchange)
    answer = _Answer(damaged=damaged)
    answer.add(events)
    return answer


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
