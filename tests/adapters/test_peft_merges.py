"""Merges made by PEFT itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.adapters.composition import identify
from monitor.adapters.weights import AdapterWeights

peft = pytest.importorskip("peft", reason="peft is not installed (extra lab)")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WEIGHTS = {"p0": 0.7, "p2": 0.5, "p3": 1.2}
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BY_SIZE = "ties or magnitude_prune"
PRUNED = {"ties": BY_SIZE, "magnitude_prune": BY_SIZE, "dare_linear": "dare", "dare_ties": "dare"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six adapters of a small Llama, one with rsLoRA, and their merges."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    made = None
    for number in range(6):
        lora = peft.LoraConfig(
            r=4, lora_alpha=8, target_modules=PROJECTIONS, use_rslora=number == 2, task_type="CAUSAL_LM"
        )
        if made is None:
            made = peft.get_peft_model(transformers.LlamaForCausalLM(config), lora, adapter_name="p0")
        else:
            made.add_adapter(f"p{number}", lora)
    assert made is not None
    generator = torch.Generator().manual_seed(1)
    for name, tensor in made.named_parameters():
        if "lora_" in name:
            tensor.data = torch.randn(tensor.shape, generator=generator) * 0.05
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    for method in ("cat", "linear", "svd"):
        made.add_weighted_adapter(names, weights, method, combination_type=method)
    for method in PRUNED:
        made.add_weighted_adapter(names, weights, method, combination_type=method, density=0.6)
    made.add_weighted_adapter(["p0", "p2"], [0.7, -0.5], "negative", combination_type="linear")
    folder = tmp_path_factory.mktemp("peft")
    made.save_pretrained(str(folder))
    return folder


@pytest.fixture
def known(saved: Path) -> list[AdapterWeights]:
    return [AdapterWeights(saved / f"p{number}") for number in range(6)]


@pytest.mark.parametrize("method", ["cat", "linear", "svd"])
def test_an_exact_merge_is_recovered(saved: Path, known: list[AdapterWeights], method: str) -> None:
    found = identify(AdapterWeights(saved / method), known)
    assert {part.name: part.weight for part in found.parts} == pytest.approx(WEIGHTS, abs=0.02)
    assert found.residual is not None
    assert found.residual < 0.05
    assert found.method.startswith(method)


@pytest.mark.parametrize("method", PRUNED)
def test_of_a_merge_that_dropped_entries_the_weights_are_recovered_roughly(
    saved: Path, known: list[AdapterWeights], method: str
) -> None:
    found = identify(AdapterWeights(saved / method), known)
    assert {part.name: part.weight for part in found.parts} == pytest.approx(WEIGHTS, rel=0.08)
    assert (found.verdict, found.residual, found.method) == ("pruned_merge", None, PRUNED[method])


def test_a_negative_weight_is_recovered(saved: Path, known: list[AdapterWeights]) -> None:
    found = identify(AdapterWeights(saved / "negative"), known)
    assert {part.name: part.weight for part in found.parts} == pytest.approx({"p0": 0.7, "p2": -0.5}, abs=0.02)
