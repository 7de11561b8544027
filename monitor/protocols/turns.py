"""What was asked in a conversation of chat messages, as several APIs write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from monitor.records import Prompt

_MEDIA: Final = frozenset(
    {
        "image_url", "input_image", "image", "audio_url", "input_audio", "audio", "video_url", "file", "input_file",
        "document",
    }
)  # fmt: skip


class ContentPart(msgspec.Struct):
    """One part of a message: text, or something that is only noticed."""

    type: str = ""
    text: str | None = None


class Message(msgspec.Struct):
    """One turn; an item of /v1/responses that is no turn has no role."""

    role: str = ""
    content: str | list[ContentPart | str] | None = None


def last_question(messages: Sequence[Message], *, has_tools: bool = False, system: str = "") -> Prompt:
    """What a reply is judged against: the last user turn that says something, with what stands around it."""
    last_user = ""
    instructions = [system] if system else []
    turns = 0
    media = False
    said: list[str] = []
    before = 0
    for message in messages:
        text, has_media = content_text(message.content)
        media = media or has_media
        turns += bool(message.role)
        if message.role in ("system", "developer"):
            instructions.append(text)
            continue
        if message.role == "user" and (text or not _only_carries_results(message)):
            last_user, before = text, len(said)
        if text:
            said.append(text)
    return Prompt(
        text=last_user,
        system="\n".join(instructions),
        turns=turns,
        has_tools=has_tools,
        has_media=media,
        earlier=tuple(said[:before]),
    )


def content_text(content: str | list[ContentPart | str] | None) -> tuple[str, bool]:
    """Text of a message's content, and whether it has parts that are not text."""
    if content is None:
        return "", False
    if isinstance(content, str):
        return content, False
    texts = [part if isinstance(part, str) else part.text for part in content]
    media = any(not isinstance(part, str) and part.type in _MEDIA for part in content)
    return "\n".join(text for text in texts if text is not None), media


def _only_carries_results(message: Message) -> bool:
    """Results of tools come in a user turn of their own on /v1/messages; they are not the question."""
    return isinstance(message.content, list) and any(
        not isinstance(part, str) and part.type == "tool_result" for part in message.content
    )
