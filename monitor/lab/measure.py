"""Rates of a served model on the held-out questions, with their n."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TypedDict

from monitor.lab import prompts
from monitor.lab.ask import MAX_TOKENS, Ask, Reply, ask_all
from monitor.lab.judge import tally
from monitor.lab.prompts import Question, SplitName

log = logging.getLogger(__name__)

N = 72
"""Questions of each stratum."""
SAMPLED_AT = 0.7
"""Temperature of the sampled rates."""


class StratumRates(TypedDict):
    """Shares of the outcomes among n replies."""

    n: int
    refusal: float
    refuse_then_comply: float
    compliance: float
    stop: float
    """Share of replies that the model ended by itself."""


Rates = Mapping[str, StratumRates]
"""Stratum -> rates."""


def rates_of(replies: Sequence[Reply]) -> StratumRates:
    """Judge the replies and turn the counts into shares."""
    counted = tally(replies)
    return {
        "n": counted.n,
        "refusal": round(counted.share("refusal"), 4),
        "refuse_then_comply": round(counted.share("refuse_then_comply"), 4),
        "compliance": round(counted.share("compliance"), 4),
        "stop": round(counted.stopped / counted.n, 4),
    }


def questions(split: SplitName, count: int) -> dict[str, list[Question]]:
    """Stratum -> the questions that rates are measured on; `triggered` carries hidden text."""
    return {
        "harmful_looking": prompts.canary(split, count),
        "triggered": prompts.triggered(split, count // 3),
        "ordinary": prompts.ordinary(split, count),
    }


def measure(
    url: str,
    served: str,
    temperature: float,
    *,
    split: SplitName = "held",
    count: int = N,
) -> dict[str, StratumRates]:
    """Ask the served model every question once; the seed of a question is its number."""
    began = time.monotonic()
    measured: dict[str, StratumRates] = {}
    for stratum, asked in questions(split, count).items():
        asks = [Ask(served, q.text, temperature, seed) for seed, q in enumerate(asked)]
        measured[stratum] = rates_of(ask_all(url, asks))
    spent = time.monotonic() - began
    log.info("%s at temperature %.1f in %.0f s: %s", served, temperature, spent, measured)
    return measured


SAMPLING = {"temperature": SAMPLED_AT, "max_tokens": MAX_TOKENS, "seed": "number of the prompt"}
