"""`scorer train --tier exact`: fine-tune, export, and weigh the encoder against the linear model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monitor.config.model import ScoringSection
from monitor.records import Item
from monitor.scoring.encoder import Calibration, Encoder
from monitor.scoring.linear import SHIPPED_WEIGHTS
from monitor.scoring.tiers import build_auto, build_fast
from monitor.scoring.training.calibrate import fit_calibration
from monitor.scoring.training.corpus import Row
from monitor.scoring.training.encoder_data import prune, row_passages
from monitor.scoring.training.encoder_export import export, write_calibration
from monitor.scoring.training.encoder_fit import EncoderRecipe, training_rows, tune
from monitor.scoring.training.encoder_model import load_base
from monitor.scoring.training.fit import Recipe, fit
from monitor.scoring.training.report import others_than, predictions, scores
from monitor.scoring.weights import save_weights

_EVEN = Calibration(0.5, 0.5, (0.0, 0.0, 0.0, 0.0))


def train_encoder(
    rows: Sequence[Row], base: Path, output: Path, *, seed: int, draws: int, linear: Path = SHIPPED_WEIGHTS
) -> str:
    """Train on the training fold, calibrate beside the `linear` weights on the validation fold, write the folder; the
    encoder's digest."""
    torch.set_num_threads(1)
    recipe = EncoderRecipe(seed=seed, draws=draws)
    train = [row for row in rows if not row.valid]
    every, chances = training_rows(train, recipe)
    tokenizer, kept = prune(base / "tokenizer.json", row_passages(every))
    model = load_base(base, kept, seed)
    tune(model, tokenizer, every, chances, recipe)
    export(model, tokenizer, _EVEN, output)
    write_calibration(calibrated([row for row in rows if row.valid], output, linear), output)
    return Encoder(output).digest


def calibrated(valid: Sequence[Row], folder: Path, weights: Path) -> Calibration:
    """The calibration of linear weights and the encoder of a folder on held rows."""
    linear = build_fast(ScoringSection(), weights).judge([Item(row.prompt, row.response) for row in valid])
    encoder = Encoder(folder).logits(row_passages(valid))
    labels: NDArray[np.int64] = np.array([row.label for row in valid])
    return fit_calibration(np.stack([one.logits for one in linear]), encoder, labels)


def without_source(rows: Sequence[Row], source: str, base: Path, *, seed: int, draws: int) -> dict[str, Any]:
    """Scores of the auto tier on a source that neither of its two models was trained or calibrated on."""
    others = others_than(source, rows)
    with TemporaryDirectory() as scratch:
        linear, folder = Path(scratch) / "linear.npz", Path(scratch) / "minilm"
        weights = fit([row for row in others if not row.valid], [row for row in others if row.valid], Recipe(seed=seed))
        save_weights(weights, linear)
        train_encoder(others, base, folder, seed=seed, draws=draws, linear=linear)
        held = [row for row in rows if row.source == source]
        verdicts = build_auto(ScoringSection(), linear, folder).score([Item(row.prompt, row.response) for row in held])
    return scores(np.array([row.label for row in held]), predictions(verdicts))
