"""What a client asks of the recorded server: the few request fields that it reads, checked.

Sampling parameters are accepted and ignored, since the answers are recordings.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

_Ask = TypeVar("_Ask", bound=msgspec.Struct)


class AskError(ValueError):
    """The request cannot be answered; the message is for the client."""


class StreamOptions(msgspec.Struct, frozen=True):
    """What a streaming client asks for beside the text."""

    include_usage: bool | None = False


class _TextPart(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""


class _Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[_TextPart] | None = None


class _Generate(msgspec.Struct, frozen=True):
    """What chat and text completions have in common."""

    model: str | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = 1

    @property
    def include_usage(self) -> bool:
        """The stream ends with an event that counts tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatAsk(_Generate, frozen=True, kw_only=True):
    """Body of POST /v1/chat/completions."""

    messages: list[_Message]

    @property
    def texts(self) -> list[str]:
        """The last user turn. Raises AskError without one."""
        for message in reversed(self.messages):
            if message.role == "user":
                content = message.content
                if isinstance(content, list):
                    return ["\n".join(part.text for part in content if part.type == "text")]
                return [content or ""]
        raise AskError("the recorded server answers a user turn, and `messages` holds none")


class CompletionAsk(_Generate, frozen=True, kw_only=True):
    """Body of POST /v1/completions."""

    prompt: str | list[str]

    @property
    def texts(self) -> list[str]:
        """The prompts, one or several."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


class LoadAsk(msgspec.Struct, frozen=True):
    """Body of POST /v1/load_lora_adapter and /v1/unload_lora_adapter."""

    lora_name: str = ""
    lora_path: str = ""
    load_inplace: bool = False


Ask = ChatAsk | CompletionAsk


def read_ask(body: bytes, kind: type[_Ask]) -> _Ask:
    """Decode and check a request's body. Raises AskError."""
    try:
        ask = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AskError(str(error)) from error
    if isinstance(ask, _Generate):
        if ask.n is not None and ask.n < 1:
            raise AskError(f"n must be at least 1, got {ask.n}.")
        if ask.stream_options is not None and not ask.stream:
            raise AskError("Stream options can only be defined when `stream=True`.")
    return ask
