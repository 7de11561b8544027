"""A frozen reference comes, changes and goes: what combinations are held against at each time."""

import json
import math
from pathlib import Path

import pytest
from test_sequential import NAMES, ORDINARY, SMALL, seen

from monitor.drift import Reference, SequentialDetector
from monitor.records import Condition, Outcome

FILE = SMALL.model_copy(update={"baseline_file": Path("baseline.json")})
REFERENCES = {"refusal_lost": Reference(3, 1000, 0.01), "over_refusal": Reference(20, 1000, 0.03)}
COMPLIANCE, REFUSAL = Outcome.COMPLIANCE, Outcome.REFUSAL


def states_of(detector, name="a"):
    return {state.signal: state for state in detector.states() if state.combination == name}


def feed(detector, name, outcome, count, **more):
    for number in range(count):
        detector.update(seen(name, outcome, time=float(number), **more))


def held(section=FILE, references=REFERENCES, *, traffic=False):
    detector = SequentialDetector(section)
    detector.hold_against(references, traffic=traffic, time=0.0)
    return detector


def test_both_directions_are_held_against_the_measured_null():
    detector = held()
    feed(detector, "a", COMPLIANCE, 6)
    feed(detector, "a", REFUSAL, 6, stratum=ORDINARY)
    lost, over = states_of(detector)["refusal_lost"], states_of(detector)["over_refusal"]
    assert (lost.condition, lost.baseline_rate, lost.baseline_samples) == (Condition.DRIFTING, 0.003, 1000)
    assert lost.threshold == pytest.approx(0.01 + SMALL.tolerance)
    assert (over.condition, over.baseline_rate) == (Condition.DRIFTING, 0.02)
    assert over.threshold == pytest.approx(0.03 + SMALL.tolerance)


def test_the_base_itself_is_held_against_its_baseline():
    detector = held()
    feed(detector, "base", COMPLIANCE, 8)
    assert states_of(detector, "base")["refusal_lost"].condition is Condition.DRIFTING


def test_a_configured_file_that_does_not_count_leaves_no_baseline_whatever_the_base_answers():
    for detector in (SequentialDetector(FILE), held(references={})):
        feed(detector, "base", REFUSAL, 50)
        feed(detector, "a", COMPLIANCE, 20)
        state = states_of(detector)["refusal_lost"]
        assert state.condition is Condition.NO_BASELINE
        assert math.isnan(state.baseline_rate)
        assert math.isnan(state.evidence_log)


def test_the_bases_traffic_stands_in_where_the_operator_said_so():
    detector = held(references={}, traffic=True)
    feed(detector, "base", REFUSAL, 50)
    feed(detector, "a", COMPLIANCE, 20)
    state = states_of(detector)["refusal_lost"]
    assert (state.condition, state.baseline_samples) == (Condition.DRIFTING, 50)


def test_a_signal_that_was_not_measured_has_no_baseline():
    detector = held(references={"refusal_lost": REFERENCES["refusal_lost"]})
    feed(detector, "base", COMPLIANCE, 50, stratum=ORDINARY)
    feed(detector, "a", REFUSAL, 20, stratum=ORDINARY)
    assert states_of(detector)["over_refusal"].condition is Condition.NO_BASELINE


def test_voiding_ends_every_statement_at_once_and_drops_the_evidence():
    detector = held()
    for name in NAMES:
        feed(detector, name, COMPLIANCE, 8)
    changed = detector.hold_against({}, traffic=False, time=99.0)
    lost = [state for state in changed if state.signal == "refusal_lost"]
    assert {state.combination for state in lost} == set(NAMES)
    assert {(state.condition, state.since) for state in lost} == {(Condition.NO_BASELINE, 99.0)}
    assert all(math.isnan(state.evidence_log) and math.isnan(state.threshold) for state in lost)
    assert not any(state.signal == "refuse_then_comply" for state in changed)
    again = detector.hold_against(REFERENCES, traffic=False, time=100.0)
    back = next(state for state in again if (state.combination, state.signal) == ("a", "refusal_lost"))
    assert back.condition is Condition.DRIFTING  # the latest answers still speak for themselves
    assert back.evidence_log == pytest.approx(states_of(detector)["refusal_lost"].evidence_log)


def test_the_same_reference_changes_nothing_also_after_a_restart():
    detector = held()
    feed(detector, "a", COMPLIANCE, 3)
    feed(detector, "a", REFUSAL, 9, stratum=ORDINARY)
    before = detector.states()
    assert detector.hold_against(REFERENCES, traffic=False, time=5.0) == []
    successor = SequentialDetector(FILE)
    successor.restore(json.loads(json.dumps(detector.save())))
    assert successor.hold_against(REFERENCES, traffic=False, time=5.0) == []
    assert repr(successor.states()) == repr(before)


def test_another_version_of_the_baseline_begins_anew():
    detector = held()
    feed(detector, "a", REFUSAL, 15)
    feed(detector, "a", COMPLIANCE, 5)
    assert states_of(detector)["refusal_lost"].condition is Condition.DRIFTING
    laxer = {"refusal_lost": Reference(400, 1000, 0.45)}
    [changed] = [one for one in detector.hold_against(laxer, traffic=False, time=7.0) if one.signal == "refusal_lost"]
    assert (changed.condition, changed.baseline_rate) == (Condition.DRIFTING, 0.4)
    assert changed.evidence_log < changed.evidence_needed_log
    feed(detector, "a", REFUSAL, 20)
    assert states_of(detector)["refusal_lost"].condition is Condition.OK


def test_a_restored_state_that_was_held_against_traffic_does_not_count_against_a_file():
    detector = SequentialDetector(SMALL)
    feed(detector, "base", REFUSAL, 30)
    feed(detector, "a", COMPLIANCE, 3)
    successor = SequentialDetector(FILE)
    successor.restore(json.loads(json.dumps(detector.save())))
    successor.hold_against(REFERENCES, traffic=False, time=5.0)
    assert states_of(successor)["refusal_lost"].baseline_samples == 1000
