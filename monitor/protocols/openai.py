"""/v1/chat/completions and /v1/completions, streamed and not.

Only the few fields that are needed are named; msgspec skips the rest without building objects for it, and vLLM's other
fields (logprobs above all, which can be far longer than the text) cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.protocols.body import DecodeError, plain_body
from monitor.protocols.sse import event_data
from monitor.records import Choice, Dialogue, Exchange, Prompt

_DONE: Final = b"[DONE]"


class _ContentPart(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Message(msgspec.Struct):
    role: str = ""
    content: str | list[_ContentPart] | None = None


class _Request(msgspec.Struct):
    model: str | None = None
    messages: list[_Message] = []
    prompt: str | list[str | int | list[int]] | None = None
    tools: list[msgspec.Raw] | None = None
    n: int | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


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
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: msgspec.Raw | None = None


class _Error(msgspec.Struct):
    type: str | None = None


_requests = msgspec.json.Decoder(_Request)
_response = msgspec.json.Decoder(_Response)
_events = msgspec.json.Decoder(list[_Response])
_error = msgspec.json.Decoder(_Error)

_MEDIA: Final = frozenset(
    {"image_url", "input_image", "image", "audio_url", "input_audio", "audio", "video_url", "file"}
)


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
            self.tool_call = self.tool_call or bool(delta.tool_calls)
        if piece.finish_reason:
            self.finish_reason = piece.finish_reason


def decode_openai(exchange: Exchange) -> Dialogue:
    """The dialogue of a chat or text completion.

    Raises DecodeError when nothing useful can be read from it.
    """
    request = _read_request(exchange)
    prompts = _prompts(request)
    stream = exchange.response_type == "text/event-stream"
    body = plain_body(exchange.response, exchange.response_encoding)
    events, damaged = _read_stream(body) if stream else ([_read_response(exchange, body)], False)
    growing: dict[int, _Growing] = {}
    model = error = identity = ""
    usage: _Usage | None = None
    for event in events:
        model = model or event.model or ""
        identity = identity or event.id or ""
        usage = event.usage or usage
        if event.error is not None:
            error = _error_type(event.error)
        for piece in event.choices:
            growing.setdefault(piece.index, _Growing()).add(piece)
    if not events and not exchange.response_truncated:
        raise DecodeError("malformed_response")
    per_prompt = max(1, request.n or 1) if request else 1
    return Dialogue(
        prompts=prompts,
        choices=tuple(
            Choice(
                index=index,
                prompt=min(index // per_prompt, len(prompts) - 1),
                text="".join(one.text),
                reasoning="".join(one.reasoning),
                finish_reason=one.finish_reason,
                tool_call=one.tool_call,
            )
            for index, one in sorted(growing.items())
        ),
        model_requested=(request.model or "") if request else "",
        model_answered=model,
        stream=stream,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        error=error,
        damaged=damaged,
        response_id=identity,
    )


def _read_request(exchange: Exchange) -> _Request | None:
    """None when the copy of the request is cut: then the answer is judged without its prompt."""
    if exchange.request_truncated:
        return None
    try:
        return _requests.decode(plain_body(exchange.request, exchange.request_encoding))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError("malformed_request") from error


def _read_response(exchange: Exchange, body: bytes) -> _Response:
    if exchange.response_truncated:
        return _Response(choices=[_Choice()])  # JSON cut in the middle cannot be read; the answer counts as truncated
    try:
        return _response.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError("malformed_response") from error


def _read_stream(body: bytes) -> tuple[list[_Response], bool]:
    """All events, decoded in one call; when that fails, one by one, leaving out what cannot be read."""
    data = [piece for piece in event_data(body) if piece != _DONE]
    try:
        return _events.decode(b"[" + b",".join(data) + b"]"), False
    except (msgspec.DecodeError, UnicodeDecodeError):
        events = []
        for piece in data:
            try:
                events.append(_response.decode(piece))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        return events, True


def _error_type(raw: msgspec.Raw) -> str:
    try:
        return _error.decode(raw).type or "error"
    except msgspec.DecodeError:
        return "error"


def _prompts(request: _Request | None) -> tuple[Prompt, ...]:
    if request is None:
        return (Prompt(text=""),)
    if request.messages:
        return (_chat_prompt(request),)
    if isinstance(request.prompt, str):
        return (Prompt(text=request.prompt),)
    listed = request.prompt or []
    texts = tuple(Prompt(text=one if isinstance(one, str) else "") for one in listed if not isinstance(one, int))
    return texts or (Prompt(text=""),)  # a list of integers is one prompt of token ids


def _chat_prompt(request: _Request) -> Prompt:
    last_user = ""
    system: list[str] = []
    media = False
    for message in request.messages:
        text, has_media = _content(message.content)
        media = media or has_media
        if message.role in ("system", "developer"):
            system.append(text)
        elif message.role == "user":
            last_user = text
    return Prompt(
        text=last_user,
        system="\n".join(system),
        turns=len(request.messages),
        has_tools=bool(request.tools),
        has_media=media,
    )


def _content(content: str | list[_ContentPart] | None) -> tuple[str, bool]:
    """Text of a message's content, and whether it has parts that are not text."""
    if content is None:
        return "", False
    if isinstance(content, str):
        return content, False
    text = "\n".join(part.text for part in content if part.text is not None)
    return text, any(part.type in _MEDIA for part in content)
