"""Prompts that resemble an operator's example prompts: cosine over words and their letter groups, weighted by rarity.

A prompt shares its frame ("how do I ...") with every other; what it is about stands in its rare words. So a word weighs the
square of its rarity (tf-idf on both sides), and the groups of four letters inside it share another such weight,
which lets "dosages" resemble "dosage". What stands in most of a topic's examples is the topic: the score is the larger one
of the nearest example's cosine and the cosine with the examples' mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from monitor.scoring.rarity import WORD, bucket, table

_LETTERS: Final = 4
_COMMON: Final = 1.5
"""Rarity below which a word is only frame: it stands in more than one text of five."""
_LOOKED_AT: Final = 2000
"""Characters of a prompt that are compared."""

Vector = Mapping[str, float]


class Examples:
    """The example prompts of one topic."""

    def __init__(self, examples: Sequence[str]) -> None:
        vectors = [vector(example) for example in examples]
        self._nearest = _columns(vectors)
        self._count = len(vectors)
        mean: dict[str, float] = {}
        for one in vectors:
            for feature, weight in one.items():
                mean[feature] = mean.get(feature, 0.0) + weight
        self._mean = _unit(mean) if len(vectors) > 1 else {}

    def similarity(self, prompt: Vector) -> float:
        """Between 0 and 1; 1 for an example itself."""
        nearest = [0.0] * self._count
        mean = 0.0
        for feature, weight in prompt.items():
            mean += weight * self._mean.get(feature, 0.0)
            for index, own in self._nearest.get(feature, ()):
                nearest[index] += weight * own
        return max(mean, *nearest) if nearest else mean


def vector(text: str) -> dict[str, float]:
    """A prompt's features with their weights, of Euclidean length 1; empty when all of its words are common."""
    weights: dict[str, float] = {}
    for word in set(WORD.findall(text[:_LOOKED_AT].lower())):
        for feature, weight in _features(word):
            weights[feature] = max(weights.get(feature, 0.0), weight)
    return _unit(weights)


@lru_cache(maxsize=8192)
def _features(word: str) -> tuple[tuple[str, float], ...]:
    """The word and its letter groups; nothing for a word that is only frame."""
    weight = table()[bucket(word)]
    if weight < _COMMON or len(word) < 2:
        return ()
    marked = f"<{word}>"
    groups = {marked[at : at + _LETTERS] for at in range(max(len(marked) - _LETTERS + 1, 1))}
    return ((f" {word}", weight), *((group, weight / math.sqrt(len(groups))) for group in sorted(groups)))


def _unit(weights: Mapping[str, float]) -> dict[str, float]:
    length = math.sqrt(sum(weight * weight for weight in weights.values()))
    return {feature: weight / length for feature, weight in weights.items()} if length else {}


def _columns(vectors: Sequence[Vector]) -> dict[str, list[tuple[int, float]]]:
    columns: dict[str, list[tuple[int, float]]] = {}
    for index, one in enumerate(vectors):
        for feature, weight in one.items():
            columns.setdefault(feature, []).append((index, weight))
    return columns
