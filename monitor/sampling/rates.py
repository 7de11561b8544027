"""A rate per requested model, and a minimum per hour whatever the rate.

The probability depends on the past only (how many were kept this hour), never on the exchange's content, so weighting by
its inverse keeps exported rates unbiased and sequential tests valid. At a rate of 0 nothing stands for what comes after the
hour's minimum: weighted counts are then those of the kept exchanges alone.
"""

from __future__ import annotations

import random
from typing import Final, Protocol

from monitor.config.model import SamplingSection

MAX_NAMES: Final = 1024
"""Requested models that are counted apart; names come from clients, so there must be an end. About 100 bytes each."""


class Sampler(Protocol):
    """Decides whether an exchange is kept."""

    keeps_all: bool
    """True when every exchange is kept, so that the requested model need not be known."""

    def decide(self, requested: str, hour: int) -> float | None:
        """Probability with which this exchange was kept, None when it is not kept.

        `requested` is the request's model ("" when unknown), `hour` the number of the present hour.
        """
        ...


class RateSampler:
    """Keeps the first `minimum` of every hour and requested model, and a share of the others."""

    def __init__(self, section: SamplingSection, workers: int, chance: random.Random) -> None:
        self._rate = section.rate
        self._rates = {name: one.rate for name, one in section.combinations.items()}
        self._minimum = -(-section.minimum_per_hour // workers)
        self._chance = chance
        self._hour = -1
        self._kept: dict[str, int] = {}
        self.keeps_all = section.rate >= 1 and all(rate >= 1 for rate in self._rates.values())

    def decide(self, requested: str, hour: int) -> float | None:
        """See Sampler."""
        rate = self._rates.get(requested, self._rate)
        if rate >= 1:
            return 1.0
        if hour != self._hour:
            self._hour = hour
            self._kept = {}
        if requested not in self._kept and requested not in self._rates and len(self._kept) >= MAX_NAMES:
            requested = ""
        kept = self._kept.get(requested, 0)
        if kept < self._minimum:
            self._kept[requested] = kept + 1
            return 1.0
        return rate if rate > 0 and self._chance.random() < rate else None
