"""How harmful a prompt looks: a small linear model of its own over hashed words and characters, in numpy alone.

It is apart from the model that judges answers, because the two want different things: an answer must be judged whatever its
topic, and this one looks at nothing but the topic. Its errors shift with the traffic. It selects what is watched and replayed,
and decides nothing. Of what it takes for harmful, `categories` says of which kind that is; both are trained and kept together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.records import Stratum
from monitor.scoring import characters, features
from monitor.scoring.arrays import Arrays, WeightsError, load_arrays
from monitor.scoring.categories import BUCKETS, CATEGORIES, Categories, PromptFeatures
from monitor.scoring.tokens import Tokens

SHIPPED_RISK = Path(__file__).with_name("risk.npz")


@dataclass(frozen=True)
class RiskWeights(Arrays):
    """All that training decides."""

    words: NDArray[np.float16]
    """Buckets of word sequences."""
    characters: NDArray[np.float16]
    """Buckets of character sequences."""
    settings: NDArray[np.float32]
    """As in `RiskSettings`."""
    category_buckets: NDArray[np.int32]
    """The buckets that harmful questions have, those of characters behind those of words."""
    category_weights: NDArray[np.float16]
    """Those buckets x `CATEGORIES`."""
    category_bias: NDArray[np.float32]
    """Per category."""
    category_margin: NDArray[np.float32]
    """One number: by how much a category must lead."""


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """`RiskWeights.settings` by name."""

    bias: float
    temperature: float
    harmful: float
    """Probability from which on a prompt looks harmful."""
    ordinary: float
    """Probability up to which a prompt is ordinary; between the two it is unknown."""


class RiskModel:
    """Prompts to probabilities, strata and hazard categories."""

    def __init__(self, weights: RiskWeights) -> None:
        self.version = weights.digest
        self.settings = RiskSettings(*weights.settings.tolist())
        self._words = weights.words.astype(np.float32)
        self._characters = weights.characters.astype(np.float32)
        self._categories = Categories(
            weights.category_buckets, weights.category_weights, weights.category_bias, weights.category_margin.item()
        )

    def chances(self, seen: PromptFeatures) -> list[float]:
        """The probability of looking harmful per prompt."""
        total = _total(seen.words, self._words, seen.texts)
        total += _total(seen.characters, self._characters, seen.texts)
        logit = np.clip((total + self.settings.bias) / self.settings.temperature, -30, 30)
        chances: list[float] = (1 / (1 + np.exp(-logit))).tolist()
        return chances

    def categories(self, seen: PromptFeatures, chances: Sequence[float]) -> list[str]:
        """The hazard category per prompt, given their chances; "" unless it looks harmful and one category is clear."""
        found = [""] * seen.texts
        places = [place for place, chance in enumerate(chances) if chance >= self.settings.harmful]
        for place, category in zip(places, self._categories.clear(seen, places), strict=True):
            found[place] = category
        return found

    def stratum(self, risk: float) -> Stratum:
        """What kind of prompt the probability makes it."""
        if risk >= self.settings.harmful:
            return Stratum.HARMFUL_LOOKING
        return Stratum.ORDINARY if risk <= self.settings.ordinary else Stratum.UNKNOWN


def prompt_features(prompts: Sequence[str], tokens: Tokens) -> PromptFeatures:
    """What there is to see of the prompts, given the same prompts' words."""
    return PromptFeatures(len(prompts), features.prompt_words(tokens), characters.character_sequences(prompts))


def load_risk(file: Path = SHIPPED_RISK) -> RiskModel:
    """The model in a file; nothing in the file can run. Raises WeightsError."""
    weights = load_arrays(RiskWeights, file, "prompt risk")
    buckets = weights.category_buckets
    shapes = (
        (weights.words.shape, (features.BUCKETS,)),
        (weights.characters.shape, (characters.BUCKETS,)),
        (weights.settings.shape, (4,)),
        (weights.category_weights.shape, (buckets.size, len(CATEGORIES))),
        (weights.category_bias.shape, (len(CATEGORIES),)),
        (weights.category_margin.shape, (1,)),
    )
    if any(shape != wanted for shape, wanted in shapes) or np.any((buckets < 0) | (buckets >= BUCKETS)):
        raise WeightsError(f"{file}: the arrays' shapes do not fit the features; train prompt risk anew")
    return RiskModel(weights)


def _total(hashed: features.Hashed, weights: NDArray[np.float32], texts: int) -> NDArray[np.float64]:
    """Per text the sum of its weighted buckets."""
    return np.asarray(
        np.bincount(hashed.text, weights.take(hashed.bucket) * hashed.value, minlength=texts), dtype=np.float64
    )
