"""From the project's harmful questions and telling words to the weights that name a prompt's hazard category.

Questions are too few to hold every word that tells a category, so `hazard_words.jsonl` lists such words in the same languages;
each is learned as a short question of its own. The margin comes from whole questions that their model has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, vstack
from sklearn.svm import LinearSVC

from monitor.scoring.categories import CATEGORIES, leading_margin
from monitor.scoring.training.questions import Question

FILE = Path(__file__).with_name("hazard_words.jsonl")
LEAST_OF_A_MARGIN = 20
"""Questions that a margin must name, so that no run of luck at the top decides it."""


@dataclass(frozen=True, slots=True)
class CategoryRecipe:
    """What is not learned; chosen by cross-fitting on the training questions."""

    seed: int = 20
    strength: float = 0.3
    """Inverse of the regularisation."""
    written: float = 3.0
    """Weight of a question that was written as it stands, beside one that was put together and beside a word."""
    precision: float = 0.88
    """Share of named categories that shall be right."""


@dataclass(frozen=True, slots=True)
class FittedCategories:
    """Weights, and what cross-fitting said of them."""

    buckets: NDArray[np.int32]
    weights: NDArray[np.float16]
    bias: NDArray[np.float32]
    margin: float
    lead: NDArray[np.float32]
    """Per whole question: by how much the leading category leads, by a model that has not seen it."""
    right: NDArray[np.bool_]
    """Whether that category is its own."""
    languages: Sequence[str]


@dataclass(frozen=True, slots=True)
class TellingWord:
    """A word or a few that tell a category."""

    text: str
    category: str


def telling_words(file: Path = FILE) -> list[TellingWord]:
    """All of them, in the file's order."""
    with file.open(encoding="utf-8") as stream:
        lines = [json.loads(line) for line in stream]
    return [TellingWord(word, line["category"]) for line in lines for word in line["words"]]


def fit_categories(
    own: Sequence[Question],
    matrix: csr_matrix,
    folds: Sequence[NDArray[np.bool_]],
    words: tuple[Sequence[TellingWord], csr_matrix],
    recipe: CategoryRecipe,
) -> FittedCategories:
    """Weights from the harmful ones among the questions.

    `matrix` holds the features of all questions, whose rarity weighs a bucket: frames stand in all of them and tell nothing.
    `folds` says which questions each fold leaves out. `words` are the telling words and their features.
    """
    taught = np.array([one.kind == "harmful" and bool(one.category) for one in own])
    asked = [one for one, known in zip(own, taught, strict=True) if known]
    told, told_matrix = words
    buckets = np.flatnonzero(np.diff(matrix[taught].tocsc().indptr) + np.diff(told_matrix.tocsc().indptr))
    rarity = _rarity(matrix, buckets)
    rows, word_rows = matrix[taught][:, buckets] @ diags(rarity), told_matrix[:, buckets] @ diags(rarity)
    labels = np.array([CATEGORIES.index(one.category) for one in asked])
    word_labels = np.array([CATEGORIES.index(one.category) for one in told])
    weights = np.array([recipe.written if one.written else 1.0 for one in asked])

    def fitted(chosen: NDArray[np.bool_]) -> LinearSVC:
        model = LinearSVC(C=recipe.strength, class_weight="balanced", tol=0.01, random_state=recipe.seed)
        return model.fit(
            vstack([rows[chosen], word_rows], format="csr"),
            np.concatenate([labels[chosen], word_labels]),
            sample_weight=np.concatenate([weights[chosen], np.ones(len(told))]),
        )

    totals = np.zeros((len(asked), len(CATEGORIES)), dtype=np.float32)
    for outside in (fold[taught] for fold in folds):
        totals[outside] = fitted(~outside).decision_function(rows[outside])
    model = fitted(np.ones(len(asked), dtype=np.bool_))
    whole = np.array([one.written for one in asked])
    lead, right = leading_margin(totals[whole]), totals[whole].argmax(axis=1) == labels[whole]
    return FittedCategories(
        buckets=buckets.astype(np.int32),
        weights=(model.coef_ * rarity).T.astype(np.float16),
        bias=model.intercept_.astype(np.float32),
        margin=least_margin(lead, right, recipe.precision),
        lead=lead,
        right=right,
        languages=[one.language for one in asked if one.written],
    )


def _rarity(matrix: csr_matrix, buckets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Per bucket how rare it is among the matrix's rows: 1 when none has it, 0 when all have."""
    texts = matrix.shape[0]
    having = np.diff(matrix.tocsc().indptr)[buckets]
    return np.asarray(np.log((texts + 1) / (having + 1)) / np.log(texts + 1), dtype=np.float64)


def least_margin(lead: NDArray[np.float32], right: NDArray[np.bool_], precision: float) -> float:
    """The least margin at which the named categories are right often enough; infinity when there is none."""
    order = np.argsort(-lead, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((shares >= precision) & (np.arange(1, len(order) + 1) >= LEAST_OF_A_MARGIN))
    return float(lead[order[enough[-1]]]) if len(enough) else float("inf")


def category_lines(fitted: FittedCategories) -> list[str]:
    """What the margin names of whole questions that the model had not seen, English ones and others."""
    english = np.array([language == "en" for language in fitted.languages])
    clear = fitted.lead >= fitted.margin
    lines = [
        "",
        f"hazard categories, by whole harmful questions that the model has not seen; margin {fitted.margin:.3f}:",
    ]
    for name, mask in (("English", english), ("other languages", ~english)):
        known = int((clear & mask).sum())
        right = int((clear & mask & fitted.right).sum())
        lines.append(f"{name} ({int(mask.sum())}): named {known}, right {right}")
    return lines
