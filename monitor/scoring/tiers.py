"""Which models a tier is made of."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from monitor.config.model import ScoringSection
from monitor.scoring.budget import Budget
from monitor.scoring.encoder import SHIPPED_ENCODER, Encoder
from monitor.scoring.exact import ExactScorer
from monitor.scoring.interface import Scorer
from monitor.scoring.linear import SHIPPED_WEIGHTS, LinearScorer
from monitor.scoring.risk import SHIPPED_RISK, load_risk
from monitor.scoring.weights import load_weights


def build_fast(section: ScoringSection, weights: Path = SHIPPED_WEIGHTS, risk: Path = SHIPPED_RISK) -> LinearScorer:
    """The linear model alone, beside the one of prompt risk. Raises WeightsError."""
    return LinearScorer(section, load_weights(weights), load_risk(risk))


def build_exact(
    section: ScoringSection, weights: Path = SHIPPED_WEIGHTS, encoder: Path = SHIPPED_ENCODER
) -> ExactScorer:
    """The encoder reads every judged answer. Raises WeightsError without the extra `encoder`."""
    return ExactScorer(build_fast(section, weights), Encoder(encoder), everything=True, budget=None)


def build_auto(
    section: ScoringSection,
    weights: Path = SHIPPED_WEIGHTS,
    encoder: Path = SHIPPED_ENCODER,
    *,
    live: bool = False,
) -> Scorer:
    """The encoder reads what the linear model is unsure of; without the extra `encoder`, the linear model alone."""
    linear = build_fast(section, weights)
    if find_spec("onnxruntime") is None or find_spec("tokenizers") is None:
        return linear
    budget = Budget(section.encoder_share) if live else None
    return ExactScorer(linear, Encoder(encoder), everything=False, budget=budget)
