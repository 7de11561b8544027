from __future__ import annotations

import json
from math import isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.drift.trend import COARSEST_S, POINTS, Trends
from monitor.records import Condition, DriftState


def state(rate: float, *, combination: str = "ab", samples: int = 10, evidence: float = nan) -> DriftState:
    limits = max(rate - 0.1, 0), min(rate + 0.1, 1)
    return DriftState(
        combination, "refusal_lost", Condition.OK, samples, 0, rate, *limits, 0.0, 50, 0.1, 0.0, evidence_log=evidence
    )


def points(trends: Trends, combination: str = "ab"):
    return trends.of(combination).get("refusal_lost", [])


def test_what_was_never_measured_has_no_history():
    trends = Trends()
    trends.note(state(nan, samples=0), 100.0)
    assert points(trends) == []


def test_within_a_step_the_latest_counts():
    trends = Trends()
    for at, rate in ((100.0, 0.1), (100.4, 0.2), (101.5, 0.3)):
        trends.note(state(rate), at)
    assert [(one.time, round(one.rate, 3)) for one in points(trends)] == [(100.0, 0.2), (101.5, 0.3)]


@given(st.lists(st.floats(0, 2000), min_size=1, max_size=400))
def test_it_stays_bounded_in_order_and_ends_with_the_newest(gaps: list[float]):
    trends = Trends()
    now = 1000.0
    for number, gap in enumerate(gaps):
        now += gap
        trends.note(state(number % 100 / 100), now)
        found = points(trends)
        assert len(found) <= POINTS
        assert found[-1].rate == pytest.approx(number % 100 / 100)
    times = [one.time for one in points(trends)]
    assert times == sorted(times)


def test_a_long_run_keeps_its_latest_hours_and_a_short_one_all():
    trends = Trends()
    for second in range(60):
        trends.note(state(0.5), float(second))
    assert (points(trends)[0].time, points(trends)[-1].time) == (0.0, 59.0)
    for second in range(60, 40_000):
        trends.note(state(0.5), float(second))
    found = points(trends)
    assert len(found) >= POINTS / 2
    assert 3 * 3600 < found[-1].time - found[0].time <= POINTS * COARSEST_S


def test_a_successor_carries_on():
    trends = Trends()
    trends.note(state(0.25, evidence=3.5), 100.0)
    trends.note(state(0.5), 200.0)
    other = Trends()
    other.restore(json.loads(json.dumps(trends.save())))
    first, second = points(other)
    assert (first.time, first.rate, first.evidence_log) == (100.0, 0.25, 3.5)
    assert isnan(second.evidence_log)
    other.note(state(1.0), 300.0)
    assert len(points(other)) == 3


@pytest.mark.parametrize(
    "damaged",
    [
        [],
        {"ab": []},
        {"ab": {"refusal_lost": [1.0, [1], [1], [1], [1]]}},
        {"ab": {"refusal_lost": [1.0, [1, 2], [1], [1], [1], [None]]}},
    ],
)
def test_a_damaged_history_is_refused_and_nothing_changes(damaged: object):
    trends = Trends()
    trends.note(state(0.5), 100.0)
    with pytest.raises(ValueError):
        trends.restore(damaged)
    assert len(points(trends)) == 1


def test_what_is_forgotten_is_gone():
    trends = Trends()
    trends.note(state(0.5), 100.0)
    trends.note(state(0.5, combination="other"), 100.0)
    trends.forget("ab")
    trends.forget("never seen")
    assert points(trends) == []
    assert len(points(trends, "other")) == 1
