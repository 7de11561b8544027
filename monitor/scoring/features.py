"""Texts to numbers: hashed word sequences by zone of the answer, and what the answer's structure says.

An answer is cut into zones at its first refusal: the opening, the rest of its line, and the lines below. The words that
follow a refusal have weights of their own ("I can't help with that." followed by an offer is a refusal, by steps it is
not), apart from the same words in an answer that never refused; so a plain linear model suffices.
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
RULES_REVISION = "6"
"""Raised with any change of this package that could change a verdict without a change of the weights."""

OPENING, AFTER_REFUSAL, LATER_LINES, BODY, END, PROMPT = range(6)
_ZONES = 6
_DIGIT = ord("0")
"""What `tokenize` makes of every digit."""
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
        after[cut.early[tokens.text] & (tokens.line > cut.line[tokens.text])] = LATER_LINES
        zone = np.where(tokens.position() < cut.words[tokens.text], OPENING, after)
        ending = np.flatnonzero(tokens.position() >= (tokens.lengths() - END_WORDS)[tokens.text])
        parts = [
            _n_grams(tokens.hash, tokens.text, zone, 3),
            _n_grams(tokens.hash[ending], tokens.text[ending], np.full(len(ending), END), 2),
        ]
        return Features(_join(parts), structure(tokens, hits, prompts, cut), cut)


def prompt_words(tokens: Tokens) -> Hashed:
    """Words and pairs of words of prompts, for their risk; numbers say nothing of it and are left out."""
    words = np.flatnonzero((tokens.data[tokens.start] != _DIGIT) | (tokens.data[tokens.end - 1] != _DIGIT))
    return _n_grams(tokens.hash[words], tokens.text[words], np.full(len(words), PROMPT), 2)


def weighted(hashed: Hashed, weights: NDArray[np.float32], texts: int) -> NDArray[np.float32]:
    """Texts x columns: the sum of each text's weighted buckets.

    A text's buckets stand together in a few runs, so that most is summed up without looking at whose they are.
    """
    totals = np.zeros((texts, weights.shape[1]))
    if len(hashed.text):
        runs = np.flatnonzero(np.diff(hashed.text, prepend=-1))
        parts = weights.take(hashed.bucket, axis=0) * hashed.value[:, None]
        np.add.at(totals, hashed.text[runs], np.add.reduceat(parts, runs, axis=0, dtype=np.float64))
    return totals.astype(np.float32)


def _n_grams(words: NDArray[np.uint64], text: NDArray[np.int64], zone: NDArray[np.int64], orders: int) -> Hashed:
    """Distinct sequences of 1 to `orders` words within a zone; a zone's values have a Euclidean norm of one per order.

    A sequence counts once however often it stands there: damaged models repeat themselves.
    """
    group = text * _ZONES + zone
    seed = (zone + 1).astype(np.uint64) * _ZONE_FACTOR
    mixed = np.zeros(len(words), dtype=np.uint64)
    parts = []
    for order in range(min(orders, len(words))):
        count = len(words) - order
        mixed = mixed[:count] + words[order:] * _ORDER_FACTORS[order]
        keep = np.flatnonzero(group[:count] == group[order:])
        bucket = (mix(mixed[keep] + seed[keep]) >> np.uint64(64 - HASH_BITS)).astype(np.int64)
        distinct = np.sort((group[keep] << HASH_BITS) | bucket)
        distinct = distinct[np.diff(distinct, prepend=-1) != 0]
        owner = distinct >> HASH_BITS
        scale = 1 / np.sqrt(np.maximum(np.bincount(owner), 1)).astype(np.float32)
        parts.append(Hashed(owner // _ZONES, distinct & (BUCKETS - 1), scale[owner]))
    return _join(parts)


def _join(parts: Sequence[Hashed]) -> Hashed:
    if not parts:
        return Hashed(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    return Hashed(
        np.concatenate([part.text for part in parts]),
        np.concatenate([part.bucket for part in parts]),
        np.concatenate([part.value for part in parts]),
    )
