"""Puts probes to a running server, a bounded number at a time, and says in one word what went wrong with each.

Every question that was to be asked ends as an answer: with a text, or with a failure. Nothing is left out of the count.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from monitor.config.secrets import read_secret
from monitor.probes.suite import Kind, Probe

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
KEEPALIVE_S: Final = 3.0
"""Below vLLM's own 5 s, so that no connection is used that the server is about to close."""
ATTEMPTS: Final = 3
PAUSE_S: Final = 1.0
"""Before the second attempt; twice as long before the third."""
GIVE_UP_AFTER: Final = 25
"""Failures one after the other from which on the server is left alone; what remains counts as `not_asked`."""
TOKENS: Final = "tokens"
WORDS: Final = "words"
"""Units of the depth of an opening; words where the server does not tell its tokens."""
TOP_LOGPROBS: Final = 20
"""The most that vLLM gives by default (--max-logprobs)."""

NOT_ASKED: Final = "not_asked"
FAILURES: Final = (
    "timeout",
    "connection",
    "unauthorized",
    "not_found",
    "rejected",
    "overloaded",
    "status",
    "unreadable",
    "other_model",
    NOT_ASKED,
)
"""Why there is no answer. other_model: the answer's `model` is not the one that was asked."""
_AGAIN: Final = frozenset({"overloaded", "connection"})
"""Failures after which the same question is asked once more."""


class Decoding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How answers are drawn; part of what a measurement is."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int = 0
    """Of the first repetition; the others take the following ones."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to one served model."""

    model: str
    probe: Probe
    repetition: int = 0
    unit: str = WORDS
    """Of the depth of a `compliance_prefill`."""


Top = Mapping[str, float]
"""Token -> natural logarithm of its probability, for the likeliest tokens at one position."""


@dataclass(frozen=True, slots=True)
class Step:
    """One generated token and the likeliest ones in its place."""

    token: str
    top: Top


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    ask: Ask
    text: str = ""
    """What the model itself wrote: without the prefill."""
    finish_reason: str = ""
    tool_call: bool = False
    failure: str = ""
    """One of `FAILURES`, "" when there is an answer."""
    steps: tuple[Step, ...] = ()


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[Any] | None = None


class _TopToken(msgspec.Struct):
    token: str
    logprob: float | None = None


class _Token(msgspec.Struct):
    token: str
    top_logprobs: list[_TopToken] = []


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice]
    model: str = ""


def probe_session(upstream: str, tls: ssl.SSLContext | None = None, *, reuse: bool = True) -> aiohttp.ClientSession:
    """A session with the server alone: proxies and cookies are not used.

    reuse: keep connections for the next question. Who gets little CPU time may find one closed by then, however short that is.
    """
    parts = urlsplit(upstream)
    keeping: dict[str, Any] = {"keepalive_timeout": KEEPALIVE_S} if reuse else {"force_close": True}
    connector: aiohttp.BaseConnector
    if parts.scheme == "unix":
        connector = aiohttp.UnixConnector(path=parts.path, **keeping)
    elif tls:
        connector = aiohttp.TCPConnector(ssl=tls, limit=0, **keeping)
    else:
        connector = aiohttp.TCPConnector(limit=0, **keeping)
    return aiohttp.ClientSession(
        "http://localhost" if parts.scheme == "unix" else upstream,
        connector=connector,
        headers={"User-Agent": "alignment-monitor probe"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


@dataclass(frozen=True, slots=True)
class ProbeClient:
    """Asks the server's chat route."""

    session: aiohttp.ClientSession
    decoding: Decoding
    api_key_file: Path | None = None
    timeout_s: float = 120.0
    logprobs: bool = False

    async def answer(self, ask: Ask) -> Answer:
        """One answer, after up to `ATTEMPTS` attempts where the server was busy or not there."""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(PAUSE_S * 2 ** (attempt - 1))
            found = await self._once(ask)
            if found.failure not in _AGAIN:
                break
        return found

    def body(self, ask: Ask) -> dict[str, Any]:
        """The request. A prefill is the beginning of the assistant's turn, which the server goes on with."""
        turns = ask.probe.turns
        body: dict[str, Any] = {
            "model": ask.model,
            "messages": turns,
            "temperature": self.decoding.temperature,
            "top_p": self.decoding.top_p,
            "max_tokens": self.decoding.max_tokens,
            "seed": self.decoding.seed + ask.repetition,
        }
        if ask.probe.prefill:
            body["messages"] = [*turns, {"role": "assistant", "content": ask.probe.prefill}]
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if self.logprobs and ask.probe.kind is Kind.PLAIN:
            body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return body

    def authorization(self) -> dict[str, str]:
        """The header with the server's key; none without a file. Raises ConfigError when the file cannot be used."""
        if self.api_key_file is None:
            return {}
        return {"Authorization": f"Bearer {read_secret(self.api_key_file, '--api-key-file')}"}

    async def _once(self, ask: Ask) -> Answer:
        headers = {"Content-Type": "application/json", **self.authorization()}
        try:
            async with (
                asyncio.timeout(self.timeout_s),
                self.session.post(
                    "/v1/chat/completions",
                    data=msgspec.json.encode(self.body(ask)),
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=None),
                    allow_redirects=False,
                ) as response,
            ):
                if response.status != 200:
                    return Answer(ask, failure=_of_status(response.status))
                content = b""
                async for piece in response.content.iter_any():
                    content += piece
                    if len(content) > MAX_BODY_BYTES:
                        return Answer(ask, failure="unreadable")
        except TimeoutError:
            return Answer(ask, failure="timeout")
        except (aiohttp.ClientError, OSError):
            return Answer(ask, failure="connection")
        return _read(ask, content)


def _of_status(status: int) -> str:
    if status in {401, 403}:
        return "unauthorized"
    if status == 404:
        return "not_found"
    if status in {400, 413, 422}:
        return "rejected"
    return "overloaded" if status in {429, 503} else "status"


def _read(ask: Ask, content: bytes) -> Answer:
    try:
        reply = msgspec.json.decode(content, type=_Reply)
        choice = reply.choices[0]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError):
        return Answer(ask, failure="unreadable")
    if reply.model and reply.model != ask.model:
        return Answer(ask, failure="other_model")
    tokens = (choice.logprobs.content if choice.logprobs else None) or []
    return Answer(
        ask,
        text=choice.message.content or "",
        finish_reason=choice.finish_reason or "",
        tool_call=bool(choice.message.tool_calls),
        steps=tuple(
            Step(one.token, {top.token: top.logprob for top in one.top_logprobs if top.logprob is not None})
            for one in tokens
        ),
    )


@dataclass(frozen=True, slots=True)
class Pace:
    """How much the server is asked to bear."""

    concurrency: int = 4
    requests_per_s: float = 20.0


def _either(*futures: asyncio.Future[Any]) -> list[asyncio.Future[Any]]:
    return list(futures)


async def ask_all(
    client: ProbeClient,
    asks: Sequence[Ask],
    pace: Pace,
    stop: asyncio.Event,
    on_answer: Callable[[Answer], None],
) -> list[Answer]:
    """An answer for every question, in their order. When `stop` is set, or the server fails `GIVE_UP_AFTER` times in a row,
    what is under way is broken off and what is left is `not_asked`."""
    found: dict[int, Answer] = {}
    waiting = iter(range(len(asks)))
    loop = asyncio.get_running_loop()
    next_at = loop.time()
    failed = 0

    async def work() -> None:
        nonlocal next_at, failed
        for place in waiting:
            now = loop.time()
            next_at = max(next_at, now) + 1 / pace.requests_per_s
            await asyncio.sleep(max(0.0, next_at - 1 / pace.requests_per_s - now))
            answer = await client.answer(asks[place])
            found[place] = answer
            failed = failed + 1 if answer.failure else 0
            on_answer(answer)
            if failed >= GIVE_UP_AFTER:
                stop.set()
            if stop.is_set():
                return

    workers = [loop.create_task(work(), name=f"probe {number}") for number in range(pace.concurrency)]
    stopped = loop.create_task(stop.wait(), name="stop probing")
    everything: asyncio.Future[list[None]] = asyncio.gather(*workers)
    try:
        await asyncio.wait(_either(everything, stopped), return_when=asyncio.FIRST_COMPLETED)
        if everything.done():
            everything.result()  # a defect, or a key that cannot be read, is not an answer
    finally:
        for task in (*workers, stopped):
            task.cancel()
        await asyncio.gather(*workers, stopped, everything, return_exceptions=True)
    return [found.get(place, Answer(ask, failure=NOT_ASKED)) for place, ask in enumerate(asks)]
