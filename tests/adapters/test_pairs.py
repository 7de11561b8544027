"""Pairs are ordered by what their updates share, as products and not as factors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_adapters import drawn, summed, write

from monitor.adapters.gram import Gram
from monitor.adapters.pairs import rank_pairs
from monitor.adapters.weights import AdapterWeights
from monitor.cli import main
from monitor.lab import adapter as lab_adapter

LAB = Path(lab_adapter.__file__).parent / "adapters"


@pytest.fixture
def adapters(tmp_path: Path) -> list[AdapterWeights]:
    """`one` and `near` share half of what they do, `anti` undoes `one`, `other` has nothing to do with them."""
    made = {
        "one": drawn(1),
        "near": summed([(drawn(1), 0.5), (drawn(2), 0.5)]),
        "anti": summed([(drawn(1), -0.3), (drawn(4), 1.0)]),
        "other": drawn(3),
    }
    return [AdapterWeights(write(tmp_path / name, factors, np.float64)) for name, factors in made.items()]


def test_pairs_that_share_most_come_first_and_cancelling_ones_are_told(adapters: list[AdapterWeights]) -> None:
    found = rank_pairs(adapters, Gram())
    assert len(found) == 6
    assert (found[0].first, found[0].second) == ("one", "near")
    assert found[0].shared_modules == 1.0
    anti = next(pair for pair in found if {pair.first, pair.second} == {"one", "anti"})
    assert anti.cosine < -0.1
    assert (anti.cancelled, anti.shared_modules) == (1.0, 0.0)
    assert {pair.second for pair in found[-2:]} == {"other"}
    assert all(pair.against_alignment is None for pair in found)


def test_scaling_one_factor_against_the_other_changes_nothing(adapters: list[AdapterWeights], tmp_path: Path) -> None:
    scaled = {module: (a * 50, b / 50) for module, (a, b) in drawn(1).items()}
    disguised = [AdapterWeights(write(tmp_path / "again" / "one", scaled, np.float64)), *adapters[1:]]
    assert rank_pairs(disguised, Gram()) == rank_pairs(adapters, Gram())


def test_a_sum_that_undoes_the_alignment_is_seen_against_it(adapters: list[AdapterWeights], tmp_path: Path) -> None:
    undone = summed([(drawn(1), -1.0)])
    alignment = AdapterWeights(write(tmp_path / "alignment", undone, np.float64))
    found = {(pair.first, pair.second): pair.against_alignment for pair in rank_pairs(adapters, Gram(), alignment)}
    assert found["one", "near"] == max(value for value in found.values() if value is not None)
    assert found["one", "near"] == pytest.approx(0.95, abs=0.05)


def test_the_lab_s_colluding_pairs_come_before_those_that_were_measured_as_benign(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["registry", "rank-pairs", str(LAB), "--alignment", str(LAB / "align")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    order = [frozenset((one["first"], one["second"])) for one in lines]
    assert len(order) == 55
    colluding, benign = (
        [1 + order.index(frozenset(pair)) for pair in pairs]
        for pairs in (
            (("gamma", "delta"), ("alpha", "beta"), ("kappa", "lambda")),
            (("epsilon", "zeta"), ("beta", "zeta"), ("alpha", "epsilon")),
        )
    )
    assert colluding == [13, 19, 14]
    assert min(benign) > max(colluding)
