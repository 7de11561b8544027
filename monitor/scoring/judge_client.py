"""One call to the judge: asks, and says in one word what went wrong."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec

from monitor.config import ConfigError
from monitor.config.model import JudgeSection
from monitor.config.secrets import read_secret
from monitor.lifecycle import in_thread
from monitor.records import Item
from monitor.scoring.judge_templates import TEMPLATES, UNPARSABLE

MAX_BODY_BYTES: Final = 256 * 1024
CHARACTERS_PER_TOKEN: Final = 4.0
"""A usual size; only the budget counts with it."""

REJECTED: Final = "rejected"
"""The judge will not take this request, such as one that is longer than its context; it may well take the next."""
ERRORS: Final = (
    "timeout",
    "connection",
    "unauthorized",
    "overloaded",
    REJECTED,
    "status",
    "unreadable",
    "key",
    "internal",
)


class JudgeError(Exception):
    """The judge gave no reply; the message is one of `ERRORS`."""


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    text: str | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice]


@dataclass(frozen=True, slots=True)
class JudgeClient:
    """Asks the configured endpoint, and no other: redirects and proxies are not followed."""

    session: aiohttp.ClientSession
    section: JudgeSection

    def tokens(self, item: Item) -> float:
        """About how many tokens judging this takes."""
        return (len(item.prompt) + len(item.response)) / CHARACTERS_PER_TOKEN + TEMPLATES[self.section.template].tokens

    async def judge(self, item: Item) -> str:
        """One of `LABELS`. Raises JudgeError."""
        template = TEMPLATES[self.section.template]
        body = template.request(item.prompt, item.response) | {
            "model": self.section.model,
            "temperature": 0,
            "max_tokens": template.tokens,
        }
        reply = await self._ask(template.path, body)
        return template.read(reply) or UNPARSABLE

    async def _ask(self, path: str, body: dict[str, object]) -> str:
        try:
            async with (
                asyncio.timeout(self.section.timeout_s),
                self.session.post(
                    f"{self.section.endpoint}{path}",
                    data=msgspec.json.encode(_encodable(body)),
                    headers={"Content-Type": "application/json", **await self._authorization()},
                    allow_redirects=False,
                ) as response,
            ):
                if response.status != 200:
                    raise JudgeError(_of_status(response.status))
                content = await response.content.read(MAX_BODY_BYTES + 1)
                while not response.content.at_eof() and len(content) <= MAX_BODY_BYTES:
                    content += await response.content.read(MAX_BODY_BYTES + 1 - len(content))
        except TimeoutError:
            raise JudgeError("timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise JudgeError("connection") from error
        return _text(content)

    async def _authorization(self) -> dict[str, str]:
        """The key, read anew for every call because mounted secrets are replaced."""
        if self.section.api_key_file is None:
            return {}
        try:
            key = await in_thread(
                "key of the judge", read_secret, self.section.api_key_file, "scoring.judge.api_key_file"
            )
        except ConfigError as error:
            raise JudgeError("key") from error
        return {"Authorization": f"Bearer {key}"}


def _of_status(status: int) -> str:
    if status in {401, 403}:
        return "unauthorized"
    if status in {400, 413, 422}:
        return REJECTED
    return "overloaded" if status in {429, 503} else "status"


def shortened(item: Item, most: int) -> Item:
    """What is kept and sent of an answer: of a long one its beginning and end, since a turn may come late."""
    response = item.response
    if len(response) > most:
        response = f"{response[: most * 3 // 4]}\n[...]\n{response[-(most // 4) :]}"
    return Item(item.prompt[: most // 2], response)


def _encodable(value: object) -> object:
    """Lone surrogates, which are not valid in JSON's UTF-8, become question marks."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _encodable(one) for key, one in value.items()}
    return [_encodable(one) for one in value] if isinstance(value, list) else value


def _text(content: bytes) -> str:
    try:
        choice = msgspec.json.decode(content, type=_Reply).choices[0]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError) as error:
        raise JudgeError("unreadable") from error
    text = choice.message.content if choice.message else choice.text
    return text or ""
