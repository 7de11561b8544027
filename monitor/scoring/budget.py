"""How much of a core the encoder may take beside the rest of the analysis."""

from __future__ import annotations

import time
from collections.abc import Callable

BURST_S = 2.0
"""Seconds of computing that may be saved up while little comes in."""
MOST_AT_ONCE = 4
"""Texts per call: about 50 ms, so that nothing else in the process waits long."""
MOST_IN_A_BURST = 16
"""Texts per call while more than half of what can be saved up is left: what comes in all at once after a quiet time is read, too,
although a call takes .2 s then."""


class Budget:
    """Time that was not used is saved up to a bound; a call may overdraw, then the next ones wait."""

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`share`: seconds of computing per second of time."""
        self._share = share
        self._clock = clock
        self._saved = BURST_S
        self._seen = clock()

    def texts(self) -> int:
        """How many texts may be computed now."""
        now = self._clock()
        self._saved = min(BURST_S, self._saved + (now - self._seen) * self._share)
        self._seen = now
        if self._saved > BURST_S / 2:
            return MOST_IN_A_BURST
        return MOST_AT_ONCE if self._saved > 0 else 0

    def spend(self, seconds: float) -> None:
        """Take the time that a call took."""
        self._saved -= seconds
