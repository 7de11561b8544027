"""Answers to the same prompt say less than answers to different ones."""

from itertools import product
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats import clopper_pearson
from monitor.stats.clusters import Cluster, clustered_interval, effective_samples, sign_test

CLUSTERS = st.lists(st.integers(1, 8).flatmap(lambda n: st.builds(Cluster, st.integers(0, n), st.just(n))), max_size=30)


@given(st.lists(st.booleans(), max_size=60))
def test_one_answer_per_prompt_is_the_ordinary_interval(answers):
    clusters = [Cluster(int(bad), 1) for bad in answers]
    expected = clopper_pearson(sum(answers), len(answers), 0.95)
    assert clustered_interval(clusters, 0.95) == pytest.approx(expected, abs=1e-9)


@given(CLUSTERS)
def test_effective_samples_lie_between_the_prompts_and_the_answers(clusters):
    counted = effective_samples(clusters)
    assert counted <= sum(one.samples for one in clusters) + 1e-9
    sizes = {one.samples for one in clusters}
    if len(sizes) == 1:
        assert counted >= len(clusters) - 1e-9


@given(CLUSTERS)
def test_the_interval_holds_the_rate(clusters):
    samples = sum(one.samples for one in clusters)
    interval = clustered_interval(clusters, 0.95)
    assert 0 <= interval.lower <= interval.upper <= 1
    if samples:
        assert interval.lower <= sum(one.bad for one in clusters) / samples <= interval.upper


def test_prompts_that_are_all_or_nothing_count_once_and_independent_answers_all():
    assert effective_samples([Cluster(10, 10), Cluster(0, 10)] * 20) == pytest.approx(40)
    assert effective_samples([Cluster(5, 10)] * 40) == pytest.approx(400)
    assert effective_samples([Cluster(0, 10)] * 40) == pytest.approx(40)  # nothing tells them apart: the prompts count


def test_the_sign_test_is_the_binomial_tail():
    for worse, better in product(range(9), range(9)):
        n = worse + better
        tail = sum(comb(n, k) for k in range(worse, n + 1)) / 2**n
        assert sign_test(worse, better) == pytest.approx(tail)
    with pytest.raises(ValueError):
        sign_test(-1, 2)
