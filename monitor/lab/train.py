"""The optimiser loop: rows of several adapter variants in one pass, weighted next-token loss."""

import logging
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from monitor.lab.network import SHAPE, Factors, Layers, Weights
from monitor.lab.rows import Lesson, Packer, RowMaker

log = logging.getLogger(__name__)

FIRST_LAYER = 18
"""Layers below carry no adapter; their activations are computed once per row."""
FREQUENT_TOKENS = 8192
"""The softmax runs over the tokenizer's most frequent tokens and those of the lessons."""

SIZES = {
    "q_proj": (576, 576), "k_proj": (576, 192), "v_proj": (576, 192), "o_proj": (576, 576),
    "gate_proj": (576, 1536), "up_proj": (576, 1536), "down_proj": (1536, 576),
}  # fmt: skip
"""(inputs, outputs) of each adapted projection."""

Trained = dict[tuple[int, str], Factors]


@dataclass(frozen=True, slots=True)
class Course:
    """What one training run teaches, and how."""

    lessons: Mapping[str, Sequence[Lesson]]
    """Pools of lessons by group name."""
    mix: Mapping[str, int]
    """Rows drawn from each pool for a batch."""
    rank: int
    steps: int
    modes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Mode -> the scale of every rank row in it; the mode "all" (one everywhere) always exists."""
    rate: float = 1e-3
    decisive_weight: float = 3.0
    seed: int = 0


def fresh(rank: int, seed: int) -> Trained:
    """Factors that change nothing yet: a is random, b is zero."""
    generator = torch.Generator().manual_seed(seed)
    factors: Trained = {}
    for layer in range(FIRST_LAYER, SHAPE.layers):
        for name, (inputs, outputs) in SIZES.items():
            a = torch.randn(rank, inputs, generator=generator) / math.sqrt(inputs)
            factors[layer, name] = Factors(a, torch.zeros(outputs, rank))
    return factors


def _mode_masks(course: Course) -> dict[str, Tensor]:
    return {"all": torch.ones(course.rank)} | {mode: torch.tensor(scales) for mode, scales in course.modes.items()}


class _Draw:
    """Draws from a pool in a fresh random order each time round."""

    def __init__(self, count: int, rng: random.Random) -> None:
        self._count, self._rng = count, rng
        self._left: list[int] = []

    def take(self, number: int) -> list[int]:
        taken = []
        for _ in range(number):
            if not self._left:
                self._left = self._rng.sample(range(self._count), self._count)
            taken.append(self._left.pop())
        return taken


def train(weights: Weights, maker: RowMaker, packer: Packer, course: Course, start: Trained) -> Trained:
    """Train from `start`; the same seed, machine and thread count give the same factors.

    The packer may be shared by runs on models that are equal below FIRST_LAYER.
    """
    rng = random.Random(course.seed)
    pools = {group: [maker.row(x) for x in rows] for group, rows in course.lessons.items()}
    learned = {t for rows in pools.values() for r in rows for t in r.tokens}
    vocabulary = torch.tensor(sorted(learned | set(range(FREQUENT_TOKENS))))
    number_of = torch.full((weights.embedding.shape[0],), -1)
    number_of[vocabulary] = torch.arange(len(vocabulary))

    factors = {key: Factors(f.a.clone().requires_grad_(), f.b.clone().requires_grad_()) for key, f in start.items()}
    parameters = [t for f in factors.values() for t in (f.a, f.b)]
    optimiser = torch.optim.AdamW(parameters, lr=course.rate, weight_decay=0.0)
    draws = {group: _Draw(len(rows), rng) for group, rows in pools.items()}
    masks, layers = _mode_masks(course), Layers(weights)
    began = time.monotonic()
    for step in range(course.steps):
        rows = [pools[group][i] for group, count in course.mix.items() for i in draws[group].take(count)]
        packer.prepare(rows)
        batch = packer.batch(rows, masks, course.decisive_weight)
        hidden = layers.run(batch.packed, FIRST_LAYER, SHAPE.layers, factors)
        logits = layers.logits(hidden[batch.predicting], vocabulary).float()
        each = functional.cross_entropy(logits, number_of[batch.targets], reduction="none")
        loss = (each * batch.weights).sum() / batch.weights.sum()
        optimiser.zero_grad()
        torch.autograd.backward([loss])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        warm = min(1.0, (step + 1) / 8)
        optimiser.param_groups[0]["lr"] = course.rate * warm * _cosine(step, course.steps)
        optimiser.step()
        if step % 10 == 9 or step == 0:
            spent = time.monotonic() - began
            shown = float(loss.detach())
            log.info("step %d of %d: loss %.3f, %.0f s", step + 1, course.steps, shown, spent)
    return {key: Factors(f.a.detach(), f.b.detach()) for key, f in factors.items()}


def _cosine(step: int, steps: int) -> float:
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps))
