"""The hazard category of a harmful-looking prompt, when it is clear: a linear model over the features of prompt risk.

The names are those of the MLCommons AILuminate hazard taxonomy, with the two that Llama Guard 3 adds (elections, code
interpreter abuse). It learned from harmful questions alone: it says where a harmful prompt belongs, never whether it is
harmful, and it is silent unless one category leads all others by a margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.scoring import characters, features
from monitor.scoring.features import Hashed, weighted

CATEGORIES: Final = (
    "violent_crimes",
    "non_violent_crimes",
    "sex_related_crimes",
    "child_sexual_exploitation",
    "defamation",
    "specialized_advice",
    "privacy",
    "intellectual_property",
    "indiscriminate_weapons",
    "hate",
    "suicide_and_self_harm",
    "sexual_content",
    "elections",
    "code_interpreter_abuse",
)
BUCKETS: Final = features.BUCKETS + characters.BUCKETS
"""Those of words, then those of characters."""


@dataclass(frozen=True, slots=True)
class PromptFeatures:
    """Prompts as the models of prompt risk and of categories see them."""

    texts: int
    words: Hashed
    characters: Hashed


class Categories:
    """Prompts to categories."""

    def __init__(
        self, buckets: NDArray[np.int32], weights: NDArray[np.float16], bias: NDArray[np.float32], margin: float
    ) -> None:
        """Weights are buckets x categories, of the known buckets alone; the others weigh nothing."""
        self._row = np.zeros(BUCKETS, dtype=np.int64)
        self._row[buckets] = np.arange(1, len(buckets) + 1)
        self._weights = np.concatenate([np.zeros((1, len(CATEGORIES)), np.float32), weights.astype(np.float32)])
        self._bias = bias
        self._margin = margin

    def clear(self, seen: PromptFeatures, places: Sequence[int]) -> list[str]:
        """Per place in the batch the category that leads, "" when none does by the margin."""
        if not places:
            return []
        wanted = np.zeros(seen.texts, dtype=np.bool_)
        wanted[list(places)] = True
        totals = np.tile(self._bias, (seen.texts, 1))
        for hashed, first in ((seen.words, 0), (seen.characters, features.BUCKETS)):
            of = np.flatnonzero(wanted[hashed.text])
            rows = self._row.take(first + hashed.bucket[of])
            totals += weighted(Hashed(hashed.text[of], rows, hashed.value[of]), self._weights, seen.texts)
        return named(totals[list(places)], self._margin)


def named(totals: NDArray[np.float32], margin: float) -> list[str]:
    """Per row of category totals the name of the one that leads by the margin, else ""."""
    leads = leading_margin(totals)
    return [
        CATEGORIES[best] if lead >= margin else ""
        for best, lead in zip(totals.argmax(axis=1).tolist(), leads.tolist(), strict=True)
    ]


def leading_margin(totals: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much the first category of each row leads the second."""
    ranked = np.sort(totals, axis=1)
    return np.asarray(ranked[:, -1] - ranked[:, -2], dtype=np.float32)
