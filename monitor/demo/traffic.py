"""Clients of the demo: a seeded mix of questions to every served name, at a steady mean rate, until cancelled.

The served names take turns in shuffled rounds, so that each has its share soon; what is asked, whether it is streamed
and when, is random with a fixed seed, so that two runs ask the same.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from monitor.demo.recordings import RecordedPrompt

REQUEST_TIMEOUT_S = 120.0
MAX_TOKENS = 96
"""The recordings' own limit; a real server is asked for the same."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What the clients do."""

    rate: float = 36.0
    """Requests per second in all."""
    concurrency: int = 96
    """Requests in flight at most; beyond it the clients wait."""
    streamed: float = 0.6
    """Share of requests that stream."""
    several: float = 0.02
    """Share of requests for two answers (n = 2)."""
    strata: Mapping[str, float] = field(
        default_factory=lambda: {"harmful_looking": 0.6, "ordinary": 0.3, "borderline": 0.1}
    )
    """Weight of each stratum of prompts."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to send."""

    served: str
    prompt: RecordedPrompt
    stream: bool
    n: int
    wait_s: float
    """Seconds after the request before."""


@dataclass(slots=True)
class Sent:
    """What the clients have seen so far."""

    requests: int = 0
    failed: int = 0
    """Requests without a complete answer of status 200."""
    last_failure: str = ""


def plan(served: Sequence[str], prompts: Sequence[RecordedPrompt], mix: Mix, seed: int) -> Iterator[Ask]:
    """The endless sequence of requests for a seed."""
    chance = random.Random(seed)
    by_stratum: dict[str, list[RecordedPrompt]] = {}
    for prompt in prompts:
        by_stratum.setdefault(prompt.stratum, []).append(prompt)
    strata = [stratum for stratum in mix.strata if stratum in by_stratum]
    weights = [mix.strata[stratum] for stratum in strata]
    while True:
        for name in chance.sample(list(served), len(served)):
            stratum = chance.choices(strata, weights)[0]
            yield Ask(
                served=name,
                prompt=chance.choice(by_stratum[stratum]),
                stream=chance.random() < mix.streamed,
                n=2 if chance.random() < mix.several else 1,
                wait_s=chance.expovariate(mix.rate),
            )


async def run_traffic(url: str, asks: Iterator[Ask], concurrency: int, sent: Sent) -> None:
    """Send the requests to `url` until cancelled; failures are counted in `sent`, never raised."""
    free = asyncio.Semaphore(concurrency)
    loop = asyncio.get_running_loop()
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with (
        aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session,
        asyncio.TaskGroup() as clients,
    ):
        due = loop.time()
        for ask in asks:
            due = max(due + ask.wait_s, loop.time())
            await asyncio.sleep(due - loop.time())
            await free.acquire()
            client = clients.create_task(_send(session, ask, sent), name=f"demo-client-{ask.served}")
            client.add_done_callback(lambda _: free.release())


async def _send(session: aiohttp.ClientSession, ask: Ask, sent: Sent) -> None:
    body: dict[str, object] = {
        "model": ask.served,
        "messages": [{"role": "user", "content": ask.prompt.text}],
        "max_tokens": MAX_TOKENS,
        "temperature": 0.7,
        "stream": ask.stream,
        "n": ask.n,
    }
    if ask.stream:
        body["stream_options"] = {"include_usage": True}
    sent.requests += 1
    try:
        async with session.post("/v1/chat/completions", json=body) as response:
            async for _ in response.content.iter_any():
                pass
            if response.status != 200:
                sent.failed += 1
                sent.last_failure = f"HTTP {response.status} from {ask.served}"
    except (aiohttp.ClientError, TimeoutError) as error:
        sent.failed += 1
        sent.last_failure = f"{type(error).__name__} from {ask.served}: {error}"
