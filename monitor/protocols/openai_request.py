"""What was asked: the few fields that are needed of a request to /v1/chat/completions, its batch, or /v1/completions."""

from __future__ import annotations

from typing import Final

import msgspec

from monitor.protocols.request_body import NamesModel, RequestShape, has_content
from monitor.protocols.turns import Message, last_question
from monitor.records import Prompt


class CompletionRequest(NamesModel):
    """A request to any of the three; a batch has a list of messages for each of its conversations."""

    messages: list[Message | list[Message]] | None = None
    prompt: str | list[str | int | list[int]] | None = None
    tools: msgspec.Raw = msgspec.Raw()
    n: int | None = None
    echo: bool | None = None

    @property
    def answers_per_prompt(self) -> int:
        """How many choices of the response belong to one prompt."""
        return max(1, self.n or 1)


REQUEST: Final = RequestShape(CompletionRequest)


def prompts_of(request: CompletionRequest | None) -> tuple[Prompt, ...]:
    """What was asked, at least one prompt; an unknown one has no text."""
    if request is None:
        return (Prompt(text=""),)
    if request.messages:
        tools = has_content(request.tools)
        turns = [message for message in request.messages if isinstance(message, Message)]
        conversations = [turns] if turns else [one for one in request.messages if isinstance(one, list)]
        return tuple(last_question(conversation, has_tools=tools) for conversation in conversations)
    if isinstance(request.prompt, str):
        return (Prompt(text=request.prompt),)
    listed = request.prompt or []
    texts = tuple(Prompt(text=one if isinstance(one, str) else "") for one in listed if not isinstance(one, int))
    return texts or (Prompt(text=""),)  # a list of integers is one prompt of token ids
