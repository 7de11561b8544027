"""`scorer train --tier exact`: fine-tune, export, and weigh the encoder against the linear model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import copytree
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
from monitor.scoring.training.calibrate import calibrate
from monitor.scoring.training.corpus import Row
from monitor.scoring.training.encoder_data import prune, row_passages
from monitor.scoring.training.encoder_export import export, write_calibration
from monitor.scoring.training.encoder_fit import EncoderRecipe, training_rows, tune
from monitor.scoring.training.encoder_head import head_rows, write_head
from monitor.scoring.training.encoder_model import load_base
from monitor.scoring.training.fit import Recipe, fit
from monitor.scoring.training.report import others_than, predictions, scores
from monitor.scoring.weights import CLASSES, save_weights

_EVEN = Calibration(tuple(tuple(row) for row in np.tile(np.eye(len(CLASSES)) / 2, (2, 1)).tolist()), (0.0,) * 4)


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


def refit_head(rows: Sequence[Row], trained: Path, output: Path, *, seed: int, linear: Path = SHIPPED_WEIGHTS) -> str:
    """Another head for a trained encoder, whose layers stay, and the calibration anew; the encoder's digest."""
    train = [row for row in rows if not row.valid]
    with TemporaryDirectory(dir=output.parent) as scratch:
        folder = Path(scratch)
        copytree(trained, folder, dirs_exist_ok=True)
        write_head(trained, head_rows(train, seed), folder)
        write_calibration(calibrated([row for row in rows if row.valid], folder, linear), folder)
        copytree(folder, output, dirs_exist_ok=True)
    return Encoder(output).digest


def calibrated(valid: Sequence[Row], folder: Path, weights: Path) -> Calibration:
    """The calibration of linear weights and the encoder of a folder on held rows."""
    linear = build_fast(ScoringSection(), weights).judge([Item(row.prompt, row.response) for row in valid])
    encoder = Encoder(folder).logits(row_passages(valid))
    labels: NDArray[np.int64] = np.array([row.label for row in valid])
    logits = np.stack([one.logits for one in linear])
    return calibrate(logits, encoder, labels, [row.prompt for row in valid])


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
