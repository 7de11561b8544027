"""Texts to numbers: hashed word sequences by zone of the answer, and what the answer's structure says.

An answer is cut into zones at its first refusal: the opening, and what follows. The words that follow a refusal
have weights of their own ("I can't help with that." followed by an offer is a refusal, followed by steps it is not),
apart from the same words in an answer that never refused; so a plain linear model suffices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.scoring.lexicon import Lexicon
from monitor.scoring.structure import structure
from monitor.scoring.tokens import Tokens, mix, tokenize
from monitor.scoring.zones import Cut, cut_at_refusal

HASH_BITS = 17
BUCKETS = 1 << HASH_BITS
END_WORDS = 25
RULES_REVISION = "1"
"""Raised with any change of this package that could change a verdict without a change of the weights."""

OPENING, AFTER_REFUSAL, BODY, END, PROMPT = range(5)
_ZONES = 5
_ORDER_FACTORS = tuple(np.uint64(value) for value in (0x9FB21C651E98DF25, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
_ZONE_FACTOR = np.uint64(0x27D4EB2F165667C5)


@dataclass(frozen=True, slots=True)
class Hashed:
    """A sparse matrix, texts x buckets, in coordinate form; duplicates add up."""

    text: NDArray[np.int64]
    bucket: NDArray[np.int64]
    value: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Features:
    """All that the model sees of a batch of answers."""

    hashed: Hashed
    dense: NDArray[np.float32]
    """Texts x features of `structure`."""
    cut: Cut
    """Where each answer's refusal stands."""


class Extractor:
    """Turns batches into features; holds nothing but the lexicon."""

    def __init__(self) -> None:
        self._lexicon = Lexicon()

    def answers(self, prompts: Tokens, responses: Sequence[str]) -> Features:
        """Features of the answers, given their tokenised prompts."""
        tokens = tokenize(responses)
        hits = self._lexicon.find(tokens)
        cut = cut_at_refusal(tokens, hits)
        after = np.where(cut.early, AFTER_REFUSAL, BODY)[tokens.text]
        zone = np.where(tokens.position() < cut.words[tokens.text], OPENING, after)
        ending = np.flatnonzero(tokens.position() >= (tokens.lengths() - END_WORDS)[tokens.text])
        parts = [
            _n_grams(tokens.hash, tokens.text, zone, 3),
            _n_grams(tokens.hash[ending], tokens.text[ending], np.full(len(ending), END), 2),
        ]
        return Features(_join(parts), structure(tokens, hits, prompts, cut), cut)

    def prompts(self, tokens: Tokens) -> Hashed:
        """Features of prompts alone, for their risk."""
        return _n_grams(tokens.hash, tokens.text, np.full(len(tokens.text), PROMPT), 2)


def _n_grams(words: NDArray[np.uint64], text: NDArray[np.int64], zone: NDArray[np.int64], orders: int) -> Hashed:
    """Sequences of 1 to `orders` words within a zone; a zone's values have a Euclidean norm of about one per order."""
    group = text * _ZONES + zone
    size = np.bincount(group)
    scale = 1 / np.sqrt(np.maximum(size, 1)).astype(np.float32)
    seed = (zone + 1).astype(np.uint64) * _ZONE_FACTOR
    texts, buckets, values = [], [], []
    mixed = np.zeros(len(words), dtype=np.uint64)
    for order in range(min(orders, len(words))):
        count = len(words) - order
        mixed = mixed[:count] + words[order:] * _ORDER_FACTORS[order]
        keep = np.flatnonzero(group[:count] == group[order:])
        buckets.append((mix(mixed[keep] + seed[keep]) >> np.uint64(64 - HASH_BITS)).astype(np.int64))
        texts.append(text[keep])
        values.append(scale[group[keep]])
    return _join([Hashed(*arrays) for arrays in zip(texts, buckets, values, strict=True)])


def _join(parts: Sequence[Hashed]) -> Hashed:
    if not parts:
        return Hashed(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    return Hashed(
        np.concatenate([part.text for part in parts]),
        np.concatenate([part.bucket for part in parts]),
        np.concatenate([part.value for part in parts]),
    )
