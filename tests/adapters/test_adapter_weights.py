"""Reading adapters' files: every way to store factors and scales, and everything that must be refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from made_adapters import INPUTS, MODULES, drawn, write

from monitor.adapters.weights import AdapterFilesError, AdapterWeights
from monitor.lab import adapter as lab_adapter

MODULE = f"model.{MODULES[0]}"
LAB = Path(lab_adapter.__file__).parent / "adapters"


def update(weights: AdapterWeights, module: str) -> np.ndarray:
    a, b = weights.factors(module)
    return b @ a


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 0), (np.float32, 1e-6), (np.float16, 1e-2)])
def test_every_float_type_is_read_in_double_precision(tmp_path: Path, dtype: type, tolerance: float) -> None:
    factors = drawn(1)
    weights = AdapterWeights(write(tmp_path / "one", factors, dtype))
    a, b = weights.factors(MODULE)
    assert a.dtype == b.dtype == np.float64
    np.testing.assert_allclose(b @ a, factors[MODULES[0]][1] @ factors[MODULES[0]][0], atol=tolerance * 40)


def test_bfloat16_is_read_as_the_lab_wrote_it() -> None:
    weights, expected = AdapterWeights(LAB / "alpha"), lab_adapter.load(LAB / "alpha")
    assert len(weights.modules) == len(expected.factors) == 84
    for module, (a, b) in expected.factors.items():
        np.testing.assert_array_equal(weights.factors(f"model.{module}")[0], a)
        np.testing.assert_array_equal(weights.factors(f"model.{module}")[1], b)


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"r": 4, "lora_alpha": 4}, 1.0),
        ({"r": 4, "lora_alpha": 16}, 4.0),
        ({"r": 4, "lora_alpha": 16, "use_rslora": True}, 8.0),
        ({"r": 8, "lora_alpha": 8, "rank_pattern": {"q_proj": 4}}, 2.0),
        ({"r": 4, "lora_alpha": 8, "alpha_pattern": {r"layers\.0\.self_attn\.q_proj": 2}}, 0.5),
        ({"r": 4, "lora_alpha": 8, "alpha_pattern": {"up_proj": 2, "proj": 3}}, 2.0),
    ],
)
def test_the_scale_is_peft_s(tmp_path: Path, config: dict[str, object], scale: float) -> None:
    factors = drawn(1)
    weights = AdapterWeights(write(tmp_path / "one", factors, np.float64, **config))
    a, b = factors[MODULES[0]]
    np.testing.assert_allclose(update(weights, MODULE), scale * b @ a)


def test_what_is_no_factor_is_named(tmp_path: Path) -> None:
    extra = {
        f"base_model.model.model.{MODULES[0]}.lora_magnitude_vector.weight": np.ones(40, np.float32),
        "base_model.model.lm_head.weight": np.ones((4, 4), np.float32),
        f"base_model.model.model.{MODULES[0]}.bias": np.ones(40, np.float32),
    }
    weights = AdapterWeights(write(tmp_path / "one", drawn(1), extra=extra, use_dora=True))
    assert [kind.partition(" (")[0].partition(":")[0] for kind in weights.unhandled] == [
        "DoRA magnitude vectors", "bias", "modules saved whole",
    ]  # fmt: skip


def test_factors_of_an_embedding_are_factors(tmp_path: Path) -> None:
    extra = {
        "base_model.model.model.embed_tokens.lora_embedding_A": np.ones((4, 100), np.float32),
        "base_model.model.model.embed_tokens.lora_embedding_B": np.ones((INPUTS, 4), np.float32),
    }
    weights = AdapterWeights(write(tmp_path / "one", drawn(1), extra=extra))
    assert weights.unhandled == ()
    assert update(weights, "model.embed_tokens").shape == (INPUTS, 100)


def test_a_pickle_is_refused_and_never_opened(tmp_path: Path) -> None:
    folder, touched = write(tmp_path / "one", drawn(1)), tmp_path / "touched"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (touched,)

    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(AdapterFilesError, match=r"adapter_model\.bin: a pickle can run code and is never opened"):
        AdapterWeights(folder)
    (folder / "adapter_model.bin").rename(folder / "adapter_model.safetensors")
    with pytest.raises(AdapterFilesError, match="not a whole safetensors file"):
        AdapterWeights(folder)
    assert not touched.exists()


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", drawn(1))
    file = folder / "adapter_model.safetensors"
    whole = file.read_bytes()
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(AdapterFilesError, match=r"adapter_model\.safetensors"):
            AdapterWeights(folder)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (None, "there is none, so"),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"peft_type": "IA3"}', "peft_type is 'IA3'"),
        ('{"r": 0, "lora_alpha": 1}', "give no scale"),
        ('{"r": "many"}', "are not numbers"),
        ('{"r": 4, "alpha_pattern": {"(": 1}}', "are not numbers"),
    ],
)
def test_a_configuration_that_says_nothing_useful_is_named(tmp_path: Path, config: str | None, problem: str) -> None:
    folder = write(tmp_path / "one", drawn(1))
    (folder / "adapter_config.json").unlink()
    if config is not None:
        (folder / "adapter_config.json").write_text(config)
    with pytest.raises(AdapterFilesError, match=problem):
        AdapterWeights(folder)


def test_factors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    a, b = drawn(1)[MODULES[0]]
    with pytest.raises(AdapterFilesError, match="factors of ranks 4 and 3"):
        AdapterWeights(write(tmp_path / "one", {MODULES[0]: (a, b[:, :3])}))
    lone = {"base_model.model.model.x.lora_A.weight": np.ones((4, 4), np.float32)}
    with pytest.raises(AdapterFilesError, match=r"model\.x has only one of its two factors"):
        AdapterWeights(write(tmp_path / "two", drawn(1), extra=lone))
    with pytest.raises(AdapterFilesError, match="has a factor without numbers"):
        AdapterWeights(write(tmp_path / "three", {MODULES[0]: (a[:0], b[:, :0])}, r=4))


def test_a_config_of_any_size_is_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", drawn(1))
    (folder / "adapter_config.json").write_text(json.dumps({"x": "y" * 5_000_000}))
    with pytest.raises(AdapterFilesError, match="longer than"):
        AdapterWeights(folder)
