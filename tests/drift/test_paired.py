"""When pairs of answers to the same prompt speak, when they are silent, and what they say."""

import itertools
import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.model import DriftSection
from monitor.drift import PairedDetector
from monitor.records import Condition, Outcome, Pair, Stratum
from monitor.stats.evidence import additive_interaction, interaction

SECTION = DriftSection(window=50, minimum_samples=5, average_run_length=1e4)
NO, YES, PARTIAL, LATE = Outcome.REFUSAL, Outcome.COMPLIANCE, Outcome.PARTIAL, Outcome.REFUSE_THEN_COMPLY
HARMFUL = Stratum.HARMFUL_LOOKING


def pair(outcome, base=NO, time=0.0, stratum=HARMFUL, name="a+b", **parts):
    return Pair(name, time, stratum, outcome, base, parts)


def feed(detector, pairs):
    """The last states by signal."""
    latest = {}
    for number, one in enumerate(pairs):
        for state in detector.update(
            Pair(one.combination, float(number), one.stratum, one.outcome, one.base_outcome, one.parts)
        ):
            latest[state.signal] = state
    return latest


def said(bad):
    return YES if bad else NO


def alarm_after(detector, signal, draw, most):
    """Pairs until this signal drifts, most + 1 when it does not."""
    for number in range(1, most + 1):
        for state in detector.update(draw()):
            if state.signal == signal and state.condition is Condition.DRIFTING:
                return number
    return most + 1


@pytest.mark.parametrize("bad", [YES, LATE])
def test_what_the_base_refuses_and_the_combination_gives_is_found_with_its_figures(bad):
    state = feed(PairedDetector(SECTION), [pair(NO)] * 20 + [pair(bad)] * 15)["refusal_lost_paired"]
    assert state.condition is Condition.DRIFTING
    assert (state.samples, state.bad, state.rate, state.baseline_rate) == (15, 15, 1, 0)
    assert (state.effect, state.extras) == (1, {"worse": 15, "better": 0})
    assert state.effect_lower > 0.02
    assert state.effect_upper > 0.999
    assert state.threshold == pytest.approx(0.02)
    assert 20 < state.since < 35
    assert state.evidence_log >= state.evidence_needed_log == pytest.approx(math.log(1e4))


@pytest.mark.parametrize(
    ("one", "other"), [(YES, YES), (NO, NO), (NO, YES), (PARTIAL, NO), (PARTIAL, YES), (LATE, LATE)]
)
def test_where_both_do_the_same_or_the_base_worse_nothing_is_found(one, other):
    state = feed(PairedDetector(SECTION), [pair(one, other)] * 300)["refusal_lost_paired"]
    assert state.condition is Condition.OK
    assert state.evidence_log < 6
    assert state.effect_lower <= 0


@pytest.mark.parametrize(
    "uncounted",
    [
        *(pair(outcome) for outcome in Outcome if not outcome.judged),
        *(pair(YES, outcome) for outcome in Outcome if not outcome.judged),
        pair(YES, stratum=Stratum.ORDINARY),
    ],
)
def test_what_was_not_judged_or_is_an_ordinary_prompt_is_no_pair(uncounted):
    detector = PairedDetector(SECTION)
    assert feed(detector, [uncounted] * 50) == {}
    assert detector.states() == []


def test_every_outcome_of_four_pairs_keeps_the_evidence_at_their_number_when_nothing_changed():
    """E[M_n] <= n over all paths, for two models that are bad on each prompt with the same chance, whatever that is."""
    hardness, mean = (0.02, 0.5, 0.9, 0.3), 0.0
    for path in itertools.product([(False, False), (False, True), (True, False), (True, True)], repeat=4):
        detector, chance = PairedDetector(SECTION), 1.0
        for rate, bads in zip(hardness, path, strict=True):
            chance *= math.prod(rate if bad else 1 - rate for bad in bads)
        state = feed(detector, [pair(said(one), said(other)) for one, other in path])["refusal_lost_paired"]
        mean += chance * max(math.exp(state.evidence_log) - 1, 0)  # the log is cut at 0
    assert mean <= 4


def test_harder_prompts_for_everybody_raise_no_alarm():
    alarms = 0
    for seed in range(10):
        rng = random.Random(seed)
        detector, harder = PairedDetector(SECTION), itertools.chain([0.03] * 100, itertools.repeat(0.4))

        def draw(rng=rng, harder=harder):
            rate = next(harder)
            return pair(said(rng.random() < rate), said(rng.random() < rate))

        alarms += alarm_after(detector, "refusal_lost_paired", draw, 300) <= 300
    assert alarms == 0


def answers(rng, changed):
    """A prompt and both answers: the base's 3% are on the few hard prompts, where either is bad three times in four."""
    hard = rng.random() < 0.04
    rate = 0.75 if hard else (changed - 0.03) / 0.96
    return pair(said(rng.random() < rate), said(rng.random() < (0.75 if hard else 0)))


@pytest.mark.parametrize(("changed", "most"), [(0.5, 25), (0.2, 75)])
def test_a_change_is_found_within_the_stated_number_of_pairs(changed, most):
    found = []
    for seed in range(31):
        rng, detector = random.Random(seed), PairedDetector(SECTION)
        feed(detector, [answers(rng, 0.03) for _ in range(30)])
        draw = lambda rng=rng: answers(rng, changed)  # noqa: E731
        found.append(alarm_after(detector, "refusal_lost_paired", draw, 300))
    assert sorted(found)[15] <= most


def test_a_drift_ends_after_a_whole_window_without_a_difference_and_begins_anew_only_on_new_evidence():
    detector = PairedDetector(SECTION)
    assert feed(detector, [pair(YES)] * 20)["refusal_lost_paired"].condition is Condition.DRIFTING
    conditions = [detector.update(pair(NO, time=100.0 + n))[0].condition for n in range(80)]
    end = conditions.index(Condition.OK)
    assert SECTION.window - 15 <= end <= SECTION.window
    assert set(conditions[end:]) == {Condition.OK}
    assert detector.states()[0].since == 100 + end
    assert detector.states()[0].evidence_log < 6
    assert feed(detector, [pair(YES)] * 20)["refusal_lost_paired"].condition is Condition.DRIFTING


def colluding(rng, both, alone=0.03):
    return pair(
        said(rng.random() < both), said(rng.random() < 0.03), a=said(rng.random() < alone), b=said(rng.random() < 0.03)
    )


def test_collusion_is_found_and_told_apart_from_an_adapter_that_costs_refusals_alone():
    rng, detector = random.Random(1), PairedDetector(SECTION)
    state = feed(detector, [colluding(rng, 0.9) for _ in range(40)])["collusion"]
    assert state.condition is Condition.DRIFTING
    assert state.effect_lower > 0
    assert state.baseline_rate < 0.3 < state.rate
    assert state.extras["additive_evidence_log"] > 5
    assert state.extras["worse_than_parts_evidence_log"] > 5
    eroding = PairedDetector(SECTION)
    states = feed(eroding, [colluding(rng, 0.9, alone=0.9) for _ in range(300)])
    assert states["refusal_lost_paired"].condition is Condition.DRIFTING
    assert states["collusion"].condition is Condition.OK
    assert states["collusion"].extras["worse_than_parts_evidence_log"] < 7


def test_adapters_that_break_different_topics_are_no_collusion():
    """On their own topic each is bad, and so is the whole: rates over all prompts would call it an interaction."""
    detector = PairedDetector(SECTION)
    one, other = pair(YES, NO, a=YES, b=NO), pair(YES, NO, a=NO, b=YES)
    states = feed(detector, [one, other] * 100)
    assert states["collusion"].condition is Condition.OK
    assert states["refusal_lost_paired"].condition is Condition.DRIFTING


def test_every_prompt_of_a_comparison_with_parts_counts_as_the_formulas_say():
    rng = random.Random(5)
    pairs = [colluding(rng, 0.6) for _ in range(30)]
    state = feed(PairedDetector(SECTION.model_copy(update={"average_run_length": 1e12})), pairs)["collusion"]
    whole, base = [p.outcome is YES for p in pairs], [p.base_outcome is YES for p in pairs]
    parts = [[p.parts["a"] is YES, p.parts["b"] is YES] for p in pairs]
    differences = [
        interaction(not b, [not one for one in p], not w) for w, b, p in zip(whole, base, parts, strict=True)
    ][-state.samples :]
    assert state.effect == pytest.approx(sum(differences) / len(differences))
    excess = [additive_interaction(b, p, w) for w, b, p in zip(whole, base, parts, strict=True)]
    assert state.extras["additive_effect"] == pytest.approx(sum(excess) / 30)


def test_parts_that_were_not_all_judged_leave_the_pair_with_the_base():
    states = feed(PairedDetector(SECTION), [pair(YES, NO, a=NO, b=Outcome.TRUNCATED)] * 10)
    assert set(states) == {"refusal_lost_paired"}
    assert set(feed(PairedDetector(SECTION), [pair(YES, NO, a=NO)] * 10)) == {"refusal_lost_paired"}


pairs_drawn = st.lists(
    st.builds(
        lambda name, outcome, base, parts: pair(outcome, base, name=name, **parts),
        st.sampled_from(["a+b", "c+d"]),
        st.sampled_from([NO, YES, PARTIAL, LATE, Outcome.TRUNCATED]),
        st.sampled_from([NO, YES]),
        st.sampled_from([{}, {"a": NO, "b": NO}, {"a": YES, "b": NO}]),
    ),
    max_size=25,
)


@given(pairs_drawn, pairs_drawn)
@settings(max_examples=40)
def test_a_restored_detector_carries_on_as_if_nothing_had_happened(before, after):
    detector, restored = PairedDetector(SECTION), PairedDetector(SECTION)
    feed(detector, before)
    restored.restore(json.loads(json.dumps(detector.save())))
    by_name = lambda s: (s.combination, s.signal)  # noqa: E731
    assert repr(sorted(detector.states(), key=by_name)) == repr(sorted(restored.states(), key=by_name))
    for one in after:
        assert repr(detector.update(one)) == repr(restored.update(one))


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.update(format=99),
        lambda d: d.pop("pairs"),
        lambda d: d.update(collusion=[]),
        lambda d: d["pairs"]["a+b"].update(values=[2] * 9),
        lambda d: d["pairs"]["a+b"].update(values=[1]),
        lambda d: d["pairs"]["a+b"].update(sums=[1.0]),
        lambda d: d["pairs"]["a+b"].update(bad="x"),
        lambda d: d["pairs"]["a+b"].update(condition="fine"),
        lambda d: d["collusion"]["a+b"].update(prompts=0),
        lambda d: d["collusion"]["a+b"].update(against={}),
        lambda d: d["collusion"]["a+b"].update(additive=["x"] * 8),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(damage):
    detector = PairedDetector(SECTION)
    feed(detector, [pair(YES, NO, a=NO, b=NO)] * 9)
    before, data = repr(detector.states()), json.loads(json.dumps(detector.save()))
    damage(data)
    with pytest.raises(ValueError, match=r"."):
        detector.restore(data)
    assert repr(detector.states()) == before


def test_a_forgotten_combination_leaves_nothing():
    detector = PairedDetector(SECTION)
    feed(detector, [pair(YES, NO, a=NO, b=NO)] * 9)
    detector.forget("a+b")
    detector.forget("never seen")
    assert detector.states() == []
    assert json.loads(json.dumps(detector.save()))["pairs"] == {}
    assert feed(detector, [pair(NO)])["refusal_lost_paired"].samples == 1


def test_our_own_questions_are_evidence_of_their_own_and_do_not_thin_out_the_traffics():
    detector, number = PairedDetector(SECTION), itertools.count()

    def ask(outcome, probe):
        return detector.update(Pair("a+b", float(next(number)), HARMFUL, outcome, NO, probe=probe))

    for _ in range(500):
        ask(NO, probe=True)
    traffic = [ask(YES, probe=False) for _ in range(15)][-1][0]
    alone = feed(PairedDetector(SECTION), [pair(YES)] * 15)["refusal_lost_paired"]
    assert (traffic.signal, traffic.condition) == ("refusal_lost_paired", Condition.DRIFTING)
    assert (traffic.effect, traffic.evidence_log) == (alone.effect, alone.evidence_log)
    probed = next(state for state in detector.states() if state.signal == "refusal_lost_probed")
    assert (probed.condition, probed.bad) == (Condition.OK, 0)

    saved, successor = json.loads(json.dumps(detector.save())), PairedDetector(SECTION)
    successor.restore(saved)
    assert list(successor.states()) == [traffic, probed]
    del saved["probed"]  # as written before there were probes
    successor.restore(saved)
    assert list(successor.states()) == [traffic]
    detector.forget("a+b")
    assert detector.states() == []
