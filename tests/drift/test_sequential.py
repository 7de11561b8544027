"""When the sequential detector speaks, when it is silent, and what it says."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.model import Baseline, DriftSection
from monitor.drift import DETECTORS, SequentialDetector
from monitor.records import Condition, Observation, Outcome, Stratum
from monitor.signals import SIGNALS
from monitor.stats import rate_sequence
from monitor.stats.evidence import null_rate

SMALL = DriftSection(window=20, minimum_samples=5, minimum_base_samples=5, average_run_length=100, tolerance=0.05)
HARMFUL, ORDINARY = Stratum.HARMFUL_LOOKING, Stratum.ORDINARY
NAMES = ["base", "a", "b", "a+b"]


def seen(name, outcome, time=0.0, stratum=HARMFUL):
    return Observation(combination=name, is_base=name == "base", time=time, stratum=stratum, outcome=outcome)


def feed(detector, name, outcomes, stratum=HARMFUL, start=0.0):
    """Feed outcomes one second apart; the last states by signal."""
    latest = {}
    for number, outcome in enumerate(outcomes):
        for state in detector.update(seen(name, outcome, start + number, stratum)):
            if state.combination == name:
                latest[state.signal] = state
    return latest


def state_of(detector, name, signal):
    return next(s for s in detector.states() if (s.combination, s.signal) == (name, signal))


observations = st.lists(
    st.builds(
        lambda name, outcome, stratum, gap: (name, outcome, stratum, gap),
        st.sampled_from(NAMES),
        st.sampled_from(Outcome),
        st.sampled_from(Stratum),
        st.floats(0, 100),
    ),
    max_size=120,
)


def timed(drawn):
    """Observations in time order from drawn gaps."""
    time, result = 1_000.0, []
    for name, outcome, stratum, gap in drawn:
        time += gap
        result.append(seen(name, outcome, time, stratum))
    return result


def same(one, other):
    """Equality of states in which NaN equals NaN."""
    return [repr(s) for s in one] == [repr(s) for s in other]


@given(observations)
def test_figures_equal_a_count_by_hand(drawn):
    detector, history = SequentialDetector(SMALL), timed(drawn)
    for observation in history:
        detector.update(observation)
    for state in detector.states():
        signal = next(s for s in SIGNALS if s.name == state.signal)
        counted = [
            o.outcome in signal.bad
            for o in history
            if o.combination == state.combination and o.stratum is signal.stratum and o.outcome.judged
        ][-SMALL.window :]
        counted = counted[len(counted) - state.samples :]
        assert state.bad == sum(counted)
        assert (state.lower, state.upper) == rate_sequence(sum(counted), len(counted), 0.05)
        assert math.isnan(state.rate) if not counted else state.rate == sum(counted) / len(counted)


@given(observations)
def test_every_condition_is_the_one_its_figures_allow(drawn):
    detector = SequentialDetector(SMALL)
    for observation in timed(drawn):
        for state in detector.update(observation):
            if state.samples < SMALL.minimum_samples:
                assert state.condition in (Condition.WARMING_UP, Condition.DRIFTING)
            elif math.isnan(state.threshold):
                assert state.condition is Condition.NO_BASELINE
            elif state.evidence_log >= state.evidence_needed_log:
                assert state.condition is Condition.DRIFTING
            else:
                assert state.condition in (Condition.OK, Condition.DRIFTING)
            assert state.since <= observation.time


@given(observations, observations)
def test_saved_and_restored_detector_carries_on_as_if_nothing_had_happened(before, after):
    detector, restored = SequentialDetector(SMALL), SequentialDetector(SMALL)
    history = timed(before + after)
    for observation in history[: len(before)]:
        detector.update(observation)
    restored.restore(json.loads(json.dumps(detector.save())))
    assert same(detector.states(), restored.states())
    for observation in history[len(before) :]:
        assert same(detector.update(observation), restored.update(observation))


@given(observations, st.randoms(use_true_random=False))
def test_combinations_do_not_see_each_other(drawn, random):
    """Any interleaving gives the same states, as long as each combination's own order and the base's place stay."""
    history = timed(drawn)
    together, shuffled = SequentialDetector(SMALL), SequentialDetector(SMALL)
    for observation in history:
        together.update(observation)
    stretch = []
    for observation in [*history, None]:
        if observation is None or observation.is_base:
            queues = {name: [o for o in stretch if o.combination == name] for name in NAMES}
            while waiting := [queue for queue in queues.values() if queue]:
                shuffled.update(random.choice(waiting).pop(0))
            stretch = []
            if observation is not None:
                shuffled.update(observation)
        else:
            stretch.append(observation)
    one, other = together.states(), shuffled.states()
    key = lambda s: (s.combination, s.signal)  # noqa: E731
    assert same(sorted(one, key=key), sorted(other, key=key))


@given(observations)
@settings(max_examples=30)
def test_update_returns_the_states_that_changed(drawn):
    detector, known = SequentialDetector(SMALL), {}
    for observation in timed(drawn):
        for state in detector.update(observation):
            known[state.combination, state.signal] = state
        assert {key: repr(s) for key, s in known.items()} == {
            (s.combination, s.signal): repr(s) for s in detector.states()
        }


def test_lost_refusals_drift_with_the_figures_in_the_state():
    detector = SequentialDetector(SMALL)
    feed(detector, "base", [Outcome.REFUSAL] * 20)
    state = feed(detector, "a+b", [Outcome.COMPLIANCE] * 10, start=500)["refusal_lost"]
    assert state.condition is Condition.DRIFTING
    assert (state.samples, state.bad, state.rate) == (10, 10, 1)
    assert (state.baseline_rate, state.baseline_samples) == (0, 20)
    assert state.threshold == pytest.approx(null_rate(0, 20) + 0.05)
    assert state.evidence_log >= state.evidence_needed_log == pytest.approx(math.log(100))
    assert state.since == 504, "the fifth answer is the first that the minimum allows to speak"


def test_the_figures_are_those_since_the_change_and_not_of_the_good_answers_before_it():
    section = SMALL.model_copy(update={"window": 200, "average_run_length": 1e4})
    detector = SequentialDetector(section)
    feed(detector, "base", [Outcome.REFUSAL] * 200)
    feed(detector, "a", [Outcome.REFUSAL] * 150)
    for number in range(30):
        (state, *_) = detector.update(seen("a", Outcome.COMPLIANCE, 500.0 + number))
        if state.condition is Condition.DRIFTING:
            break
    assert number < 8
    assert (state.samples, state.bad) == (number + 1, number + 1)
    assert state.lower > state.threshold


def test_partial_refusal_is_not_a_lost_one():
    detector = SequentialDetector(SMALL)
    feed(detector, "base", [Outcome.REFUSAL] * 20)
    state = feed(detector, "a", [Outcome.PARTIAL] * 20)["refusal_lost"]
    assert (state.condition, state.bad) == (Condition.OK, 0)


@pytest.mark.parametrize("outcome", [o for o in Outcome if not o.judged])
def test_answers_that_nobody_judged_count_for_nothing(outcome):
    detector = SequentialDetector(SMALL)
    feed(detector, "base", [Outcome.REFUSAL] * 20)
    feed(detector, "a", [outcome] * 50)
    state = state_of(detector, "a", "refusal_lost")
    assert (state.samples, state.condition) == (0, Condition.WARMING_UP)


def test_compliance_on_ordinary_prompts_is_never_a_lost_refusal():
    detector = SequentialDetector(SMALL)
    feed(detector, "base", [Outcome.REFUSAL] * 20)
    feed(detector, "a", [Outcome.COMPLIANCE] * 200, stratum=ORDINARY)
    feed(detector, "a", [Outcome.COMPLIANCE] * 200, stratum=Stratum.UNKNOWN)
    assert state_of(detector, "a", "refusal_lost").samples == 0
    assert not [s for s in detector.states() if s.condition is Condition.DRIFTING]


def test_one_sample_is_never_enough():
    detector = SequentialDetector(SMALL)
    feed(detector, "base", [Outcome.REFUSAL] * 20)
    states = feed(detector, "a", [Outcome.REFUSE_THEN_COMPLY])
    assert {s.condition for s in states.values()} == {Condition.WARMING_UP}


def test_without_a_base_nothing_is_claimed_that_needs_one():
    states = feed(SequentialDetector(SMALL), "a", [Outcome.COMPLIANCE] * 20)
    assert states["refusal_lost"].condition is Condition.NO_BASELINE
    assert math.isnan(states["refusal_lost"].threshold)
    assert math.isnan(states["refusal_lost"].baseline_rate)


def test_refuse_then_comply_needs_no_base():
    state = feed(SequentialDetector(SMALL), "a", [Outcome.REFUSE_THEN_COMPLY] * 10)["refuse_then_comply"]
    assert (state.condition, state.threshold) == (Condition.DRIFTING, SMALL.refuse_then_comply_limit)


def test_base_that_complies_after_refusing_is_reported_too():
    state = feed(SequentialDetector(SMALL), "base", [Outcome.REFUSE_THEN_COMPLY] * 10)["refuse_then_comply"]
    assert state.condition is Condition.DRIFTING


def test_over_refusal_is_found_on_ordinary_prompts():
    detector = SequentialDetector(SMALL)
    feed(detector, "base", [Outcome.COMPLIANCE] * 20, stratum=ORDINARY)
    state = feed(detector, "a", [Outcome.REFUSAL] * 10, stratum=ORDINARY)["over_refusal"]
    assert (state.condition, state.baseline_rate) == (Condition.DRIFTING, 0)


def test_first_usable_reference_judges_everybody_who_waited_for_it():
    detector = SequentialDetector(SMALL)
    feed(detector, "a", [Outcome.COMPLIANCE] * 10)
    feed(detector, "base", [Outcome.REFUSAL] * 4)
    assert state_of(detector, "a", "refusal_lost").condition is Condition.NO_BASELINE
    touched = detector.update(seen("base", Outcome.REFUSAL, 77.0))
    assert [s.combination for s in touched if s.condition is Condition.DRIFTING] == ["a"]
    assert state_of(detector, "a", "refusal_lost").since == 77


def test_base_is_not_its_own_reference():
    states = feed(SequentialDetector(SMALL), "base", [Outcome.COMPLIANCE] * 30)
    assert states["refusal_lost"].condition is Condition.NO_BASELINE
    assert math.isnan(states["refusal_lost"].baseline_rate)


def test_frozen_baseline_wins_over_the_base_s_traffic():
    frozen = SMALL.model_copy(update={"baseline": Baseline(rate=0.03, samples=1000)})
    detector = SequentialDetector(frozen)
    base = feed(detector, "base", [Outcome.COMPLIANCE] * 30)["refusal_lost"]
    assert base.condition is Condition.DRIFTING, "also the base itself is held against it"
    state = feed(detector, "a", [Outcome.COMPLIANCE] * 10)["refusal_lost"]
    assert (state.baseline_rate, state.baseline_samples) == (0.03, 1000)
    assert state.threshold == pytest.approx(null_rate(30, 1000) + 0.05)
    assert state.condition is Condition.DRIFTING


def test_alarm_ends_after_a_whole_window_of_good_answers_and_not_before():
    detector = SequentialDetector(SMALL)
    feed(detector, "base", [Outcome.REFUSAL] * 20)
    feed(detector, "a", [Outcome.COMPLIANCE] * 20)
    conditions, strong = [], 0
    for second in range(90):
        state = next(
            s for s in detector.update(seen("a", Outcome.REFUSAL, 100.0 + second)) if s.signal == "refusal_lost"
        )
        conditions.append(state.condition)
        strong += state.evidence_log >= state.evidence_needed_log
    end = conditions.index(Condition.OK)
    assert end == strong + SMALL.window - 1
    assert set(conditions[end:]) == {Condition.OK}
    assert state_of(detector, "a", "refusal_lost").since == 100 + end


def test_unloaded_combination_leaves_nothing_and_the_base_s_reference_stays():
    detector = SequentialDetector(SMALL)
    feed(detector, "base", [Outcome.REFUSAL] * 20)
    feed(detector, "a", [Outcome.COMPLIANCE] * 20)
    detector.forget("a")
    detector.forget("base")
    detector.forget("never seen")
    assert detector.states() == []
    state = feed(detector, "a", [Outcome.REFUSAL])["refusal_lost"]
    assert (state.samples, state.baseline_samples) == (1, 20)


def test_combination_seen_for_the_first_time_shows_every_signal():
    states = SequentialDetector(SMALL).update(seen("a", Outcome.TRUNCATED, 5.0, Stratum.UNKNOWN))
    assert [s.signal for s in states] == ["refusal_lost", "refuse_then_comply", "over_refusal"]
    assert all((s.lower, s.upper, s.samples, s.since) == (0, 1, 0, 5) and math.isnan(s.rate) for s in states)


def test_shorter_window_after_a_restart_keeps_the_latest_answers():
    detector = SequentialDetector(SMALL.model_copy(update={"window": 40}))
    feed(detector, "a", [Outcome.COMPLIANCE] * 20 + [Outcome.REFUSAL] * 15)
    again = SequentialDetector(SMALL)
    again.restore(detector.save())
    state = state_of(again, "a", "refusal_lost")
    assert (state.samples, state.bad) == (20, 5)


def test_evidence_survives_a_restart():
    detector = SequentialDetector(SMALL)
    feed(detector, "base", [Outcome.REFUSAL] * 20)
    feed(detector, "a", [Outcome.COMPLIANCE] * 3)
    again = SequentialDetector(SMALL)
    again.restore(json.loads(json.dumps(detector.save())))
    assert state_of(again, "a", "refusal_lost").evidence_log == state_of(detector, "a", "refusal_lost").evidence_log > 0


def test_a_combination_in_the_place_of_a_forgotten_one_starts_without_its_evidence():
    detector = SequentialDetector(SMALL)
    feed(detector, "base", [Outcome.REFUSAL] * 20)
    feed(detector, "a", [Outcome.COMPLIANCE] * 10)
    detector.forget("a")
    state = feed(detector, "b", [Outcome.REFUSAL] * 10)["refusal_lost"]
    assert state.condition is Condition.OK
    assert state.evidence_log < 3


def test_more_combinations_than_at_first_have_room():
    detector = SequentialDetector(SMALL)
    feed(detector, "base", [Outcome.REFUSAL] * 20)
    for number in range(40):
        feed(detector, f"c{number}", [Outcome.COMPLIANCE if number % 2 else Outcome.REFUSAL] * 10)
    drifting = {s.combination for s in detector.states() if s.condition is Condition.DRIFTING}
    assert drifting == {f"c{number}" for number in range(1, 40, 2)}


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.update(format=99),
        lambda d: d.pop("base"),
        lambda d: d.update(base=None),
        lambda d: d.update(combinations=[]),
        lambda d: d["combinations"]["a"]["signals"].pop("over_refusal"),
        lambda d: d["combinations"]["a"]["signals"]["over_refusal"].update(condition="fine"),
        lambda d: d["combinations"]["a"]["signals"]["over_refusal"].update(window="012"),
        lambda d: d["combinations"]["a"]["signals"]["over_refusal"].update(reference=[1]),
        lambda d: d["combinations"]["a"]["signals"]["over_refusal"].update(sums=[1.0]),
        lambda d: d["combinations"]["a"]["signals"]["over_refusal"].update(sums=["x"] * 12),
    ],
)
def test_damaged_state_is_refused_and_changes_nothing(damage):
    detector = SequentialDetector(SMALL)
    feed(detector, "a", [Outcome.COMPLIANCE] * 9)
    before, data = detector.states(), json.loads(json.dumps(detector.save()))
    damage(data)
    with pytest.raises(ValueError, match=r"."):
        detector.restore(data)
    assert same(detector.states(), before)


def test_minimum_that_no_window_can_hold_is_a_configuration_error():
    with pytest.raises(ValueError, match="never fit into a window of 20"):
        DriftSection(window=20, minimum_samples=30)


def test_detector_is_found_by_its_name():
    assert isinstance(DETECTORS["sequential"](DriftSection()), SequentialDetector)
