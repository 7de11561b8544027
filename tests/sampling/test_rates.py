from __future__ import annotations

import random

import pytest

from monitor.config.model import SamplingSection
from monitor.sampling import RateSampler
from monitor.sampling.rates import MAX_NAMES


def sampler(workers: int = 1, **section: object) -> RateSampler:
    return RateSampler(SamplingSection.model_validate(section), workers, random.Random(7))


def test_by_default_everything_is_kept_without_knowing_the_model() -> None:
    made = sampler()
    assert made.keeps_all
    assert made.decide("", 1) == 1.0


@pytest.mark.parametrize("section", [{"rate": 0.5}, {"combinations": {"a": {"rate": 0.1}}}])
def test_a_lower_rate_anywhere_needs_the_model(section: dict[str, object]) -> None:
    assert not sampler(**section).keeps_all


def test_the_first_of_every_hour_and_model_are_kept_whatever_the_rate() -> None:
    made = sampler(rate=0.0, minimum_per_hour=3)
    assert [made.decide("a", 1) for _ in range(5)] == [1.0, 1.0, 1.0, None, None]
    assert made.decide("b", 1) == 1.0
    assert [made.decide("a", 2) for _ in range(4)] == [1.0, 1.0, 1.0, None]


def test_the_minimum_is_shared_by_the_workers() -> None:
    made = sampler(workers=4, rate=0.0, minimum_per_hour=10)
    assert sum(made.decide("a", 1) is not None for _ in range(50)) == 3


def test_the_share_kept_is_the_rate_and_the_weights_add_up_to_all() -> None:
    made = sampler(rate=0.2, minimum_per_hour=100)
    kept = [made.decide("a", 1) for _ in range(20_000)]
    weights = [1 / inclusion for inclusion in kept if inclusion is not None]
    assert set(weights) == {1.0, 5.0}
    assert sum(weights) == pytest.approx(20_000, rel=0.05)


def test_a_model_can_have_its_own_rate() -> None:
    made = sampler(rate=0.0, minimum_per_hour=0, combinations={"risky": {"rate": 1.0}})
    assert (made.decide("risky", 1), made.decide("other", 1)) == (1.0, None)


def test_names_from_clients_cannot_grow_the_table_or_gain_more_than_one_share() -> None:
    made = sampler(rate=0.0, minimum_per_hour=1)
    kept = sum(made.decide(f"made up {n}", 1) is not None for n in range(5 * MAX_NAMES))
    assert kept == MAX_NAMES + 1


def test_a_configured_model_keeps_its_minimum_beside_made_up_names() -> None:
    made = sampler(rate=0.0, minimum_per_hour=1, combinations={"ours": {"rate": 0.0}})
    for n in range(2 * MAX_NAMES):
        made.decide(f"made up {n}", 1)
    assert made.decide("ours", 1) == 1.0
