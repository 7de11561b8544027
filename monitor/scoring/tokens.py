"""Many texts to one flat array of hashed words.

A loop over words in Python would cost more than the whole scoring budget (a third of a millisecond per text), so a
batch of texts is joined to one byte array and every step is a numpy operation over it. A word's hash comes from a
prefix sum of byte * P^position, which makes the hash of any slice two look-ups and a multiplication.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.scoring.window import window

BYTE_FACTOR = 0x9E3779B97F4A7C15
"""Odd, hence invertible modulo 2^64."""
_INVERSE_FACTOR = pow(BYTE_FACTOR, -1, 1 << 64)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_LENGTH_FACTOR = np.uint64(0xA24BAED4963EE407)

_LOWER = bytes(
    b + 32 if 65 <= b <= 90 else 48 if 48 <= b <= 57 else 32 if b in (9, 11, 12, 13) else b for b in range(256)
)
"""ASCII to lower case, every digit to 0, other blanks to a space."""
_ALNUM = np.array([97 <= b <= 122 or b == 48 or b >= 128 for b in range(256)])
_SENTENCE_END = np.array([chr(b) in ".!?" for b in range(256)])
_AFTER_SENTENCE = np.array([chr(b) in " \n\"')*]" for b in range(256)])


@dataclass(frozen=True, slots=True)
class Tokens:
    """The words of a batch of texts, in order. All arrays have one entry per word unless said otherwise."""

    data: NDArray[np.uint8]
    """The joined, lower-cased UTF-8 bytes: a newline, each text with a newline behind it, two more newlines."""
    text_starts: NDArray[np.int64]
    """Per text: where its bytes begin; one more entry for the end."""
    first: NDArray[np.int64]
    """Per text: index of its first word; one more entry for the end."""
    text: NDArray[np.int64]
    """Which text the word belongs to."""
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    """First and one-past-last byte."""
    hash: NDArray[np.uint64]
    sentence: NDArray[np.int64]
    """Number of the sentence, counted over the whole batch."""
    line: NDArray[np.int64]
    """Number of the line, counted over the whole batch."""
    shielded: NDArray[np.bool_]
    """Inside double quotes or a code block: what stands there is not said by the model itself."""

    @property
    def texts(self) -> int:
        """How many texts the batch has."""
        return len(self.first) - 1

    def position(self) -> NDArray[np.int64]:
        """Index of each word within its text."""
        return np.arange(len(self.text)) - self.first[self.text]

    def lengths(self) -> NDArray[np.int64]:
        """Words per text."""
        return np.diff(self.first)


def tokenize(texts: Sequence[str]) -> Tokens:
    """Split texts into words; a text longer than the window is represented by its head and its tail."""
    encoded = [window(text).encode("utf-8", "surrogatepass") for text in texts]
    joined = b"\n" + b"\n".join(encoded) + b"\n\n\n"
    data = np.frombuffer(joined.translate(_LOWER), dtype=np.uint8)
    sizes = np.fromiter((len(part) + 1 for part in encoded), dtype=np.int64, count=len(encoded))
    text_starts = np.concatenate(([1], 1 + np.cumsum(sizes))).astype(np.int64)
    start, end = _word_bounds(data)
    text = np.searchsorted(text_starts, start, side="right") - 1
    first = np.searchsorted(text, np.arange(len(encoded) + 1))
    newline = data == 10
    ends = newline.copy()
    ends[:-1] |= _SENTENCE_END[data[:-1]] & _AFTER_SENTENCE[data[1:]]
    line = np.cumsum(newline)
    return Tokens(
        data=data,
        text_starts=text_starts,
        first=first,
        text=text,
        start=start,
        end=end,
        hash=_slice_hashes(data, start, end),
        sentence=np.cumsum(ends)[start],
        line=line[start],
        shielded=_shielded(data, newline, line, text_starts, start, text),
    )


def _word_bounds(data: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    word = _ALNUM[data]
    inner = (data[1:-1] == 39) & word[:-2] & word[2:]
    word[1:-1] |= inner
    edges = np.flatnonzero(word[1:] != word[:-1]) + 1
    return edges[::2], edges[1::2]


def _slice_hashes(data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.uint64]:
    powers = np.full(len(data) + 1, BYTE_FACTOR, dtype=np.uint64)
    powers[0] = 1
    np.cumprod(powers, out=powers)
    sums = np.zeros(len(data) + 1, dtype=np.uint64)
    np.cumsum(data * powers[:-1], out=sums[1:])
    inverse = np.full(len(data) + 1, _INVERSE_FACTOR, dtype=np.uint64)
    inverse[0] = 1
    np.cumprod(inverse, out=inverse)
    raw = (sums[end] - sums[start]) * inverse[start] + (end - start).astype(np.uint64) * _LENGTH_FACTOR
    return mix(raw)


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every input bit over the output, so that low bits can serve as a bucket number."""
    values = (values ^ (values >> np.uint64(32))) * _MIX
    values = (values ^ (values >> np.uint64(32))) * _MIX
    return values ^ (values >> np.uint64(32))


def _shielded(
    data: NDArray[np.uint8],
    newline: NDArray[np.bool_],
    line: NDArray[np.int64],
    text_starts: NDArray[np.int64],
    start: NDArray[np.int64],
    text: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Odd number of double quotes since the line began, or of code fences since the text began."""
    quotes = np.cumsum(data == 34)
    at_line = np.concatenate(([0], quotes[np.flatnonzero(newline)]))
    quoted = (quotes[start] - at_line[line[start]]) & 1
    tick = data == 96
    fence = np.zeros(len(data), dtype=np.int64)
    if len(data) > 3 and tick.any():
        fence[1:-2] = tick[1:-2] & tick[2:-1] & tick[3:] & ~tick[:-3]
    fences = np.cumsum(fence)
    fenced = (fences[start] - fences[text_starts[text] - 1]) & 1
    inside: NDArray[np.bool_] = (quoted | fenced).astype(np.bool_)
    return inside
