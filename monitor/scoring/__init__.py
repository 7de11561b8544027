"""Scoring: prompts and answers to verdicts. The seam is `Scorer`; `SCORERS` holds its implementations by tier."""

from __future__ import annotations

from collections.abc import Callable

from monitor.config.model import ScoringSection
from monitor.scoring.interface import Scorer
from monitor.scoring.linear import LinearScorer
from monitor.scoring.tiers import build_auto, build_exact, build_fast
from monitor.scoring.weights import WeightsError

SCORERS: dict[str, Callable[[ScoringSection], Scorer]] = {
    "auto": build_auto,
    "exact": build_exact,
    "fast": build_fast,
}
"""Tier -> factory; none of these has a budget."""


def build_scorer(section: ScoringSection, *, live: bool = False) -> Scorer:
    """The scorer that the configuration asks for; a live one keeps to the encoder's share of time.

    Raises WeightsError when its weights cannot be read, or when the exact tier is wanted without the extra `encoder`.
    """
    if live and section.tier == "auto":
        return build_auto(section, live=True)
    return SCORERS[section.tier](section)


__all__ = ["SCORERS", "LinearScorer", "Scorer", "WeightsError", "build_scorer"]
