"""A trained encoder's last layer alone, fitted anew: minutes where the whole encoder takes most of an hour.

It is pulled to the head that it replaces, so that what the derived rows have in common is learned and little else is lost.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from scipy.optimize import minimize

from monitor.scoring.encoder import Encoder, log_chances, padded, quiet_onnxruntime
from monitor.scoring.training.augment import augment, doubled
from monitor.scoring.training.corpus import Row
from monitor.scoring.training.encoder_data import row_ids
from monitor.scoring.weights import CLASSES

_WEIGHT, _SCALE, _BIAS = "head.weight_Transposed_quantized", "head.weight_Transposed_scale", "head.bias"
"""The head's numbers in an exported encoder (`encoder_export`)."""
_STEPS = 63
"""Largest of the head's integers: 7 bits of 8, as in the other layers."""
_PULL = 0.01
"""Of 0.1, 0.01 and 0.001, by the log-likelihood of the calibrated validation rows: beyond it gets worse."""
_SMOOTHING = 0.05
_MOST = 160
_MOST_DERIVED = 120
_MOST_TURNING = 350
"""Rows of one source and label: real ones, derived ones, and derived ones of two speakers or with a bridge."""
_BATCH = 8


def head_rows(train: Sequence[Row], seed: int) -> list[Row]:
    """Some of the training rows of each source and label, and derived rows."""
    chance = random.Random(seed)
    real, derived = list(train), [*augment(train, seed), *doubled(train, seed)]
    chance.shuffle(real)
    chance.shuffle(derived)
    taken: Counter[tuple[str, int]] = Counter()
    chosen = []
    for row, kind in [*((row, row.source) for row in real), *((row, _kind(row)) for row in derived)]:
        most = _MOST_TURNING if kind in {"+doubled", "+bridged"} else _MOST_DERIVED if kind[0] == "+" else _MOST
        if taken[kind, row.label] < most:
            taken[kind, row.label] += 1
            chosen.append(row)
    return chosen


def _kind(derived: Row) -> str:
    return f"+{derived.source.partition('_')[0]}"


def write_head(trained: Path, rows: Sequence[Row], folder: Path) -> None:
    """Fit the head of the encoder in `trained` on rows; write the encoder with it into `folder`."""
    model = onnx.load(str(trained / "model.onnx"))
    numbers = {one.name: one for one in model.graph.initializer}
    known = pooled(model, trained, rows)
    weight = numpy_helper.to_array(numbers[_WEIGHT]).astype(np.float64) * numpy_helper.to_array(numbers[_SCALE])
    bias = numpy_helper.to_array(numbers[_BIAS]).astype(np.float64)
    weight, bias = _fit(known, rows, weight, bias)
    scale = np.abs(weight).max(axis=0) / _STEPS
    for name, values in (
        (_WEIGHT, np.round(weight / scale).astype(np.int8)),
        (_SCALE, scale.astype(np.float32)),
        (_BIAS, bias.astype(np.float32)),
    ):
        numbers[name].CopyFrom(numpy_helper.from_array(values, name))
    onnx.save(model, str(folder / "model.onnx"))


def pooled(model: onnx.ModelProto, trained: Path, rows: Sequence[Row]) -> NDArray[np.float64]:
    """What the head sees of each row: the first token's and the mean state."""
    named = {output: node for node in model.graph.node for output in node.output}
    reads = next(node for node in model.graph.node if _WEIGHT in node.input)
    name = named[reads.input[0]].input[0]
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    exposed.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session: Any = quiet_onnxruntime().InferenceSession(exposed.SerializeToString(), providers=["CPUExecutionProvider"])
    ids = row_ids(Encoder(trained).tokenizer, rows)
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    states: dict[int, NDArray[np.float32]] = {}
    for begin in range(0, len(order), _BATCH):
        chosen = order[begin : begin + _BATCH]
        states |= zip(chosen, session.run([name], {"ids": padded([ids[row] for row in chosen])})[0], strict=True)
    return np.stack([states[row] for row in range(len(ids))]).astype(np.float64)


def _fit(
    known: NDArray[np.float64], rows: Sequence[Row], weight: NDArray[np.float64], bias: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    share = np.array([row.factor for row in rows])
    share = (share / share.sum())[:, None]
    true = np.eye(len(CLASSES))[[row.label for row in rows]] * (1 - _SMOOTHING) + _SMOOTHING / len(CLASSES)

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        moved = values[: weight.size].reshape(weight.shape)
        chances = log_chances(known @ (weight + moved) + bias + values[weight.size :])
        excess = share * (np.exp(chances) - true)
        total = -(share * true * chances).sum() + _PULL * (moved**2).sum()
        return float(total), np.concatenate([(known.T @ excess + 2 * _PULL * moved).ravel(), excess.sum(axis=0)])

    start = np.zeros(weight.size + bias.size)
    moved = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return weight + moved[: weight.size].reshape(weight.shape), bias + moved[weight.size :]
