"""/inference/v1/generate: token ids in, token ids or text out, streamed and not.

The prompt is always token ids, and so is the answer unless the request asked for text. What has no text is left as ids in
the dialogue: only the server's tokenizer can read them, and asking it is not a decoder's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.protocols.body import DecodeError, plain_body
from monitor.protocols.request_body import NamesModel, RequestShape, requested_model
from monitor.protocols.response_body import (
    ABSENT,
    MAX_ID,
    ResponseShape,
    TokenCounts,
    error_type,
    is_stream,
    token_count,
)
from monitor.records import Choice, Dialogue, Exchange, Prompt, TokenIds

MAX_ANSWERS: Final = 16
"""Choices of one response that are judged: each costs a call to the server."""
MAX_PROMPT_IDS: Final = 4096
"""The end of a prompt that is turned into text: the question stands at its end."""
MAX_ANSWER_IDS: Final = 16384


class _Request(NamesModel):
    token_ids: list[int] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    text: str | None = None
    token_ids: list[int] | None = None
    finish_reason: str | None = None


class _Response(msgspec.Struct, gc=False):
    """A response, or one event of a stream; events name no model."""

    request_id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: TokenCounts | None = None
    error: msgspec.Raw = ABSENT


_REQUEST: Final = RequestShape(_Request)
_RESPONSE: Final = ResponseShape(_Response)


@dataclass(slots=True)
class _Growing:
    """A choice while its pieces come in."""

    text: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    finish_reason: str = ""

    def add(self, piece: _Choice) -> None:
        if piece.text:
            self.text.append(piece.text)
        if piece.token_ids:
            self.ids.extend(piece.token_ids)
        self.finish_reason = piece.finish_reason or self.finish_reason


@dataclass(slots=True)
class _Answer:
    growing: dict[int, _Growing] = field(default_factory=dict)
    model: str = ""
    identity: str = ""
    error: str = ""
    usage: TokenCounts | None = None
    damaged: bool = False

    def add(self, event: _Response) -> None:
        self.model = event.model or self.model
        self.identity = event.request_id or self.identity
        self.usage = event.usage or self.usage
        if event.error is not ABSENT:
            self.error = error_type(event.error) or self.error
        for piece in event.choices or ():
            one = self.growing.get(piece.index)
            if one is None:
                if len(self.growing) >= MAX_ANSWERS:
                    continue
                one = self.growing[piece.index] = _Growing()
            one.add(piece)


def decode_generate(exchange: Exchange) -> Dialogue:
    """The dialogue of a generation. Raises DecodeError when nothing useful can be read from it."""
    request = _REQUEST.read(exchange)
    stream = is_stream(exchange)
    answer = _read_stream(exchange) if stream else _read_whole(exchange)
    found = [one for _, one in sorted(answer.growing.items())]
    return Dialogue(
        prompts=(Prompt(text=""),),
        choices=tuple(
            Choice(index=index, prompt=0, text="".join(one.text), finish_reason=one.finish_reason)
            for index, one in enumerate(found)
        ),
        model_requested=requested_model(exchange, request, answer.model),
        model_answered=answer.model,
        stream=stream,
        prompt_tokens=token_count(answer.usage.prompt_tokens) if answer.usage else None,
        completion_tokens=token_count(answer.usage.completion_tokens) if answer.usage else None,
        error=answer.error,
        damaged=answer.damaged,
        response_id=answer.identity[:MAX_ID],
        tokens=_token_ids(request, found),
    )


def _token_ids(request: _Request | None, found: list[_Growing]) -> TokenIds | None:
    """What is still to be turned into text, None for nothing. Raises DecodeError for more than is asked of the server."""
    prompt = tuple((request.token_ids or ())[-MAX_PROMPT_IDS:]) if request else ()
    answers = tuple(() if one.text else tuple(one.ids) for one in found)
    if sum(map(len, answers)) > MAX_ANSWER_IDS:
        raise DecodeError("too_large")
    return TokenIds(prompt, answers) if found and (prompt or any(answers)) else None


def _read_whole(exchange: Exchange) -> _Answer:
    answer = _Answer()
    if exchange.response_truncated:  # JSON cut in the middle cannot be parsed; the answer counts as truncated
        answer.growing[0] = _Growing()
        return answer
    answer.add(_RESPONSE.whole(plain_body(exchange.response, exchange.response_encoding)))
    return answer


def _read_stream(exchange: Exchange) -> _Answer:
    events, damaged = _RESPONSE.stream(exchange)
    answer = _Answer(damaged=damaged)
    for event in events:
        answer.add(event)
    return answer
