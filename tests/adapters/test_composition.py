"""Merges are made with every method and found again, among real and drawn adapters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_adapters import MODULES, drawn, refactored, summed, write

from monitor.adapters.composition import Composition, identify
from monitor.adapters.gram import Gram
from monitor.adapters.weights import AdapterWeights
from monitor.lab import adapter as lab_adapter
from monitor.lab import merge

LAB = Path(lab_adapter.__file__).parent / "adapters"


@pytest.fixture(scope="module")
def lab() -> list[AdapterWeights]:
    return [AdapterWeights(folder) for folder in sorted(LAB.iterdir())]


def weights_of(found: Composition) -> dict[str, float | None]:
    return {part.name: part.weight for part in found.parts}


def lab_merge(folder: Path, method: str, parts: dict[str, float], rank: int | None = None) -> AdapterWeights:
    loaded = [(lab_adapter.load(LAB / name), scale) for name, scale in parts.items()]
    lab_adapter.save(merge.merge(method, loaded, rank), folder)
    return AdapterWeights(folder)


def recovered(found: Composition, parts: dict[str, float], tolerance: float = 0.02) -> None:
    assert weights_of(found) == pytest.approx(parts, abs=tolerance)


COMPOSITIONS = [
    {"alpha": 0.7, "beta": 1.3},
    {"gamma": 1.0, "delta": 1.0},
    {"alpha": 1.0, "beta": -0.5},
    {"alpha": 0.5, "theta": 0.5, "delta": 0.8},
]


@pytest.mark.parametrize("parts", COMPOSITIONS, ids=lambda parts: "+".join(parts))
@pytest.mark.parametrize("method", ["cat", "svd", "linear"])
def test_merges_of_trained_adapters_are_found_among_their_relatives(
    lab: list[AdapterWeights], tmp_path: Path, method: str, parts: dict[str, float]
) -> None:
    found = identify(lab_merge(tmp_path / "made", method, parts), lab)
    recovered(found, parts)
    assert (found.verdict, found.confidence, found.method) == ("merge", "high", method)
    assert found.residual is not None
    assert found.residual < 0.05


@pytest.mark.parametrize("parts", COMPOSITIONS, ids=lambda parts: "+".join(parts))
def test_a_ties_merge_gives_its_weights_but_not_its_update(
    lab: list[AdapterWeights], tmp_path: Path, parts: dict[str, float]
) -> None:
    found = identify(lab_merge(tmp_path / "made", "ties", parts), lab)
    recovered(found, parts)
    assert (found.verdict, found.confidence, found.residual) == ("pruned_merge", "medium", None)
    assert found.method == "ties or magnitude_prune"


@pytest.mark.parametrize(("parts", "rank"), [(COMPOSITIONS[0], 4), ({"alpha": 0.7, "beta": 1.3, "eta": 1.0}, 8)])
def test_a_merge_that_was_cut_to_a_lower_rank_still_gives_its_weights(
    lab: list[AdapterWeights], tmp_path: Path, parts: dict[str, float], rank: int
) -> None:
    found = identify(lab_merge(tmp_path / "made", "svd", parts, rank), lab)
    recovered(found, parts)
    assert found.method == f"svd, cut to rank {rank}"


def test_parts_of_different_ranks_and_a_sum_of_near_twins_are_told_apart(
    lab: list[AdapterWeights], tmp_path: Path
) -> None:
    parts = {"kappa": 0.5, "eta": 0.9, "theta": 1.1}
    recovered(identify(lab_merge(tmp_path / "ranks", "cat", parts), lab), parts)
    twins = {"kappa": 0.5, "lambda": 0.5}  # their cosine is 0.98
    recovered(identify(lab_merge(tmp_path / "twins", "cat", twins), lab), twins)


def test_trained_adapters_are_not_made_of_each_other_however_related(lab: list[AdapterWeights]) -> None:
    for one in lab:
        found = identify(one, [other for other in lab if other is not one])
        assert (found.verdict, found.parts, found.contained_in) == ("unexplained", (), ()), found.sentence()
        assert found.nearest


@pytest.mark.parametrize("method", ["cat", "svd"])
def test_a_known_adapter_inside_an_unknown_rest_is_found_with_its_weight(
    lab: list[AdapterWeights], tmp_path: Path, method: str
) -> None:
    made = lab_merge(tmp_path / "made", method, {"alpha": 0.7, "beta": 1.3})
    found = identify(made, [one for one in lab if one.name != "beta"])
    assert (found.verdict, found.confidence) == ("contains", "medium")
    recovered(found, {"alpha": 0.7})
    assert "something unknown" in found.sentence()


def test_an_adapter_that_a_known_one_holds_is_told_so(lab: list[AdapterWeights], tmp_path: Path) -> None:
    made = lab_merge(tmp_path / "made", "cat", {"alpha": 0.7, "beta": 1.3})
    alpha = next(one for one in lab if one.name == "alpha")
    found = identify(alpha, [made, *(one for one in lab if one.name not in ("alpha", "beta"))])
    assert found.contained_in == ("made",)


def test_fewer_modules_are_a_subset_with_the_share_that_they_cover(lab: list[AdapterWeights], tmp_path: Path) -> None:
    alpha = lab_adapter.load(LAB / "alpha")
    half = {module: pair for module, pair in alpha.factors.items() if int(module.split(".")[1]) < 24}
    lab_adapter.save(lab_adapter.LoraAdapter(half), tmp_path / "half")
    found = identify(AdapterWeights(tmp_path / "half"), lab)
    assert found.verdict == "subset"
    recovered(found, {"alpha": 1.0}, 0.001)
    assert 0.3 < found.parts[0].coverage < 0.7


def test_a_linear_merge_that_was_factored_anew_is_still_found(lab: list[AdapterWeights], tmp_path: Path) -> None:
    made = merge.merge("linear", [(lab_adapter.load(LAB / name), scale) for name, scale in COMPOSITIONS[0].items()])
    lab_adapter.save(merge.merge("svd", [(made, 1.0)]), tmp_path / "made")
    found = identify(AdapterWeights(tmp_path / "made"), lab)
    recovered(found, COMPOSITIONS[0])
    assert found.method == "linear, refactored"


def library(folder: Path, count: int, rank: int = 4) -> list[AdapterWeights]:
    return [AdapterWeights(write(folder / f"k{seed}", drawn(seed, rank))) for seed in range(count)]


def test_five_of_fifty_are_found_with_no_false_part_in_any_form(tmp_path: Path) -> None:
    known = library(tmp_path, 50)
    chosen = {"k3": 0.7, "k11": 1.3, "k17": 0.4, "k29": -0.6, "k41": 1.0}
    parts = [(drawn(int(name[1:])), weight) for name, weight in chosen.items()]
    whole = summed(parts)
    linear = {
        module: (
            np.sum([np.sqrt(abs(weight)) * factors[module][0] for factors, weight in parts], axis=0),
            np.sum([np.sign(weight) * np.sqrt(abs(weight)) * factors[module][1] for factors, weight in parts], axis=0),
        )
        for module in MODULES
    }
    for name, factors, dtype in (
        ("cat", whole, np.float32), ("half", whole, np.float16), ("svd", refactored(whole, 20), np.float32),
        ("cut to 10", refactored(whole, 10), np.float32), ("cut to 4", refactored(whole, 4), np.float32),
        ("linear", linear, np.float16), ("linear anew", refactored(linear, 4), np.float32),
    ):  # fmt: skip
        found = identify(AdapterWeights(write(tmp_path / "made" / name, factors, dtype)), known)
        recovered(found, chosen)
        assert found.residual is not None
        assert found.residual < 0.05, name


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ranks=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    weights=st.lists(st.floats(0.2, 2).flatmap(lambda size: st.sampled_from([size, -size])), min_size=4, max_size=4),
    alpha=st.sampled_from([1, 4, 16]),
    rslora=st.booleans(),
    fewer=st.booleans(),
)
def test_any_ranks_scales_and_modules_are_recovered(
    tmp_path_factory: pytest.TempPathFactory,
    ranks: Sequence[int],
    weights: Sequence[float],
    alpha: int,
    rslora: bool,
    fewer: bool,
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    known, parts = [], []
    for number, rank in enumerate(ranks):
        modules = MODULES[:6] if fewer and number == 0 else MODULES
        factors = drawn(100 + number, rank, modules)
        known.append(
            AdapterWeights(write(folder / f"k{number}", factors, np.float64, lora_alpha=alpha, use_rslora=rslora))
        )
        scale = alpha / np.sqrt(rank) if rslora else alpha / rank
        parts.append(({m: (a, scale * b) for m, (a, b) in factors.items()}, weights[number]))
    known += [AdapterWeights(write(folder / f"other{n}", drawn(200 + n, 3), np.float64)) for n in range(4)]
    total = sum(ranks)
    made = write(folder / "made", summed(parts), np.float64, r=total, lora_alpha=total)
    if fewer:  # modules of fewer parts have a lower rank
        made = write(folder / "made", summed(parts), np.float64, r=1, lora_alpha=1, rank_pattern={})
        assert AdapterWeights(made).rank(f"model.{MODULES[-1]}") == total - ranks[0]
    found = identify(AdapterWeights(made), known)
    recovered(found, {f"k{number}": weights[number] for number in range(len(ranks))}, 0.001)


def test_a_copy_a_scaled_copy_and_a_twin_are_told(tmp_path: Path) -> None:
    known = library(tmp_path, 6)
    twin = {m: (a + 1e-4, b) for m, (a, b) in drawn(2).items()}
    known.append(AdapterWeights(write(tmp_path / "twin", twin)))
    same = identify(AdapterWeights(write(tmp_path / "copy", drawn(2))), known)
    assert same.verdict == "same"
    assert {same.parts[0].name, *same.parts[0].same_as} == {"k2", "twin"}
    scaled = identify(AdapterWeights(write(tmp_path / "scaled", drawn(3), lora_alpha=2)), known)
    assert (scaled.verdict, weights_of(scaled)) == ("scaled", {"k3": pytest.approx(0.5, abs=0.001)})


def test_weights_that_differ_by_module_are_said_to(tmp_path: Path) -> None:
    known = library(tmp_path, 4)
    one, other = drawn(0), drawn(1)
    uneven = {
        module: summed([({module: one[module]}, 1.0), ({module: other[module]}, 0.95 if place % 2 else 1.05)])[module]
        for place, module in enumerate(MODULES)
    }
    assert identify(AdapterWeights(write(tmp_path / "uneven", uneven)), known).weights_vary
    even = summed([(one, 1.0), (other, 1.0)])
    assert not identify(AdapterWeights(write(tmp_path / "even", even)), known).weights_vary


def test_adapters_of_another_model_are_left_out_and_said_to_be(tmp_path: Path) -> None:
    known = library(tmp_path, 3)
    wide = {module: (np.ones((4, 99)), np.ones((40, 4))) for module in MODULES}
    known.append(AdapterWeights(write(tmp_path / "wide", wide)))
    found = identify(AdapterWeights(write(tmp_path / "made", summed([(drawn(0), 1.0), (drawn(1), 1.0)]))), known)
    recovered(found, {"k0": 1.0, "k1": 1.0})
    assert found.notes == ("1 known adapters change none of its modules",)


def test_known_adapters_of_two_models_that_differ_elsewhere_are_told_apart(tmp_path: Path) -> None:
    shared, elsewhere = MODULES[0], MODULES[1]
    here, there = drawn(11, modules=(shared, elsewhere)), drawn(12, modules=(shared, elsewhere))
    a, b = there[elsewhere]
    there[elsewhere] = np.concatenate([a, a], axis=1), b
    known = [AdapterWeights(write(tmp_path / "here", here)), AdapterWeights(write(tmp_path / "there", there))]
    for one in known:
        one.key = one.name
    query = summed([({shared: here[shared]}, 2.0), ({shared: there[shared]}, 1.0)])
    found = identify(AdapterWeights(write(tmp_path / "query", query)), known)
    closer, farther = (name for name, _ in found.nearest)
    assert {closer, farther} == {"here", "there"}
    assert farther not in weights_of(found)


def test_nothing_known_and_an_adapter_of_zeros_give_no_parts(tmp_path: Path) -> None:
    query = AdapterWeights(write(tmp_path / "one", drawn(1)))
    assert identify(query, []).verdict == "unexplained"
    zeros = {module: (a, 0 * b) for module, (a, b) in drawn(5).items()}
    known = library(tmp_path, 3)
    found = identify(AdapterWeights(write(tmp_path / "zeros", zeros)), known)
    assert (found.verdict, found.parts) == ("unexplained", ())


def test_inner_products_are_those_of_the_full_updates_and_come_back_from_disk(tmp_path: Path) -> None:
    known = library(tmp_path / "k", 5)
    for one in known:
        one.key = one.name
    first = Gram(tmp_path / "cache")
    first.ensure(known[:4])
    before = {file.name: file.read_bytes() for file in (tmp_path / "cache").iterdir()}
    first.ensure(known)
    after = {file.name: file.read_bytes() for file in (tmp_path / "cache").iterdir()}
    assert len(after) == len(before) + 1  # one new row
    assert all(after[name] == content for name, content in before.items())
    modules = known[0].modules
    full = np.array(
        [
            [
                sum(
                    ((x := one.factors(m))[1] @ x[0] * ((y := other.factors(m))[1] @ y[0])).sum()
                    for m in sorted(modules)
                )
                for other in known
            ]
            for one in known
        ]
    )
    np.testing.assert_allclose(first.matrix(known, modules), full, rtol=1e-9)
    again = Gram(tmp_path / "cache")
    again.ensure(known)
    np.testing.assert_array_equal(again.matrix(known, modules), first.matrix(known, modules))
    next((tmp_path / "cache").iterdir()).write_bytes(b"damaged")
    repaired = Gram(tmp_path / "cache")
    repaired.ensure(known)
    np.testing.assert_allclose(repaired.matrix(known, modules), full, rtol=1e-9)
