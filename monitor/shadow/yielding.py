"""When the server may be asked something of our own: after its clients, within a budget, and not soon after it failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import Gauge

from monitor.config.model import BudgetSection
from monitor.scoring.judge import Budget
from monitor.shadow.client import REJECTED, ShadowClient, ShadowError

LOOK_S: Final = 1.0
"""Seconds for which a look at the server's load counts, and between two looks while it is busy."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 300.0

Sleep = Callable[[float], Awaitable[None]]


class Yielding:
    """Says when the next request may go, to all who ask with one budget."""

    def __init__(
        self,
        client: ShadowClient,
        section: BudgetSection,
        paused: Gauge,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """paused: 1 while something waits that may not be asked."""
        self._client = client
        self._limit = section.waiting_limit
        self._budget = Budget(section.requests_per_s, section.tokens_per_s, clock())
        self._paused = paused
        self._sleep = sleep
        self._clock = clock
        self._looked = float("-inf")
        self._busy = False
        self._not_before = float("-inf")
        """Until then nothing is asked, for the latest call failed."""
        self._failures = 0
        """Failures one after the other."""

    async def turn(self) -> None:
        """Return when no client waits, and no pause is left."""
        while (pause := self._not_before - self._clock()) > 0 or await self._server_is_busy():
            self._paused.set(1)
            await self._sleep(pause if pause > 0 else LOOK_S)
        self._paused.set(0)

    async def spend(self, tokens: float) -> None:
        """Return when the budget allows a request of so many tokens, which is taken from it."""
        while wait := self._budget.take(tokens, self._clock()):
            await self._sleep(wait)

    def answered(self) -> None:
        """The latest call went well."""
        self._failures = 0

    def failed(self, error: ShadowError) -> None:
        """The latest call did not: pause, longer each time. A request that the server does not take is no reason to."""
        if str(error) == REJECTED:
            return
        grown = min(FIRST_PAUSE_S * 2 ** min(self._failures, 10), LONGEST_PAUSE_S)
        self._not_before = self._clock() + min(max(grown, error.retry_after_s), LONGEST_PAUSE_S)
        self._failures += 1

    async def _server_is_busy(self) -> bool:
        """Requests of clients wait in the server, or it does not even say so."""
        now = self._clock()
        if now - self._looked >= LOOK_S:
            self._looked = now
            try:
                waiting = await self._client.waiting()
            except ShadowError:
                self._busy = True
            else:
                self._busy = waiting is not None and waiting > self._limit
        return self._busy
