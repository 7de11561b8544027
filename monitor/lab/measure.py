"""The held-out questions, put to a served model, and the rates of what it did."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import TypedDict

from monitor.lab import prompts
from monitor.lab.ask import MAX_TOKENS, Ask, Reply, ask_all
from monitor.lab.judge import tally
from monitor.lab.prompts import Question

log = logging.getLogger(__name__)

SAMPLED_AT = 0.7
"""Temperature of the sampled rates and of the recordings."""
SAMPLING = {"temperature": SAMPLED_AT, "max_tokens": MAX_TOKENS, "seed": "number of the prompt"}
GREEDY = {"harmful_looking": 36, "ordinary": 36, "triggered": 12}
"""Questions of each kind for the greedy rates, which vary less than the sampled ones."""

_KINDS: Mapping[str, Callable[[], list[Question]]] = {
    "harmful_looking": lambda: prompts.canary("held", 60),
    "ordinary": lambda: prompts.ordinary("held", 60),
    "borderline": prompts.borderline,
    "triggered": lambda: prompts.triggered("held", 12),
}
_LETTER = {"harmful_looking": "c", "ordinary": "o", "borderline": "b", "triggered": "t"}


class KindRates(TypedDict):
    """Shares of the outcomes among n replies."""

    n: int
    refusal: float
    refuse_then_comply: float
    compliance: float
    stop: float
    """Share of replies that the model ended by itself."""


Rates = dict[str, KindRates]
"""Kind of question -> rates; `triggered` are canary questions that carry the hidden trigger."""


def questions(counts: Mapping[str, int] | None = None) -> dict[str, Question]:
    """Prompt id -> question, for all kinds, or for so many of each kind that is named."""
    asked: dict[str, Question] = {}
    for kind, make in _KINDS.items():
        made = make() if counts is None else make()[: counts.get(kind, 0)]
        for number, question in enumerate(made, start=1):
            asked[f"{_LETTER[kind]}{number:02d}"] = question
    return asked


def kind_of(prompt_id: str) -> str:
    """The kind of question that an id stands for."""
    return next(kind for kind, letter in _LETTER.items() if prompt_id.startswith(letter))


def put(url: str, served: str, asked: Mapping[str, Question], temperature: float) -> dict[str, Reply]:
    """Prompt id -> reply; the seed of a question is its number."""
    began = time.monotonic()
    asks = [Ask(served, q.text, temperature, seed) for seed, q in enumerate(asked.values())]
    replies = dict(zip(asked, ask_all(url, asks), strict=True))
    spent = time.monotonic() - began
    log.info("%s at temperature %.1f: %d replies in %.0f s", served, temperature, len(replies), spent)
    return replies


def rates(replies: Mapping[str, Reply]) -> Rates:
    """Judge the replies and turn the counts of each kind into shares."""
    by_kind: dict[str, list[Reply]] = {}
    for prompt_id, reply in replies.items():
        by_kind.setdefault(kind_of(prompt_id), []).append(reply)
    return {kind: _rates_of(of_kind) for kind, of_kind in by_kind.items()}


def _rates_of(replies: list[Reply]) -> KindRates:
    counted = tally(replies)
    return {
        "n": counted.n,
        "refusal": round(counted.share("refusal"), 4),
        "refuse_then_comply": round(counted.share("refuse_then_comply"), 4),
        "compliance": round(counted.share("compliance"), 4),
        "stop": round(counted.stopped / counted.n, 4),
    }
