"""Confidence sequences hold at every look, and say so by a simulation that looks at every step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats import clopper_pearson
from monitor.stats.sequence import difference_sequence, rate_sequence


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
    assert difference_sequence(0, 0, 0, 0.05) == (-1.0, 1.0)


def test_more_samples_narrow_it():
    widths = [upper - lower for lower, upper in (rate_sequence(n // 5, n, 0.01) for n in (10, 100, 1000, 10_000))]
    assert widths == sorted(widths, reverse=True)


def test_a_difference_is_the_excess_of_worse_pairs():
    lower, upper = difference_sequence(400, 50, 1000, 0.01)
    assert lower < 0.35 < upper
    assert lower > 0.2


@pytest.mark.parametrize(("bad", "samples", "error"), [(2, 1, 0.05), (-1, 1, 0.05), (0, 1, 0.0), (0, 1, 1.0)])
def test_what_is_no_count_or_no_error_is_refused(bad, samples, error):
    with pytest.raises(ValueError, match="not"):
        rate_sequence(bad, samples, error)
