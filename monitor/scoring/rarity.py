"""How rare an English word is: what a shared word says about two prompts being about the same thing.

python -m monitor.scoring.rarity DIR counts in how many of the texts of DIR's labelled JSON lines (`prompt`, `response`) each word
stands and writes rarity.npz beside this file: one byte per bucket of the words' hash, no text. A word that was never
counted, such as the name of a thing, is as rare as can be.
"""

from __future__ import annotations

import json
import math
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

TABLE: Final = Path(__file__).with_name("rarity.npz")
_BUCKETS: Final = 1 << 16
_STEP: Final = 24.0
"""Levels per unit of the natural logarithm."""
WORD: Final = re.compile(r"[^\W_]+")


def bucket(word: str) -> int:
    """Where a word is counted."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) & (_BUCKETS - 1)


@cache
def table() -> tuple[float, ...]:
    """Rarity per bucket: ln(texts / texts with the word), between 0 and about 10."""
    with np.load(TABLE, allow_pickle=False) as file:
        levels: list[float] = (file["levels"].astype(np.float64) / _STEP).tolist()
    return tuple(levels)


def count(folder: Path) -> bytes:
    """The table's bytes, from every text of a folder."""
    found: Counter[int] = Counter()
    texts = 0
    for text in _texts(folder):
        texts += 1
        found.update({bucket(word) for word in WORD.findall(text.lower())})
    return bytes(min(round(_STEP * math.log(texts / max(found[one], 0.5))), 255) for one in range(_BUCKETS))


def _texts(folder: Path) -> Iterator[str]:
    for file in sorted(folder.glob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield row["prompt"]
                yield row["response"]


if __name__ == "__main__":
    np.savez_compressed(TABLE, levels=np.frombuffer(count(Path(sys.argv[1])), dtype=np.uint8))
