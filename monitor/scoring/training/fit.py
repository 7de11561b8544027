"""From labelled rows to weights: a logistic regression, its temperature, and the decision's thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, hstack, vstack
from sklearn.linear_model import LogisticRegression

from monitor.scoring.features import BUCKETS, Extractor
from monitor.scoring.tokens import tokenize
from monitor.scoring.training.augment import augment
from monitor.scoring.training.corpus import Row, row_weights
from monitor.scoring.training.sparse import CHUNK, matrix
from monitor.scoring.weights import Weights


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is not learned."""

    seed: int = 20
    strength: float = 1.0
    """Inverse of the regularisation of the verdicts' model."""
    evenness: float = 0.4
    dense_scale: float = 1.0
    refusal: float = 0.5
    partial: float = 0.5
    refuse_then_comply: float = 0.5


def answer_matrix(rows: Sequence[Row], dense_scale: float = 1.0) -> tuple[csr_matrix, NDArray[np.float32]]:
    """Hashed features, and structure features, of the rows' answers."""
    extractor = Extractor()
    parts, dense = [], []
    for begin in range(0, len(rows), CHUNK):
        chunk = rows[begin : begin + CHUNK]
        features = extractor.answers(tokenize([row.prompt for row in chunk]), [row.response for row in chunk])
        parts.append(matrix(features.hashed, len(chunk), BUCKETS))
        dense.append(features.dense)
    return vstack(parts, format="csr"), np.concatenate(dense) * np.float32(dense_scale)


def fit(train: Sequence[Row], valid: Sequence[Row], recipe: Recipe) -> Weights:
    """Weights from the training rows; temperatures from the validation rows."""
    rows = [*train, *augment(train, recipe.seed)]
    hashed, dense = answer_matrix(rows, recipe.dense_scale)
    model = LogisticRegression(C=recipe.strength, max_iter=300, tol=1e-3)
    labels = np.array([row.label for row in rows])
    model.fit(
        hstack([hashed, csr_matrix(dense)], format="csr"), labels, sample_weight=row_weights(rows, recipe.evenness)
    )
    coefficients = model.coef_.T.astype(np.float32)
    valid_hashed, valid_dense = answer_matrix(valid, recipe.dense_scale)
    logits = valid_hashed @ coefficients[:BUCKETS] + valid_dense @ coefficients[BUCKETS:] + model.intercept_
    temperature = fit_temperature(logits, np.array([row.label for row in valid]))
    return Weights(
        hashed=coefficients[:BUCKETS].astype(np.float16),
        dense=(coefficients[BUCKETS:] * recipe.dense_scale).astype(np.float32),
        bias=model.intercept_.astype(np.float32),
        settings=np.array([temperature, recipe.refusal, recipe.partial, recipe.refuse_then_comply], dtype=np.float32),
    )


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Temperature scaling (Guo et al. 2017): the temperature that makes the true labels most probable."""

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        chosen = scaled[np.arange(len(labels)), labels] - np.log(np.exp(scaled).sum(axis=1))
        return float(-chosen.mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))
