"""Confidence sequences hold at every look, and say so by a simulation that looks at every step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats import clopper_pearson
from monitor.stats.sequence import mean_sequence, rate_sequence


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5])
def test_the_true_rate_is_inside_at_every_look(rate):
    rng, left = np.random.default_rng(5), 0
    for _ in range(300):
        counts = np.cumsum(rng.random(200) < rate)
        left += any(not inside(rate, int(bad), n) for n, bad in enumerate(counts, 1))
    assert left <= 300 * 0.05


def inside(rate, bad, samples):
    lower, upper = rate_sequence(bad, samples, 0.05)
    return lower <= rate <= upper


@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([0.001, 0.05, 0.5]))
def test_it_holds_the_measured_rate_and_is_wider_than_an_interval_for_one_look(bad, good, error):
    lower, upper = rate_sequence(bad, bad + good, error)
    assert 0 <= lower <= upper <= 1
    if bad + good:
        assert lower <= bad / (bad + good) <= upper
    if error <= 0.05:
        once = clopper_pearson(bad, bad + good, 1 - error)
        assert lower <= once.lower + 1e-9
        assert upper >= once.upper - 1e-9


def test_nothing_is_known_without_samples():
    assert rate_sequence(0, 0, 0.05) == (0.0, 1.0)


def test_more_samples_narrow_it():
    widths = [upper - lower for lower, upper in (rate_sequence(n // 5, n, 0.01) for n in (10, 100, 1000, 10_000))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(("bad", "samples", "error"), [(2, 1, 0.05), (-1, 1, 0.05), (0, 1, 0.0), (0, 1, 1.0)])
def test_what_is_no_count_or_no_error_is_refused(bad, samples, error):
    with pytest.raises(ValueError, match="not"):
        rate_sequence(bad, samples, error)


@pytest.mark.parametrize(("worse", "better"), [(0.0, 0.0), (0.02, 0.02), (0.3, 0.1), (0.6, 0.0)])
def test_the_true_mean_of_differences_is_inside_at_every_look(worse, better):
    rng, left = np.random.default_rng(6), 0
    for _ in range(40):
        drawn = rng.choice([1, -1, 0], size=60, p=[worse, better, 1 - worse - better])
        more, less = np.cumsum(drawn == 1), np.cumsum(drawn == -1)
        looks = (mean_sequence(int(more[n]), int(less[n]), n + 1, 0.05) for n in range(0, 60, 6))
        left += any(not lower <= worse - better <= upper for lower, upper in looks)
    assert left <= 40 * 0.05


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 300))
def test_the_interval_of_a_mean_holds_the_measured_one_and_turns_with_the_signs(worse, better, same):
    pairs = worse + better + same
    lower, upper = mean_sequence(worse, better, pairs, 0.05)
    turned = mean_sequence(better, worse, pairs, 0.05)
    assert -1 <= lower <= upper <= 1
    assert (turned.lower, turned.upper) == (-upper, -lower)
    if pairs:
        assert lower - 1e-6 <= (worse - better) / pairs <= upper + 1e-6


def test_betting_on_the_mean_tells_more_than_the_two_shares_apart():
    worse, better = (rate_sequence(count, 30, 0.05 / 2) for count in (15, 0))
    assert mean_sequence(15, 0, 30, 0.05).lower > 0.2 > worse.lower - better.upper
    assert mean_sequence(0, 0, 0, 0.05) == (-1, 1)
    for counts in ((3, 0, 2), (-1, 0, 2)):
        with pytest.raises(ValueError, match="not a count"):
            mean_sequence(*counts, 0.05)
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_sequence(1, 0, 2, 1.0)
