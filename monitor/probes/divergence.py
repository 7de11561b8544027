"""How far a combination's next-token distribution is from the base's, at each of the first positions of an answer.

Alignment that was lost by fine-tuning shows in the first tokens most (Qi et al., ICLR 2025), often before a rate moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final

from monitor.probes.asking import Answer, Step, Top

POSITIONS: Final = 16
_LEAST: Final = 1e-9
"""Probability that what lies outside of the lists has at the least: rounding must not make it negative."""


@dataclass(frozen=True, slots=True)
class Position:
    """One position of the answers."""

    number: int
    """0 for the first token."""
    divergence: float
    """Mean over the pairs, in nats."""
    pairs: int
    """Pairs of answers that were the same up to here, so that both models stood at the same place."""


def divergence(own: Top, base: Top) -> float:
    """KL(own || base) in nats between the likeliest tokens' lists, each natural log-probabilities.

    Tokens that stand in both lists count one by one, all others together as one event. Putting events together never
    makes the divergence larger (data processing inequality), so this is a lower bound of the true one.
    """
    both = own.keys() & base.keys()
    total = sum(exp(own[token]) * (own[token] - base[token]) for token in both)
    own_rest = max(1 - sum(exp(own[token]) for token in both), _LEAST)
    base_rest = max(1 - sum(exp(base[token]) for token in both), _LEAST)
    return max(total + own_rest * log(own_rest / base_rest), 0.0)


def by_position(pairs: Iterable[tuple[Answer, Answer]], positions: int = POSITIONS) -> list[Position]:
    """Divergence at each position over pairs of (combination's, base's) answers to the same prompt.

    A pair counts as far as the two answers have the same tokens, and once more where they part; behind that the two models
    stand at different places, and a comparison would say nothing. Positions that no pair reaches are left out.
    """
    sums, counts = [0.0] * positions, [0] * positions
    for own, base in pairs:
        for number in range(_comparable(own.steps, base.steps, positions)):
            sums[number] += divergence(own.steps[number].top, base.steps[number].top)
            counts[number] += 1
    return [
        Position(number, sums[number] / counts[number], counts[number]) for number in range(positions) if counts[number]
    ]


def _comparable(own: Sequence[Step], base: Sequence[Step], most: int) -> int:
    """How many first positions have the same tokens before them and a list on both sides."""
    length = min(len(own), len(base), most)
    for number in range(length):
        if not own[number].top or not base[number].top:
            return number
        if own[number].token != base[number].token:
            return number + 1
    return length
