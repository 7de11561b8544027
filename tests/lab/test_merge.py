"""Merges are compared with the dense computation they stand for."""

from pathlib import Path

import numpy as np
import pytest

from monitor.lab import adapter, merge, tensors
from monitor.lab.adapter import LoraAdapter

MODULES = ("layers.18.self_attn.q_proj", "layers.29.mlp.down_proj")


def random_adapter(seed: int, rank: int = 3) -> LoraAdapter:
    rng = np.random.default_rng(seed)
    return LoraAdapter(
        {
            module: (
                rng.normal(size=(rank, 12)).astype(np.float32),
                rng.normal(size=(9, rank)).astype(np.float32),
            )
            for module in MODULES
        }
    )


def products(made: LoraAdapter) -> dict[str, np.ndarray]:
    return {m: b.astype(np.float64) @ a.astype(np.float64) for m, (a, b) in made.factors.items()}


def weighted_sum(parts: list[tuple[LoraAdapter, float]]) -> dict[str, np.ndarray]:
    """The dense update that an exact merge must reproduce."""
    modules = sorted({module for adapter, _ in parts for module in adapter.factors})
    return {
        module: np.sum(
            [
                scale * (adapter.factors[module][1].astype(np.float64) @ adapter.factors[module][0])
                for adapter, scale in parts
            ],
            axis=0,
        )
        for module in modules
    }


@pytest.mark.parametrize("method", ["cat", "svd"])
@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.7, 1.3), (2.0, -0.5)])
def test_exact_methods_give_the_weighted_sum(method: str, scales: tuple[float, float]) -> None:
    parts = [(random_adapter(1), scales[0]), (random_adapter(2, rank=2), scales[1])]
    made = merge.merge(method, parts)
    assert made.rank == 5
    for module, dense in weighted_sum(parts).items():
        np.testing.assert_allclose(products(made)[module], dense, atol=1e-5)


def test_a_truncated_svd_is_the_best_of_its_rank() -> None:
    parts = [(random_adapter(1), 1.0), (random_adapter(2), 1.0)]
    made = merge.merge("svd", parts, rank=4)
    for module, dense in weighted_sum(parts).items():
        left_out = np.linalg.svd(dense)[1][4:]
        error = np.linalg.norm(products(made)[module] - dense)
        assert error == pytest.approx(np.linalg.norm(left_out), rel=1e-4)


def test_linear_mixes_the_factors_and_so_holds_cross_terms() -> None:
    one, other = random_adapter(1), random_adapter(2)
    made = merge.merge("linear", [(one, 0.7), (other, 1.3)])
    for module in MODULES:
        a = np.sqrt(0.7) * one.factors[module][0] + np.sqrt(1.3) * other.factors[module][0]
        b = np.sqrt(0.7) * one.factors[module][1] + np.sqrt(1.3) * other.factors[module][1]
        np.testing.assert_allclose(products(made)[module], b @ a, atol=1e-4)


def test_ties_keeps_large_entries_of_the_elected_sign() -> None:
    one = LoraAdapter({"m": (np.array([[4.0, -3.0, 0.1, 0.2]], np.float32), np.eye(1, dtype=np.float32))})
    other = LoraAdapter({"m": (np.array([[2.0, 5.0, 0.3, 0.1]], np.float32), np.eye(1, dtype=np.float32))})
    made = merge.merge("ties", [(one, 1.0), (other, 1.0)])
    np.testing.assert_allclose(made.factors["m"][0], [[3.0, 5.0, 0.0, 0.0]])


def test_linear_refuses_parts_of_unequal_rank() -> None:
    with pytest.raises(ValueError, match="one rank"):
        merge.merge("linear", [(random_adapter(1, 2), 1.0), (random_adapter(2, 3), 1.0)])


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ValueError, match="'average'"):
        merge.merge("average", [(random_adapter(1), 1.0)])


def test_an_adapter_survives_the_disk_and_equal_tensors_give_equal_bytes(tmp_path: Path) -> None:
    made = random_adapter(7)
    adapter.save(made, tmp_path / "one")
    loaded = adapter.load(tmp_path / "one")
    for module, (a, b) in made.factors.items():
        np.testing.assert_allclose(loaded.factors[module][0], a, rtol=2**-8)
        np.testing.assert_allclose(loaded.factors[module][1], b, rtol=2**-8)
    adapter.save(loaded, tmp_path / "two")
    weights = [(tmp_path / name / adapter.WEIGHTS).read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_bfloat16_rounds_to_nearest_even() -> None:
    values = np.array([1.0, 1.00390625, 1.01171875, -2.5, 0.0], np.float32)
    back = tensors.from_bfloat16_bits(tensors.to_bfloat16_bits(values))
    np.testing.assert_array_equal(back, np.array([1.0, 1.0, 1.015625, -2.5, 0.0], np.float32))
