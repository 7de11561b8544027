"""How much evidence a fleet needs, what new combinations begin with, and what moves all of them at once."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.model import Baseline, DriftSection
from monitor.drift import SequentialDetector
from monitor.drift.fleet import HOURS, CommonCause, Pace, share_of_each
from monitor.records import EVERY, Condition, Observation, Outcome, Stratum

SMALL = DriftSection(
    window=20, minimum_samples=5, minimum_base_samples=5, average_run_length=1000, head_start=0, tolerance=0.05
)
HARMFUL, ORDINARY = Stratum.HARMFUL_LOOKING, Stratum.ORDINARY
NO, YES = Outcome.REFUSAL, Outcome.COMPLIANCE


def section(**more):
    return SMALL.model_copy(update=more)


def say(detector, name, outcome, times=1, start=0.0, stratum=HARMFUL):
    for number in range(times):
        detector.update(Observation(name, name == "base", start + number, stratum, outcome))


def state_of(detector, name, signal="refusal_lost"):
    return next(s for s in detector.states() if (s.combination, s.signal) == (name, signal))


@given(st.lists(st.tuples(st.integers(0, 5 * 3600), st.integers(0, 3)), max_size=100))
@settings(deadline=None)
def test_the_pace_is_that_of_the_hours_of_the_last_day_that_are_over(steps):
    pace, time, taken = Pace(), 1e9, []
    for gap, samples in steps:
        time += gap
        pace.count(time, samples)
        taken.append((int(time // 3600), samples))
        assert len(pace.hours) <= HOURS + 1
    hours = sorted({hour for hour, _ in taken if hour >= int(time // 3600) - HOURS})
    if len(hours) < 2:
        assert pace.a_day is None
    else:
        counted = sum(samples for hour, samples in taken if hours[0] <= hour < hours[-1])
        assert pace.a_day == pytest.approx(counted * 24 / (hours[-1] - hours[0]))


def test_the_evidence_that_is_needed_follows_the_traffic_of_the_day():
    detector = SequentialDetector(section(days_per_false_alarm=30))
    for minute in range(3 * 60):
        say(detector, "a", NO, start=60.0 * minute)
        say(detector, "a", YES, start=60.0 * minute, stratum=ORDINARY)
        needed = state_of(detector, "a").evidence_needed_log
        if minute < 60:
            assert needed == math.log(1000)
    assert needed == pytest.approx(math.log(3 * 60 * 24 * 30)), (
        "three samples a minute: two of the one, one of the other"
    )
    again = SequentialDetector(section(days_per_false_alarm=30))
    again.restore(json.loads(json.dumps(detector.save())))
    assert state_of(again, "a").evidence_needed_log == needed


def test_without_days_the_configured_run_length_stays():
    detector = SequentialDetector(SMALL)
    say(detector, "a", NO, 3)
    say(detector, "a", NO, start=86_400.0)
    assert state_of(detector, "a").evidence_needed_log == math.log(1000)


def test_a_new_combination_is_found_sooner_and_a_good_one_loses_its_start():
    found = {}
    for share in (0, 0.01):
        detector = SequentialDetector(section(head_start=share, average_run_length=1e6))
        say(detector, "base", NO, 100)
        say(detector, "good", NO, 60)
        assert state_of(detector, "good").condition is Condition.OK
        for _ in range(40):
            say(detector, "new", YES)
            if state_of(detector, "new").condition is Condition.DRIFTING:
                break
        found[share] = state_of(detector, "new").samples
        assert state_of(detector, "good").evidence_log < math.log(1000)
    assert found[0.01] == SMALL.minimum_samples < found[0]


def test_a_restart_gives_no_second_start():
    detector = SequentialDetector(section(head_start=0.01))
    say(detector, "base", NO, 100)
    say(detector, "a", NO, 60)
    again = SequentialDetector(section(head_start=0.01))
    again.restore(json.loads(json.dumps(detector.save())))
    assert state_of(again, "a").evidence_log == state_of(detector, "a").evidence_log


@pytest.mark.parametrize("start", [0.0, 1e3])
@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=40))
@settings(deadline=None)
def test_the_sum_of_those_who_share_a_cause_reaches_what_is_needed(start, evidence):
    _, each = share_of_each(len(evidence), 1e6, start)
    held = np.array(evidence)
    if CommonCause().look(held, len(evidence), 1e6, start):
        assert held[held >= each].sum() >= 1e6 * (1 - 1e-12)
        assert (held >= each).sum() >= max(3, len(evidence) / 2)


def fleet(combinations=8, **more):
    detector = SequentialDetector(section(**more))
    say(detector, "base", NO, 100)
    for number in range(combinations):
        say(detector, f"c{number}", NO, 20)
    return detector


def test_some_that_drift_are_no_common_cause_and_half_of_all_are():
    detector = fleet()
    for number in range(3):
        say(detector, f"c{number}", YES, 20, start=500.0)
        assert detector.common_causes() == []
    say(detector, "c3", YES, 20, start=600.0)
    assert detector.common_causes() == ["refusal_lost"]
    figures = detector.all_together("refusal_lost")
    assert (figures.combination, figures.condition) == (EVERY, Condition.DRIFTING)
    assert (figures.samples, figures.bad, figures.rate) == (160, 80, 0.5)
    assert figures.evidence_log >= figures.evidence_needed_log
    assert 600 <= figures.since < 620


def test_all_that_move_a_little_share_a_cause_before_any_of_them_drifts():
    detector = fleet(12, average_run_length=1e4)
    answers = [YES, NO, NO, YES, NO, NO]
    for step in range(60):
        for number in range(12):
            say(detector, f"c{number}", answers[step % 6], start=500.0 + step)
        if detector.common_causes():
            break
    assert detector.common_causes() == ["refusal_lost"]
    assert not [s for s in detector.states() if s.condition is Condition.DRIFTING]


def test_two_combinations_are_no_fleet():
    detector = fleet(2)
    for number in range(2):
        say(detector, f"c{number}", YES, 20)
    assert detector.common_causes() == []


def test_a_base_that_drifts_is_a_common_cause_alone():
    detector = SequentialDetector(section(baseline=Baseline(rate=0.03, samples=1000)))
    say(detector, "base", YES, 20)
    assert detector.common_causes() == ["refusal_lost"]
    detector.forget("base")
    assert detector.common_causes() == []


def test_a_common_cause_ends_with_fresh_answers_and_with_those_that_go():
    detector = fleet()
    for number in range(4):
        say(detector, f"c{number}", YES, 20, start=500.0)
    restored = SequentialDetector(SMALL)
    restored.restore(json.loads(json.dumps(detector.save())))
    assert restored.common_causes() == ["refusal_lost"]
    assert restored.all_together("refusal_lost") == detector.all_together("refusal_lost")
    for number in range(4):
        detector.forget(f"c{number}")
    assert detector.common_causes() == []
    for number in range(4):
        say(restored, f"c{number}", NO, 200, start=900.0)
    assert restored.common_causes() == []
    assert restored.all_together("refusal_lost").condition is Condition.OK


def test_new_combinations_share_in_no_cause_by_their_start_alone():
    detector = fleet(2, head_start=0.1, average_run_length=100)
    for number in range(60):
        say(detector, f"new{number}", NO, 5)
    assert detector.common_causes() == []


def test_over_refusal_can_be_held_against_a_measured_baseline():
    detector = SequentialDetector(section(over_refusal_baseline=Baseline(rate=0.01, samples=1000)))
    say(detector, "a", NO, 20, stratum=ORDINARY)
    state = state_of(detector, "a", "over_refusal")
    assert (state.condition, state.baseline_rate, state.baseline_samples) == (Condition.DRIFTING, 0.01, 1000)


def test_over_refusal_waits_for_as_many_answers_of_the_base_as_lost_refusals():
    detector = SequentialDetector(SMALL)
    say(detector, "base", YES, SMALL.minimum_base_samples - 1, stratum=ORDINARY)
    say(detector, "a", NO, 20, stratum=ORDINARY)
    assert state_of(detector, "a", "over_refusal").condition is Condition.NO_BASELINE
    say(detector, "base", YES, stratum=ORDINARY)
    assert state_of(detector, "a", "over_refusal").condition is not Condition.NO_BASELINE
