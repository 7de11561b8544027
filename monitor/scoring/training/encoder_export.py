"""The trained encoder to the folder that scoring reads: int8 weights for onnxruntime, tokenizer, calibration."""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

import torch
from tokenizers import Tokenizer

from monitor.scoring.encoder import Calibration, quiet_onnxruntime
from monitor.scoring.training.encoder_model import EncoderModel

OPSET = 17


def export(model: EncoderModel, tokenizer: Tokenizer, calibration: Calibration, folder: Path) -> None:
    """Write `model.onnx`, `tokenizer.json` and `settings.json`.

    Weights take 7 of 8 bits: processors without VNNI add pairs of products in 16 bits, and would clip more than that.
    """
    quiet_onnxruntime()
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        plain, prepared = Path(scratch) / "plain.onnx", Path(scratch) / "prepared.onnx"
        write_plain(model, plain)
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantize_dynamic(
            str(prepared), str(folder / "model.onnx"), weight_type=QuantType.QInt8, per_channel=True, reduce_range=True
        )
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    write_calibration(calibration, folder)


def write_plain(model: EncoderModel, file: Path) -> None:
    """The model in 32-bit numbers, with a free number of texts and of tokens."""
    model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.ones((2, 7), dtype=torch.int64),),
            str(file),
            dynamo=False,
            opset_version=OPSET,
            input_names=["ids"],
            output_names=["logits"],
            dynamic_axes={"ids": {0: "texts", 1: "tokens"}, "logits": {0: "texts"}},
        )


def write_calibration(calibration: Calibration, folder: Path) -> None:
    """Replace `settings.json`."""
    (folder / "settings.json").write_text(json.dumps(asdict(calibration), indent=1) + "\n", encoding="utf-8")
