"""Turns token ids into text by asking the server that made them, off the reply path and within a budget."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from monitor.adapters.discovery import DiscoveryError, key_header
from monitor.lifecycle import repeat
from monitor.records import Choice, Dialogue, Prompt

MAX_WAITING: Final = 64
"""Dialogues that wait for their text; each holds at most about 20,000 ids, so 12 MiB at the most."""
CALLS_PER_S: Final = 20.0
"""Calls to the server at most: it has clients to serve."""
MAX_BODY_BYTES: Final = 1024 * 1024
TIMEOUT_S: Final = 5.0

BUSY: Final = "detokenizer_busy"
FAILED: Final = "detokenizer_failed"
STOPPED: Final = "detokenizer_stopped"

_END_MARK: Final = re.compile(r"(?:<[^<>\s]{1,40}>\s*)+\Z")
"""The special tokens that close a turn, which belong to the template and not to the answer."""


class DetokenizeError(Exception):
    """The server gave no text for token ids."""


class _Text(msgspec.Struct):
    prompt: str


@dataclass(frozen=True, slots=True)
class DetokenizeClient:
    """Asks the server's /detokenize."""

    session: aiohttp.ClientSession
    api_key_file: Path | None = None

    async def text(self, ids: Sequence[int]) -> str:
        """What these ids say. Raises DetokenizeError."""
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self.session.post(
                    "/detokenize",
                    json={"tokens": list(ids)},
                    headers=await key_header(self.api_key_file),
                    allow_redirects=False,
                ) as response,
            ):
                if response.status != 200:
                    raise DetokenizeError(f"status {response.status}")
                body = await _bounded(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError, DiscoveryError) as error:
            raise DetokenizeError(str(error) or type(error).__name__) from error
        try:
            return msgspec.json.decode(body, type=_Text).prompt
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DetokenizeError(f"unreadable answer: {error}") from error


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    pieces: list[bytes] = []
    room = MAX_BODY_BYTES
    async for piece in content.iter_any():
        room -= len(piece)
        if room < 0:
            raise DetokenizeError(f"the text is longer than {MAX_BODY_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


Done = Callable[[Dialogue | str], None]
"""Called once for every dialogue that was taken: with its text, or with the reason why there is none."""


class Detokenizer:
    """A bounded queue of dialogues that wait for their text."""

    def __init__(self, client: DetokenizeClient, calls_per_s: float = CALLS_PER_S) -> None:
        self._client = client
        self._pause_s = 1 / calls_per_s
        self._waiting: deque[tuple[Dialogue, Done]] = deque()
        self._arrived = asyncio.Event()

    def offer(self, dialogue: Dialogue, done: Done) -> str:
        """Take a dialogue; the reason why not when there is no room, "" when it was taken."""
        if len(self._waiting) >= MAX_WAITING:
            return BUSY
        self._waiting.append((dialogue, done))
        self._arrived.set()
        return ""

    async def run(self) -> None:
        """Serve the queue for ever, one call at a time."""
        await repeat("asking for the text of token ids", self._serve_when_wanted)

    async def _serve_when_wanted(self) -> None:
        await self._arrived.wait()
        while self._waiting:
            dialogue, done = self._waiting[0]
            result: Dialogue | str = FAILED
            try:
                result = await self._resolve(dialogue)
            except DetokenizeError:
                pass
            except Exception:
                self._finish(done, FAILED)  # or it would be tried for ever
                raise
            self._finish(done, result)
        self._arrived.clear()

    def _finish(self, done: Done, result: Dialogue | str) -> None:
        self._waiting.popleft()
        done(result)

    def stop(self) -> None:
        """Give up what still waits; to be called when `run` was ended."""
        while self._waiting:
            _, done = self._waiting.popleft()
            done(STOPPED)

    async def _resolve(self, dialogue: Dialogue) -> Dialogue:
        tokens = dialogue.tokens
        if tokens is None:
            return dialogue
        prompt = await self._text(tokens.prompt)
        choices: list[Choice] = []
        for choice, ids in zip(dialogue.choices, tokens.answers, strict=True):
            text = choice.text or _END_MARK.sub("", await self._text(ids))
            choices.append(replace(choice, text=text))
        return replace(dialogue, prompts=(Prompt(text=prompt),), choices=tuple(choices), tokens=None)

    async def _text(self, ids: Sequence[int]) -> str:
        if not ids:
            return ""
        await asyncio.sleep(self._pause_s)
        return await self._client.text(ids)
