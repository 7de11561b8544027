"""From labelled prompts and the project's own questions to the weights of prompt risk.

The thresholds and the temperature come from questions that their model has not seen: the labelled prompts of the validation
fold, and the project's own questions as they were written, each judged by a model trained without everything that was made of it.
The same questions, in the same folds, teach the hazard categories (`training/categories.py`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression

from monitor.scoring import characters, features
from monitor.scoring.risk import RiskWeights
from monitor.scoring.tokens import tokenize
from monitor.scoring.training.categories import CategoryRecipe, FittedCategories, TellingWord, fit_categories
from monitor.scoring.training.corpus import Row, prompts_with_risk
from monitor.scoring.training.fit import fit_temperature
from monitor.scoring.training.questions import Question
from monitor.scoring.training.sparse import stacked

FOLDS = 4
ENGLISH = "en"
LABELLED = {0: "labelled harmless", 1: "labelled harmful"}


@dataclass(frozen=True, slots=True)
class RiskRecipe:
    """What is not learned."""

    seed: int = 20
    strength: float = 3.0
    """Inverse of the regularisation."""
    labelled: float = 2.0
    """Mean weight of a labelled prompt, beside a question that was put together of act or topic and frame."""
    evenness: float = 0.4
    """A source of n labelled prompts weighs n^(1 - evenness)."""
    written: float = 6.0
    """Weight of a question that was written as it stands, beside one that was put together."""
    borderline: float = 1.5
    """Factor of a harmless question with grim words: the hardest ones, and fewer than the ordinary ones."""
    harmful: float = 0.6
    """Probability from which on a prompt looks harmful; the card says why."""
    ordinary: float = 0.35
    categories: CategoryRecipe = field(default_factory=CategoryRecipe)


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt to learn from or to be tried on."""

    text: str
    harmful: bool
    weight: float
    group: str
    """What must not stand on both sides of a split."""
    kind: str
    """One of `LABELLED`, or a question's own."""
    language: str = ENGLISH
    tried: bool = True
    """Counts when thresholds are looked at."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Weights, and what cross-fitting said of them."""

    weights: RiskWeights
    tried: Sequence[Asked]
    chances: NDArray[np.float64]
    """Per tried prompt, by a model that has not seen it."""
    categories: FittedCategories


def fit_risk(rows: Sequence[Row], asked: Sequence[Question], told: Sequence[TellingWord], recipe: RiskRecipe) -> Fitted:
    """Weights from the training fold, the project's questions and the words that tell a hazard category."""
    labelled = _labelled([row for row in rows if not row.valid], recipe)
    own = [_own(question, recipe) for question in asked]
    held = _labelled([row for row in rows if row.valid], recipe)
    known = labelled + own
    every, held_matrix = prompt_matrix([one.text for one in known]), prompt_matrix([one.text for one in held])
    logits = np.zeros(len(known))
    folds = _folds(known, recipe.seed)
    for outside in folds:
        model = _logistic(every[~outside], [one for one, out in zip(known, outside, strict=True) if not out], recipe)
        logits[outside] = model.decision_function(every[outside])
    model = _logistic(every, known, recipe)
    tried = [place for place, one in enumerate(own, len(labelled)) if one.tried]
    logit = np.concatenate([logits[tried], model.decision_function(held_matrix)])
    seen = [known[place] for place in tried] + held
    two = np.stack([np.zeros_like(logit), logit], axis=1)
    temperature = fit_temperature(two, np.array([int(one.harmful) for one in seen]))
    categories = fit_categories(
        asked,
        every[len(labelled) :],
        [outside[len(labelled) :] for outside in folds],
        (told, prompt_matrix([word.text for word in told])),
        recipe.categories,
    )
    coefficients = model.coef_[0].astype(np.float16)
    weights = RiskWeights(
        words=coefficients[: features.BUCKETS],
        characters=coefficients[features.BUCKETS :],
        settings=np.array([model.intercept_[0], temperature, recipe.harmful, recipe.ordinary], dtype=np.float32),
        category_buckets=categories.buckets,
        category_weights=categories.weights,
        category_bias=categories.bias,
        category_margin=np.array([categories.margin], dtype=np.float32),
    )
    return Fitted(weights, seen, 1 / (1 + np.exp(-logit / temperature)), categories)


def prompt_matrix(prompts: Sequence[str]) -> csr_matrix:
    """Prompts x word buckets and character buckets."""
    return hstack(
        [
            stacked(lambda chunk: features.prompt_words(tokenize(chunk)), prompts, features.BUCKETS),
            stacked(characters.character_sequences, prompts, characters.BUCKETS),
        ],
        format="csr",
    )


def _logistic(matrix: csr_matrix, known: Sequence[Asked], recipe: RiskRecipe) -> LogisticRegression:
    model = LogisticRegression(C=recipe.strength, max_iter=300, tol=1e-3, class_weight="balanced")
    weights = np.array([one.weight for one in known])
    return model.fit(matrix, np.array([int(one.harmful) for one in known]), sample_weight=weights)


def _labelled(rows: Sequence[Row], recipe: RiskRecipe) -> list[Asked]:
    known = prompts_with_risk(rows)
    sources = [source for _, _, source in known]
    shares = np.array([sources.count(source) ** -recipe.evenness for source in sources])
    weights = (shares * recipe.labelled * len(known) / max(shares.sum(), 1e-9)).tolist()
    return [
        Asked(prompt, bool(risk), weight, prompt, LABELLED[risk])
        for (prompt, risk, _), weight in zip(known, weights, strict=True)
    ]


def _own(question: Question, recipe: RiskRecipe) -> Asked:
    return Asked(
        text=question.text,
        harmful=question.kind == "harmful",
        weight=(recipe.written if question.written else 1.0)
        * (recipe.borderline if question.kind == "borderline" else 1.0),
        group=f"{question.language} {question.made_of}",
        kind=question.kind,
        language=question.language,
        tried=question.written,
    )


def _folds(known: Sequence[Asked], seed: int) -> list[NDArray[np.bool_]]:
    """Which prompts each fold leaves out; what is made of the same act or topic is left out together."""
    groups = sorted({one.group for one in known})
    random.Random(seed).shuffle(groups)
    place = {group: number % FOLDS for number, group in enumerate(groups)}
    folds = np.array([place[one.group] for one in known])
    return [folds == number for number in range(FOLDS)]
