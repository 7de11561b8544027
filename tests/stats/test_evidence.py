"""The identities that make an alarm trustworthy, by complete enumeration, and the limits of what a call accepts."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats.evidence import (
    ALTERNATIVES,
    BettingEvidence,
    RateEvidence,
    additive_interaction,
    alternatives,
    fleet_threshold,
    head_start,
    interaction,
    likeliest_change,
    likeliest_rise,
    null_rate,
)

ONE = np.array([0])


def rate_after(null, path):
    evidence = RateEvidence(np.array([null]))
    for bad in path:
        evidence.update(ONE, np.array([bad]))
    return evidence.evidence[0]


@pytest.mark.parametrize("null", [0.002, 0.03, 0.3, 0.9])
@pytest.mark.parametrize("length", [1, 5, 9])
def test_without_a_change_the_mean_of_the_evidence_is_the_number_of_answers(null, length):
    """E[M_n] = n: by Markov's inequality and optional stopping the average run length is at least the threshold."""
    paths = itertools.product([False, True], repeat=length)
    mean = sum(rate_after(null, path) * null ** sum(path) * (1 - null) ** (length - sum(path)) for path in paths)
    assert mean == pytest.approx(length)


@pytest.mark.parametrize(("true", "null"), [(0.01, 0.03), (0.0, 0.002), (0.2, 0.3)])
def test_below_the_null_the_mean_is_smaller(true, null):
    paths = itertools.product([False, True], repeat=8)
    mean = sum(rate_after(null, path) * true ** sum(path) * (1 - true) ** (8 - sum(path)) for path in paths)
    assert mean < 8


@pytest.mark.parametrize("tolerance", [0.0, 0.02, 0.2])
def test_the_mean_of_betting_evidence_is_the_number_of_pairs_at_the_tolerance(tolerance):
    chances = {1: 0.2 + tolerance, -1: 0.2, 0: 0.6 - tolerance}
    mean = 0.0
    for path in itertools.product(chances, repeat=6):
        evidence = BettingEvidence(1, tolerance)
        for difference in path:
            evidence.update(ONE, np.array([difference]))
        mean += evidence.evidence[0] * np.prod([chances[d] for d in path])
    assert mean == pytest.approx(6)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60))
def test_streams_do_not_see_each_other(steps):
    null = np.array([0.01, 0.03, 0.1, 0.5, 0.002])
    together = RateEvidence(null)
    for column, bad in steps:
        together.update(np.array([column]), np.array([bad]))
    for column in range(5):
        alone = rate_after(null[column], [bad for one, bad in steps if one == column])
        assert together.evidence[column] == pytest.approx(alone)


def test_many_streams_are_updated_at_once_as_one_by_one():
    rng = np.random.default_rng(1)
    at_once, singly = BettingEvidence(50), BettingEvidence(50)
    for _ in range(20):
        columns = rng.permutation(50)[:30]
        differences = rng.integers(-1, 2, 30)
        at_once.update(columns, differences)
        for column, difference in zip(columns, differences, strict=True):
            singly.update(np.array([column]), np.array([difference]))
    assert np.allclose(at_once.evidence, singly.evidence)


def test_all_streams_at_once_in_any_order_are_updated_as_some_of_them():
    rng = np.random.default_rng(2)
    whole, parts = (RateEvidence(np.array([0.01, 0.03, 0.1, 0.5]), ceiling=50) for _ in range(2))
    for _ in range(30):
        columns, bad = rng.permutation(4), rng.random(4) < 0.4
        whole.update(columns, bad)
        parts.update(columns[:2], bad[:2])
        parts.update(columns[2:], bad[2:])
    assert np.allclose(whole.sums, parts.sums)
    assert whole.sums.max() <= 50


@given(st.lists(st.booleans(), max_size=40))
def test_one_stream_alone_is_updated_as_among_others(path):
    one = RateEvidence(np.array([0.03, 0.2]), ceiling=1e4)
    other = RateEvidence(np.array([0.03, 0.2]), ceiling=1e4)
    for bad in path:
        one.update_one(1, bad)
        other.update(np.array([1]), np.array([bad]))
    assert np.allclose(one.sums, other.sums)
    assert one.sums.max() <= 1e4


def test_room_for_more_streams_and_another_null_change_nothing_that_was_gathered():
    evidence = RateEvidence(np.array([0.03]))
    for _ in range(5):
        evidence.update_one(0, True)
    before = evidence.sums[:, 0].copy()
    evidence.grow(3)
    evidence.set_null(0, 0.1)
    evidence.set_null(2, 0.03)
    assert (evidence.sums[:, 0] == before).all()
    for _ in range(5):
        evidence.update_one(2, True)
    assert np.allclose(evidence.sums[:, 2], before)
    evidence.update_one(0, True)
    assert evidence.sums[0, 0] == pytest.approx((before[0] + 1) * 1.5 / (0.9 + 0.1 * 1.5))


def test_the_likeliest_change_is_where_the_bad_answers_begin():
    bits = np.array([False] * 150 + [True, True, False, True, True])
    assert likeliest_change(bits, 0.05) == 150
    assert likeliest_change(np.array([True] * 10), 0.05) == 0


def test_evidence_stays_finite_and_falls_again_when_all_is_well():
    evidence = RateEvidence(np.array([0.03]))
    for _ in range(500):
        evidence.update(ONE, np.array([True]))
    assert np.isfinite(evidence.evidence[0])
    few = RateEvidence(np.array([0.03]))
    for bad in [True] * 10 + [False] * 2000:
        few.update(ONE, np.array([bad]))
    assert few.evidence[0] < 1e3


def test_alternatives_rise_from_one_and_a_half_times_the_odds():
    rates = alternatives(np.array([0.03, 0.5]))
    assert rates.shape == (ALTERNATIVES, 2)
    assert (np.diff(rates, axis=0) > 0).all()
    odds = rates / (1 - rates)
    assert odds[0] == pytest.approx(1.5 * np.array([0.03 / 0.97, 1.0]))
    assert rates[-1] == pytest.approx([0.95, 0.95])


def test_a_null_near_one_can_be_asked_about():
    evidence = RateEvidence(np.array([1.0]))
    evidence.update(ONE, np.array([True]))
    assert evidence.evidence[0] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("bad", "samples", "expected"),
    [(30, 1000, 0.0404), (0, 3000, 0.002), (0, 30, 0.0950), (300, 1000, 0.3488), (10, 10, 1.0)],
)
def test_the_null_is_the_most_cautious_of_its_three_sources(bad, samples, expected):
    assert null_rate(bad, samples) == pytest.approx(expected, abs=0.0005)


@pytest.mark.parametrize(("bad", "samples"), [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_count_is_no_reference(bad, samples):
    with pytest.raises(ValueError, match="no reference"):
        null_rate(bad, samples)


def test_an_interaction_counts_only_what_the_parts_do_not_explain():
    assert interaction(base=True, parts=[True, True], whole=False) == 1
    assert interaction(base=True, parts=[False, True], whole=False) == 0  # one part alone explains it
    assert interaction(base=True, parts=[False, True], whole=True) == -1
    assert interaction(base=False, parts=[False, False], whole=False) == 0
    assert interaction(base=True, parts=[True, True, True], whole=False) == 1
    assert additive_interaction(base=False, parts=[False, False], whole=True) == 0.5
    assert additive_interaction(base=False, parts=[True, True], whole=True) == -0.5
    assert additive_interaction(base=True, parts=[False, False, False], whole=True) == 1


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=3), st.integers(2, 3))
def test_parts_that_act_independently_on_every_prompt_show_no_interaction_whatever_the_mix(prompts, parts):
    """Each prompt has its own rates; adapters that break different topics must not look like colluding ones."""
    mean = 0.0
    for base, *factors in prompts:
        factors = factors[:parts]
        rates = [base, *(base * factor for factor in factors), base * np.prod(factors)]
        for refusals in itertools.product([False, True], repeat=len(rates)):
            chance = np.prod([rate if refused else 1 - rate for rate, refused in zip(rates, refusals, strict=True)])
            mean += chance * interaction(refusals[0], refusals[1:-1], refusals[-1])
    assert mean <= 1e-9


def test_the_rise_is_dated_to_where_the_differences_began():
    before, after = np.zeros(100), np.array([1.0, 0, 1, 1, 0, 1])
    assert likeliest_rise(np.concatenate([before, after]), 0.02) == 100


def test_the_fleets_threshold_follows_from_its_traffic():
    assert fleet_threshold(200_000, 30) == 6e6
    assert fleet_threshold(0.1, 1) == 1
    assert head_start(1e6) == pytest.approx(1e3)
    with pytest.raises(ValueError, match="above 0"):
        fleet_threshold(0, 30)
