"""Which answers say something new: the first to a prompt, and the first of a conversation, within a window of time.

Answers to one prompt, and answers of one conversation, resemble each other. A detector that takes each for a sample of its
own alarms falsely: clusters of five cut the run length to a false alarm from 75,000 to 150 (`tests/bench/drift_clusters.py`).

Prompts and conversations are remembered as keyed hashes, with a key that is drawn anew in every process and never leaves
it. A conversation is recognised exactly: a request whose earlier turns are the ones of a remembered request and its answer
carries it on. No header and no name of a user is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from monitor.records import Prompt, Stratum

CAPACITY: Final = 65_536
"""Prompts and conversations that are remembered, the oldest forgotten first: about 10 MB. Three a judged answer at most."""
_SAMPLED: Final = (Stratum.HARMFUL_LOOKING, Stratum.ORDINARY)
"""Strata whose answers are evidence; each has its first answer of a conversation."""
_DIGEST_BYTES: Final = 8
"""By chance two of 65,536 are the same with a probability of 1e-10."""


class RecentSamples:
    """Remembers what was counted within the window."""

    def __init__(self, window_s: float, capacity: int = CAPACITY) -> None:
        """window_s: 0 counts every answer."""
        self._window_s = window_s
        self._capacity = capacity
        self._key = os.urandom(blake2b.MAX_KEY_SIZE)
        self._counted: dict[bytes, float] = {}
        """Hash of a prompt, or of a conversation up to its latest answer -> when an answer of it was counted."""

    def is_first(self, combination: str, stratum: Stratum, prompt: Prompt, answer: str, time: float) -> bool:
        """Whether this judged answer counts as a sample; it is remembered. time: Unix seconds of the request."""
        if self._window_s <= 0 or stratum not in _SAMPLED or not prompt.text:
            return True
        asked = self._digest(combination, stratum, "prompt", (prompt.text,))
        began = {one: self._latest(self._digest(combination, one, "talk", prompt.earlier), time) for one in _SAMPLED}
        first = self._latest(asked, time) is None and began[stratum] is None
        if first:
            self._remember(asked, time)
            began[stratum] = time
        for one, counted in began.items():
            if counted is not None:
                whole = (*prompt.earlier, prompt.text, answer)
                self._remember(self._digest(combination, one, "talk", whole), counted)
        return first

    def forget(self) -> None:
        """A name holds something else now. All is forgotten, at the price of counting a prompt once too often."""
        self._counted.clear()

    def _latest(self, digest: bytes, time: float) -> float | None:
        counted = self._counted.get(digest)
        return counted if counted is not None and time - counted < self._window_s else None

    def _remember(self, digest: bytes, time: float) -> None:
        self._counted.pop(digest, None)
        while len(self._counted) >= self._capacity or (
            self._counted and time - self._counted[next(iter(self._counted))] >= self._window_s
        ):
            del self._counted[next(iter(self._counted))]
        self._counted[digest] = time

    def _digest(self, combination: str, stratum: Stratum, kind: str, texts: Iterable[str]) -> bytes:
        digest = blake2b(key=self._key, digest_size=_DIGEST_BYTES)
        for text in (combination, stratum.value, kind, *texts):
            raw = text.strip().encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big"))
            digest.update(raw)
        return digest.digest()
