"""Fine-tunes the encoder on labelled rows: one thread, bfloat16 where the processor has it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn

from monitor.scoring.encoder import padded
from monitor.scoring.training.augment import augment, doubled
from monitor.scoring.training.corpus import Row, row_weights
from monitor.scoring.training.encoder_data import batches, row_ids
from monitor.scoring.training.encoder_model import EncoderModel


@dataclass(frozen=True, slots=True)
class EncoderRecipe:
    """What is not learned."""

    seed: int = 20
    draws: int = 24_000
    """Rows that are drawn, each with a chance in proportion to its weight, over the whole training."""
    batch: int = 24
    rate: float = 1e-4
    head_rate: float = 1e-3
    warm_up: float = 0.06
    frozen: int = 2
    """Lowest layers that stay as published, as does the vocabulary."""
    smoothing: float = 0.05
    evenness: float = 0.4
    decay: float = 0.01


def training_rows(train: Sequence[Row], recipe: EncoderRecipe) -> tuple[list[Row], NDArray[np.float64]]:
    """Real and derived rows, and the chance to draw each."""
    rows = [*train, *augment(train, recipe.seed), *doubled(train, recipe.seed)]
    weights = row_weights(rows, recipe.evenness)
    return rows, weights / weights.sum()


def tune(
    model: EncoderModel,
    tokenizer: Tokenizer,
    rows: Sequence[Row],
    chances: NDArray[np.float64],
    recipe: EncoderRecipe,
) -> None:
    """Trains the model in place."""
    torch.manual_seed(recipe.seed)
    chance = np.random.default_rng(recipe.seed)
    ids = row_ids(tokenizer, rows)
    labels = np.array([row.label for row in rows])
    order = chance.choice(len(rows), size=recipe.draws, p=chances)
    optimizer, schedule = _optimizer(model, recipe)
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    model.train()
    began, done, total = time.monotonic(), 0, 0.0
    for step, chosen in enumerate(batches(ids, order, recipe.batch, chance), 1):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(torch.from_numpy(padded([ids[row] for row in chosen])))
        loss = loss_of(logits.float(), torch.from_numpy(labels[chosen]))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        done += len(chosen)
        total += float(loss.detach())
        if step % 50 == 0:
            speed = done / (time.monotonic() - began)
            print(f"{done}/{recipe.draws} rows, loss {total / 50:.3f}, {speed:.1f} rows/s", file=sys.stderr, flush=True)
            total = 0.0
    model.eval()


def _optimizer(
    model: EncoderModel, recipe: EncoderRecipe
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    model.words.requires_grad_(False)
    model.places.requires_grad_(False)
    model.norm.requires_grad_(False)
    for layer in model.layers[: recipe.frozen]:
        layer.requires_grad_(False)
    body = [value for name, value in model.named_parameters() if value.requires_grad and not name.startswith("head")]
    optimizer = torch.optim.AdamW(
        [{"params": body, "lr": recipe.rate}, {"params": list(model.head.parameters()), "lr": recipe.head_rate}],
        weight_decay=recipe.decay,
        fused=True,
    )
    steps = recipe.draws / recipe.batch
    warm = max(recipe.warm_up * steps, 1)

    def share(step: int) -> float:
        return min((step + 1) / warm, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1))))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)
