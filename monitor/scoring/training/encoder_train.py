"""`scorer train --tier exact`: fine-tune, export, and weigh the encoder against the linear model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from monitor.config.model import ScoringSection
from monitor.records import Item
from monitor.scoring.encoder import Calibration, Encoder
from monitor.scoring.tiers import build_fast
from monitor.scoring.training.calibrate import fit_calibration
from monitor.scoring.training.corpus import Row
from monitor.scoring.training.encoder_data import prune, row_passages
from monitor.scoring.training.encoder_export import export, write_calibration
from monitor.scoring.training.encoder_fit import EncoderRecipe, training_rows, tune
from monitor.scoring.training.encoder_model import load_base

_EVEN = Calibration(0.5, 0.5, (0.0, 0.0, 0.0, 0.0))


def train_encoder(rows: Sequence[Row], base: Path, output: Path, *, seed: int, draws: int) -> str:
    """Train on the training fold, calibrate on the validation fold, write the folder; the encoder's digest."""
    torch.set_num_threads(1)
    recipe = EncoderRecipe(seed=seed, draws=draws)
    train = [row for row in rows if not row.valid]
    every, chances = training_rows(train, recipe)
    tokenizer, kept = prune(base / "tokenizer.json", row_passages(every))
    model = load_base(base, kept, seed)
    tune(model, tokenizer, every, chances, recipe)
    export(model, tokenizer, _EVEN, output)
    write_calibration(calibrated([row for row in rows if row.valid], output), output)
    return Encoder(output).digest


def calibrated(valid: Sequence[Row], folder: Path) -> Calibration:
    """The calibration of the shipped linear model and the encoder of a folder on held rows."""
    linear = build_fast(ScoringSection()).judge([Item(row.prompt, row.response) for row in valid])
    encoder = Encoder(folder).logits(row_passages(valid))
    labels: NDArray[np.int64] = np.array([row.label for row in valid])
    return fit_calibration(np.stack([one.logits for one in linear]), encoder, labels)
