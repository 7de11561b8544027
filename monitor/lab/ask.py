"""Asks a running server many questions at once and keeps the replies as they were streamed."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

MAX_TOKENS = 96
"""Every model of the lab ends its answers by itself well below this."""
TIMEOUT = aiohttp.ClientTimeout(total=600)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to one served model."""

    served: str
    prompt: str
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A streamed reply."""

    chunks: tuple[str, ...]
    """Text of each chunk as it came."""
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    first_s: float
    """Seconds to the first text."""
    gap_s: float
    """Mean seconds between chunks."""

    @property
    def text(self) -> str:
        """The whole reply."""
        return "".join(self.chunks)


async def _one(session: aiohttp.ClientSession, url: str, ask: Ask) -> Reply:
    body = {
        "model": ask.served,
        "messages": [{"role": "user", "content": ask.prompt}],
        "max_tokens": MAX_TOKENS,
        "temperature": ask.temperature,
        "seed": ask.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    chunks: list[str] = []
    times: list[float] = []
    finish, usage = "", {"prompt_tokens": 0, "completion_tokens": 0}
    began = time.monotonic()
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise RuntimeError(f"{ask.served}: HTTP {response.status}: {await response.text()}")
        async for line in response.content:
            data = line.strip().removeprefix(b"data: ")
            if not data or data == b"[DONE]":
                continue
            event = json.loads(data)
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                if choice["delta"].get("content"):
                    chunks.append(choice["delta"]["content"])
                    times.append(time.monotonic() - began)
                finish = choice["finish_reason"] or finish
    gap = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
    return Reply(
        tuple(chunks),
        finish,
        int(usage["prompt_tokens"]),
        int(usage["completion_tokens"]),
        round(times[0] if times else 0.0, 3),
        round(gap, 4),
    )


async def _all(url: str, asks: Sequence[Ask], concurrency: int) -> list[Reply]:
    gate = asyncio.Semaphore(concurrency)
    # No reuse: vLLM closes an idle connection after 5 s, and a request in that moment would fail.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(timeout=TIMEOUT, connector=connector) as session:

        async def gated(ask: Ask) -> Reply:
            async with gate:
                return await _one(session, url, ask)

        return list(await asyncio.gather(*(gated(ask) for ask in asks)))


def ask_all(url: str, asks: Sequence[Ask], concurrency: int = 24) -> list[Reply]:
    """Replies in the order of the questions."""
    return asyncio.run(_all(url, asks, concurrency))
