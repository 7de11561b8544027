"""Clopper-Pearson against closed forms, published values and its own promise of coverage."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats import clopper_pearson

CONFIDENCES = st.sampled_from([0.8, 0.95, 0.99, 0.999])


def binomial_tail(at_least: int, samples: int, rate: float) -> float:
    """P(X >= at_least) by summation: independent of the beta function."""
    return math.fsum(
        math.comb(samples, k) * rate**k * (1 - rate) ** (samples - k) for k in range(at_least, samples + 1)
    )


@pytest.mark.parametrize(
    ("bad", "samples", "confidence", "lower", "upper"),
    [
        # R: binom.test(x, n, conf.level)$conf.int
        (0, 10, 0.95, 0.0, 0.3084971),
        (1, 10, 0.95, 0.002528579, 0.4450161),
        (5, 10, 0.95, 0.187086, 0.812914),
        (10, 10, 0.95, 0.6915029, 1.0),
        (7, 21, 0.95, 0.1458769, 0.5696755),
    ],
)
def test_interval_equals_published_values(bad, samples, confidence, lower, upper):
    assert clopper_pearson(bad, samples, confidence) == pytest.approx((lower, upper), abs=1e-6)


@given(st.integers(1, 5000), CONFIDENCES)
def test_ends_without_any_or_with_only_bad_have_their_closed_form(samples, confidence):
    tail = (1 - confidence) / 2
    assert clopper_pearson(0, samples, confidence) == pytest.approx((0, 1 - tail ** (1 / samples)), abs=1e-9)
    assert clopper_pearson(samples, samples, confidence) == pytest.approx((tail ** (1 / samples), 1), abs=1e-9)


@given(st.integers(1, 120).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), CONFIDENCES)
def test_each_end_is_the_rate_at_which_the_count_becomes_just_too_unlikely(count, confidence):
    bad, samples = count
    tail = (1 - confidence) / 2
    lower, upper = clopper_pearson(bad, samples, confidence)
    if bad:
        assert binomial_tail(bad, samples, lower) == pytest.approx(tail, rel=1e-6)
    if bad < samples:
        assert 1 - binomial_tail(bad + 1, samples, upper) == pytest.approx(tail, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("samples", [1, 7, 30, 80])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_the_true_rate_is_covered_as_often_as_promised(samples, confidence):
    intervals = [clopper_pearson(bad, samples, confidence) for bad in range(samples + 1)]
    for step in range(1, 200):
        rate = step / 200
        covered = math.fsum(
            math.comb(samples, bad) * rate**bad * (1 - rate) ** (samples - bad)
            for bad, (lower, upper) in enumerate(intervals)
            if lower <= rate <= upper
        )
        assert covered >= confidence - 1e-12, f"rate {rate}"


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), CONFIDENCES)
def test_interval_holds_the_observed_rate_and_mirrors_when_good_and_bad_swap(count, confidence):
    bad, samples = count
    lower, upper = clopper_pearson(bad, samples, confidence)
    assert 0 <= lower <= bad / samples <= upper <= 1
    assert clopper_pearson(samples - bad, samples, confidence) == pytest.approx((1 - upper, 1 - lower), abs=1e-9)


def test_nothing_is_known_without_samples():
    assert clopper_pearson(0, 0, 0.95) == (0, 1)


@pytest.mark.parametrize(("bad", "samples"), [(-1, 3), (4, 3), (0, -1)])
def test_impossible_counts_are_refused(bad, samples):
    with pytest.raises(ValueError, match="is not a count"):
        clopper_pearson(bad, samples, 0.95)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, math.nan])
def test_impossible_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="not between 0 and 1"):
        clopper_pearson(1, 3, confidence)


def test_scipy_stats_is_not_loaded():
    code = "import sys, monitor.drift; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
