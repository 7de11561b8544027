"""The judge tier: a second opinion from a model behind an OpenAI-compatible endpoint, kept beside the scorer's verdict.

It never changes a verdict, a state or an alert; it is counted against the scorer's outcome, so that an operator sees whether
to believe the numbers. What is asked first is what is rare and costs most when wrong. `offer` only appends to a bounded
queue; workers of the same event loop ask, within a budget of requests and tokens, and pause after errors. This is the
one part of the monitor that sends text anywhere, and it is off unless an endpoint is configured.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

from monitor.config.model import JudgeSection
from monitor.records import UNCONFIRMED, Item, Outcome, Verdict
from monitor.scoring.judge_client import REJECTED, JudgeClient, JudgeError, shortened
from monitor.telemetry.logs import Repeats, where_it_failed
from monitor.telemetry.metrics import JudgeMetrics

log = logging.getLogger(__name__)

RARE, UNSURE, CONTROL = range(3)
_UNSURE: Final = (0.2, 0.8)
"""Refusal probabilities between which the scorer is unsure."""
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0

Sleep = Callable[[float], Awaitable[None]]


def priority(verdict: Verdict) -> int | None:
    """How badly a second opinion is wanted; None when there is no text that could be judged."""
    outcome = verdict.outcome
    if outcome in {Outcome.REFUSE_THEN_COMPLY, Outcome.PARTIAL} or verdict.reason == UNCONFIRMED:
        return RARE
    if outcome is Outcome.UNSCORED:
        return UNSURE if verdict.reason == "language" else None
    if not outcome.judged:
        return None
    chance = verdict.refusal_probability
    return UNSURE if chance is not None and _UNSURE[0] < chance < _UNSURE[1] else CONTROL


class Budget:
    """Requests and tokens per second; either may be used up to one second's worth in advance, and owed after a large call."""

    def __init__(self, requests_per_s: float, tokens_per_s: float, now: float) -> None:
        self._rates = (requests_per_s, tokens_per_s)
        self._left = [max(requests_per_s, 1.0), tokens_per_s]
        self._at = now

    def take(self, tokens: float, now: float) -> float:
        """Take one call; 0, or the seconds to wait before trying again (nothing is taken then)."""
        for index, rate in enumerate(self._rates):
            most = max(rate, 1.0) if index == 0 else rate
            self._left[index] = min(most, self._left[index] + rate * (now - self._at))
        self._at = now
        requests, left = self._left
        if requests >= 1 and left > 0:
            self._left = [requests - 1, left - tokens]
            return 0.0
        return max((1 - requests) / self._rates[0], -left / self._rates[1], 0.001)


class Judge:
    """Takes judged answers, asks about some of them, and counts what the judge said."""

    def __init__(
        self, section: JudgeSection, client: JudgeClient, metrics: JudgeMetrics, chance: random.Random, sleep: Sleep
    ) -> None:
        self._section = section
        self._client = client
        self._metrics = metrics
        self._random = chance
        self._sleep = sleep
        self._waiting: tuple[deque[tuple[Item, Outcome]], ...] = (deque(), deque(), deque())
        self._wanted = asyncio.Event()
        self._budget = Budget(section.requests_per_s, section.tokens_per_s, time.monotonic())
        self._pause_s = 0.0
        self._repeats = Repeats()

    def offer(self, item: Item, verdict: Verdict) -> None:
        """Queue an answer if a second opinion is wanted; never waits."""
        wanted = priority(verdict)
        if wanted is None or (wanted == CONTROL and self._random.random() >= self._section.control_share):
            return
        if sum(map(len, self._waiting)) >= self._section.queue:
            less = next((queue for queue in reversed(self._waiting[wanted + 1 :]) if queue), None)
            self._metrics.dropped.labels("queue").inc()
            if less is None:
                return
            less.pop()
        self._waiting[wanted].append((shortened(item, self._section.characters), verdict.outcome))
        self._wanted.set()

    @property
    def waiting(self) -> int:
        """Answers that wait."""
        return sum(map(len, self._waiting))

    async def run(self) -> None:
        """Ask for ever, with as many calls at once as configured."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._section.concurrency):
                workers.create_task(self._work(), name="judge worker")

    def stop(self) -> None:
        """What still waits is not asked any more."""
        self._metrics.dropped.labels("shutdown").inc(self.waiting)
        for queue in self._waiting:
            queue.clear()

    async def _work(self) -> None:
        while True:
            if self._pause_s:
                await self._sleep(self._pause_s)
            item, outcome = await self._next()
            while wait := self._budget.take(self._client.tokens(item), time.monotonic()):
                await self._sleep(wait)
            await self._ask(item, outcome)

    async def _next(self) -> tuple[Item, Outcome]:
        while not self.waiting:
            self._wanted.clear()
            await self._wanted.wait()
        return next(queue for queue in self._waiting if queue).popleft()

    async def _ask(self, item: Item, outcome: Outcome) -> None:
        begun = time.monotonic()
        try:
            said = await self._client.judge(item)
        except JudgeError as error:
            self._failed(str(error))
            return
        except asyncio.CancelledError:
            self._metrics.dropped.labels("shutdown").inc()
            raise
        except Exception as error:  # noqa: BLE001  # a defect on one answer must not end the worker
            log.error("the judge failed on an answer: %s", where_it_failed(error))
            self._failed("internal")
            return
        finally:
            self._metrics.duration.observe(time.monotonic() - begun)
        self._pause_s = 0.0
        self._metrics.verdicts.labels(outcome.value, said).inc()

    def _failed(self, reason: str) -> None:
        self._metrics.errors.labels(reason).inc()
        if reason != REJECTED:
            self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        left_out = self._repeats.allow(reason, time.monotonic())
        if left_out is not None:
            log.warning("the judge gave no reply (%d more before): %s", left_out, reason)


def judge_session() -> aiohttp.ClientSession:
    """Connections to the judge: no proxy of the environment, no cookies."""
    return aiohttp.ClientSession(
        headers={"User-Agent": "alignment-monitor"},
        timeout=aiohttp.ClientTimeout(total=None),  # the configured one is set around every call
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
