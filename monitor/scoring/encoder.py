"""The exact tier's model: a small transformer in int8 for onnxruntime, over passages of the answer.

Everything it needs lies in one folder: `model.onnx`, `tokenizer.json`, and `settings.json` with the calibration. The
libraries are the optional extra `encoder` and are imported only when the encoder is built.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.scoring.passages import PROMPT_TOKENS, Passages, assemble
from monitor.scoring.weights import CLASSES, WeightsError

SHIPPED_ENCODER = Path(__file__).with_name("minilm")
FILES = ("model.onnx", "tokenizer.json", "settings.json")
BATCH = 8
"""Texts of about the same length that are computed at once; more does not pay on one core."""


class EncoderUnavailableError(WeightsError):
    """The encoder cannot be used here; the message says what to install or what is wrong with which file."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the two models' opinions become one probability (fitted on the validation fold)."""

    weights: tuple[tuple[float, ...], ...]
    """Per opinion (the linear model's log-probability of each class, then the encoder's) its weight for each class."""
    bias: tuple[float, ...]
    """Per class, in the order of `CLASSES`."""
    refusal: float = 0.5
    """Probability from which on an answer refuses, fully or in part."""
    partial: float = 0.5
    """Share of the refusing probability from which on a refusal is partial."""
    refuse_then_comply: float = 0.55
    """Share of the rest from which on an answer turned; above a half, because a rare event has to be confirmed."""

    def __post_init__(self) -> None:
        """Raises ValueError for weights of another shape."""
        if np.shape(self.weights) != (2 * len(CLASSES), len(CLASSES)) or len(self.bias) != len(CLASSES):
            raise ValueError(f"a calibration of {np.shape(self.weights)} weights and {len(self.bias)} biases")

    def chances(self, linear: NDArray[np.float32], encoder: NDArray[np.float32]) -> NDArray[np.float64]:
        """Texts x classes, from both models' logits."""
        return np.exp(log_chances(opinions(linear, encoder) @ np.array(self.weights) + np.array(self.bias)))


def opinions(linear: NDArray[np.float32], encoder: NDArray[np.float32]) -> NDArray[np.float64]:
    """Both models' log-probabilities side by side: texts x twice the classes."""
    return np.concatenate([log_chances(linear), log_chances(encoder)], axis=1)


def log_chances(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Logarithms of the softmax of each row."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), dtype=np.float64)


class Encoder:
    """Passages to logits; one thread."""

    def __init__(self, folder: Path) -> None:
        """Raises EncoderUnavailableError."""
        try:
            onnxruntime = quiet_onnxruntime()
            from tokenizers import Tokenizer
        except ImportError as error:
            raise EncoderUnavailableError(
                f"the exact tier needs {error.name}: install the extra `encoder` (pip install 'vllm-alignment-monitor[encoder]')"
            ) from error
        try:
            contents = {name: (folder / name).read_bytes() for name in FILES}
            self.calibration = _calibration(json.loads(contents["settings.json"]))
            self.tokenizer = Tokenizer.from_str(contents["tokenizer.json"].decode("utf-8"))
            self._session = onnxruntime.InferenceSession(
                contents["model.onnx"], _options(onnxruntime), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the libraries raise their own kinds, up to a bare Exception
            raise EncoderUnavailableError(f"{folder}: not an encoder: {error}") from error
        self.digest = hashlib.sha256(b"".join(contents[name] for name in FILES)).hexdigest()[:12]

    def logits(self, texts: Sequence[Passages]) -> NDArray[np.float32]:
        """Texts x classes, in the texts' order; batches hold texts of about the same length."""
        ids = token_ids(self.tokenizer, texts)
        result = np.zeros((len(ids), len(CLASSES)), dtype=np.float32)
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        for begin in range(0, len(order), BATCH):
            chosen = order[begin : begin + BATCH]
            result[chosen] = self._session.run(None, {"ids": padded([ids[row] for row in chosen])})[0]
        return result


def quiet_onnxruntime() -> Any:
    """The module onnxruntime, which neither reports to its vendor nor writes below HOME; every import of it goes through here.

    From 1.29 on its Linux builds send what sessions are made of to the vendor unless this variable stands before the import
    (its docs/Privacy.md); the call alone comes after the first event. Whatever the variable was, it is set. Raises ImportError.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def token_ids(tokenizer: Any, texts: Sequence[Passages]) -> list[list[int]]:
    """The encoder's inputs: token ids of the prompt and of each passage, between BERT's own marks."""
    first, gap = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    flat = [_encodable(part) for each in texts for part in (each.prompt, *each.answer)]
    encoded = iter(tokenizer.encode_batch_fast(flat, add_special_tokens=False))
    return [
        assemble(next(encoded).ids[:PROMPT_TOKENS], [next(encoded).ids for _ in each.answer], each.limits(), first, gap)
        for each in texts
    ]


def padded(ids: Sequence[list[int]]) -> NDArray[np.int64]:
    """Texts x tokens, zeros behind each text's end."""
    block = np.zeros((len(ids), max(map(len, ids))), dtype=np.int64)
    for row, one in zip(block, ids, strict=True):
        row[: len(one)] = one
    return block


def _encodable(text: str) -> str:
    """Lone surrogates, which JSON can carry, are no characters to the tokenizer."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _options(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return options


def _calibration(settings: dict[str, Any]) -> Calibration:
    weights = tuple(tuple(map(float, row)) for row in settings["weights"])
    return Calibration(**settings | {"weights": weights, "bias": tuple(map(float, settings["bias"]))})
