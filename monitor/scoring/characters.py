"""Prompts to hashed sequences of characters: what a word's ending, a compound, a misspelling or a script without blanks hides
from sequences of words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from monitor.scoring.features import Hashed

HASH_BITS = 17
BUCKETS = 1 << HASH_BITS
LENGTHS = (1, 2, 4)
"""Characters of a sequence: one says much in Chinese, four hold an English stem. All of 1 to 5 told prompts apart
no better, on questions left out of the training, and cost two thirds more.
"""
HEAD, TAIL = 1000, 500
"""Characters looked at from a prompt's beginning and, of a longer one, from its end: a bound on the cost of a pasted document."""

_BREAKS = re.compile(
    "[\\s!-@\\[-`{-~\u00a1\u00ab\u00b7\u00bb\u00bf\u060c\u061b\u061f\u0964\u2000-\u206f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20]+"
)
_ASCII_BREAKS = bytes(32 if _BREAKS.match(chr(b)) else ord(chr(b).lower()) if b < 128 else b for b in range(256))
"""The same for ASCII, in lower case; a table takes a tenth of an expression's time."""
_CHARACTER = np.uint32(0x9E3779B1)
_SPREAD = {1: np.uint32(0x85EBCA6B), 2: np.uint32(0xC2B2AE35), 4: np.uint32(0x165667B1)}
"""Per length an odd factor; its product's high bits are the bucket. 32 bits, because processors multiply those eight at a time."""


def plain(text: str) -> str:
    """What is looked at, in lower case: marks, numbers and blanks are one space, and one stands at both ends."""
    seen = text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} {text[-TAIL:]}"
    if not seen.isascii():
        return _BREAKS.sub(" ", f" {seen.lower()} ")
    words = seen.encode("ascii").translate(_ASCII_BREAKS).split()
    return f" {b' '.join(words).decode('ascii')} " if words else " "


def character_sequences(texts: Sequence[str]) -> Hashed:
    """The distinct sequences of `LENGTHS` characters of each text; a text's values have a Euclidean norm of one per length.

    A sequence counts once however often it stands there, as words do: else one character a thousand times over would outweigh
    everything that was learned.
    """
    seen = [plain(text) for text in texts]
    codes = np.frombuffer("".join(seen).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    owner = np.repeat(np.arange(len(seen)), [len(one) for one in seen])
    hashes = np.zeros(len(codes), dtype=np.uint32)
    found, buckets, values = [], [], []
    for length in range(1, LENGTHS[-1] + 1):
        count = max(len(codes) - length + 1, 0)
        hashes = hashes[:count] * _CHARACTER + codes[len(codes) - count :] + np.uint32(1)
        if length in LENGTHS:
            keep = np.flatnonzero(owner[:count] == owner[len(codes) - count :])
            bucket = (hashes[keep] * _SPREAD[length]) >> np.uint32(32 - HASH_BITS)
            distinct = np.sort((owner[keep] << HASH_BITS) | bucket)
            distinct = distinct[np.diff(distinct, prepend=-1) != 0]
            text = distinct >> HASH_BITS
            scale = 1 / np.sqrt(np.maximum(np.bincount(text, minlength=len(seen)), 1)).astype(np.float32)
            found.append(text)
            buckets.append(distinct & (BUCKETS - 1))
            values.append(scale[text])
    return Hashed(np.concatenate(found), np.concatenate(buckets), np.concatenate(values))
