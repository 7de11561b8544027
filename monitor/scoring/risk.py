"""How harmful a prompt looks: a small linear model of its own over hashed words and characters, in numpy alone.

It is apart from the model that judges answers, because the two want different things: an answer must be judged whatever its
topic, and this one looks at nothing but the topic. Its errors shift with the traffic. It selects what is watched and replayed,
and decides nothing.
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
    """Prompts to probabilities and strata."""

    def __init__(self, weights: RiskWeights) -> None:
        self.version = weights.digest
        self.settings = RiskSettings(*weights.settings.tolist())
        self._words = weights.words.astype(np.float32)
        self._characters = weights.characters.astype(np.float32)

    def chances(self, prompts: Sequence[str], tokens: Tokens) -> list[float]:
        """The probability of looking harmful per prompt, given the same prompts' words."""
        total = _total(features.prompt_words(tokens), self._words, len(prompts))
        total += _total(characters.character_sequences(prompts), self._characters, len(prompts))
        logit = np.clip((total + self.settings.bias) / self.settings.temperature, -30, 30)
        chances: list[float] = (1 / (1 + np.exp(-logit))).tolist()
        return chances

    def stratum(self, risk: float) -> Stratum:
        """What kind of prompt the probability makes it."""
        if risk >= self.settings.harmful:
            return Stratum.HARMFUL_LOOKING
        return Stratum.ORDINARY if risk <= self.settings.ordinary else Stratum.UNKNOWN


def load_risk(file: Path = SHIPPED_RISK) -> RiskModel:
    """The model in a file; nothing in the file can run. Raises WeightsError."""
    weights = load_arrays(RiskWeights, file, "prompt risk")
    shapes = (weights.words.shape, weights.characters.shape, weights.settings.shape)
    if shapes != ((features.BUCKETS,), (characters.BUCKETS,), (4,)):
        raise WeightsError(f"{file}: the arrays' shapes do not fit the features; train prompt risk anew")
    return RiskModel(weights)


def _total(hashed: features.Hashed, weights: NDArray[np.float32], texts: int) -> NDArray[np.float64]:
    """Per text the sum of its weighted buckets."""
    return np.asarray(
        np.bincount(hashed.text, weights[hashed.bucket] * hashed.value, minlength=texts), dtype=np.float64
    )
