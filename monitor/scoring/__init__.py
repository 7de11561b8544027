"""Scoring: prompts and answers to verdicts. The seam is `Scorer`; `SCORERS` holds its implementations."""

from __future__ import annotations

from collections.abc import Callable

from monitor.config.model import ScoringSection
from monitor.scoring.interface import Scorer
from monitor.scoring.linear import LinearScorer, build_linear
from monitor.scoring.weights import WeightsError

SCORERS: dict[str, Callable[[ScoringSection], Scorer]] = {LinearScorer.name: build_linear}
"""Name -> factory."""


def build_scorer(section: ScoringSection) -> Scorer:
    """The scorer that the configuration asks for. Raises WeightsError when its weights cannot be read."""
    return SCORERS[LinearScorer.name](section)


__all__ = ["SCORERS", "LinearScorer", "Scorer", "WeightsError", "build_scorer"]
