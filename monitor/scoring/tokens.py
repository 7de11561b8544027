"""Many texts to one flat array of hashed words.

A loop over words in Python would cost more than the whole scoring budget (a third of a millisecond per text), so a
batch of texts is joined to one byte array and every step is a numpy operation over it. A word's hash comes from a
prefix sum of byte * P^position, which makes the hash of any slice two look-ups and a multiplication.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

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
_ALNUM = bytes(97 <= b <= 122 or b == 48 or b >= 128 for b in _LOWER)
"""Of every byte whether it belongs to a word."""
_AFTER_SENTENCE = np.array([chr(b) in " \n\"')*]" for b in range(256)])
_KNOWN_POWERS = 1 << 17
"""Powers of the factor that are kept, in 2 MiB: as many as a usual batch of answers has bytes."""


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
    start, end = _word_bounds(data, joined)
    first = np.searchsorted(start, text_starts)
    text = np.repeat(np.arange(len(encoded)), np.diff(first))
    newlines = np.flatnonzero(data == 10)
    stops = np.flatnonzero((data == 46) | (data == 33) | (data == 63))
    line = _passed(newlines, start)
    return Tokens(
        data=data,
        text_starts=text_starts,
        first=first,
        text=text,
        start=start,
        end=end,
        hash=_slice_hashes(data, start, end),
        sentence=line + _passed(stops[_AFTER_SENTENCE[data[stops + 1]]], start),
        line=line,
        shielded=_quoted(data, newlines, start, line) | _fenced(data, text_starts, start, text),
    )


def _word_bounds(data: NDArray[np.uint8], joined: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    word = np.frombuffer(bytearray(joined.translate(_ALNUM)), dtype=np.bool_)
    apostrophes = np.flatnonzero(data == 39)
    word[apostrophes[word[apostrophes - 1] & word[apostrophes + 1]]] = True
    edges = np.flatnonzero(word[1:] != word[:-1]) + 1
    return edges[::2], edges[1::2]


def _passed(places: NDArray[np.int64], start: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the (ascending) places stand before each word; there are fewer of them than words, and fewer words than bytes."""
    return np.cumsum(np.bincount(np.searchsorted(start, places), minlength=len(start) + 1))[:-1]


def _slice_hashes(data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.uint64]:
    powers, inverse = _known_powers() if len(data) < _KNOWN_POWERS else _powers(len(data) + 1)
    sums = np.zeros(len(data) + 1, dtype=np.uint64)
    np.cumsum(data * powers[: len(data)], out=sums[1:])
    raw = (sums[end] - sums[start]) * inverse[start] + (end - start).astype(np.uint64) * _LENGTH_FACTOR
    return mix(raw)


@cache
def _known_powers() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    return _powers(_KNOWN_POWERS)


def _powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The factor to the powers from 0 on, and its inverse."""
    found = []
    for factor in (BYTE_FACTOR, _INVERSE_FACTOR):
        powers = np.full(count, factor, dtype=np.uint64)
        powers[0] = 1
        found.append(np.cumprod(powers))
    return found[0], found[1]


def find(known: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of the hashes are among the (ascending) known ones, and where there.

    Few are, and their low bits tell most of them at once, so that hardly any has to be searched for.
    """
    likely = np.zeros(1 << 16, dtype=np.bool_)
    likely[known.astype(np.uint16)] = True
    found = np.flatnonzero(likely[hashes.astype(np.uint16)])
    place = np.searchsorted(known, hashes[found])
    right = np.append(known, 0)[place] == hashes[found]
    right &= place < len(known)
    return found[right], place[right]


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every input bit over the output, so that low bits can serve as a bucket number."""
    values = (values ^ (values >> np.uint64(32))) * _MIX
    values = (values ^ (values >> np.uint64(32))) * _MIX
    return values ^ (values >> np.uint64(32))


def _quoted(
    data: NDArray[np.uint8], newlines: NDArray[np.int64], start: NDArray[np.int64], line: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Odd number of double quotes since the line began."""
    quotes = np.flatnonzero(data == 34)
    at_line = np.concatenate(([0], np.searchsorted(quotes, newlines)))
    return np.asarray((_passed(quotes, start) - at_line[line]) & 1, dtype=np.bool_)


def _fenced(
    data: NDArray[np.uint8], text_starts: NDArray[np.int64], start: NDArray[np.int64], text: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Odd number of code fences since the text began."""
    ticks = np.flatnonzero(data == 96)
    fences = ticks[(data[ticks + 1] == 96) & (data[ticks + 2] == 96) & (data[ticks - 1] != 96)]
    return np.asarray((_passed(fences, start) - np.searchsorted(fences, text_starts)[text]) & 1, dtype=np.bool_)
