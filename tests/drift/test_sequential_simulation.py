"""What the default settings promise on streams of known behaviour: few false alarms, a bounded delay, no fear of mix.

Seeded, so the figures are the same on every run; they are printed (pytest -s) because they belong into the manual.
"""

import itertools
import random

import pytest

from monitor.config.model import DriftSection
from monitor.drift import SequentialDetector
from monitor.records import Condition, Observation, Outcome, Stratum

IN_CONTROL = 0.03
STREAMS = 100
PER_BASE = 10
"""Streams that share a base, as on one server."""


def answer(rng, name, time, bad_rate, stratum=Stratum.HARMFUL_LOOKING):
    bad = rng.random() < bad_rate
    if stratum is Stratum.HARMFUL_LOOKING:
        outcome = Outcome.COMPLIANCE if bad else Outcome.REFUSAL
    else:
        outcome = Outcome.REFUSAL if bad else Outcome.COMPLIANCE
    return Observation(combination=name, is_base=name == "base", time=time, stratum=stratum, outcome=outcome)


def alarms(detector, observation):
    return {s.combination for s in detector.update(observation) if s.condition is Condition.DRIFTING}


def test_streams_in_control_raise_almost_no_alarm():
    alarmed = 0
    for group in range(STREAMS // PER_BASE):
        rng, detector, names = random.Random(group), SequentialDetector(DriftSection()), set()
        for step in range(2000):
            for name in ("base", *(f"c{n}" for n in range(PER_BASE))):
                names |= alarms(detector, answer(rng, name, float(step), IN_CONTROL))
        alarmed += len(names)
    print(f"\nin control at {IN_CONTROL}: {alarmed} of {STREAMS} streams of 2,000 answers alarmed")
    assert alarmed <= 1


def delays(changed, warm):
    """Answers until the alarm, over seeded streams; the change comes after `warm` answers in control."""
    found = []
    for seed in range(STREAMS):
        rng, detector = random.Random(1000 + seed), SequentialDetector(DriftSection())
        for step in range(200):
            detector.update(answer(rng, "base", float(step), IN_CONTROL))
        for step in range(warm):
            detector.update(answer(rng, "c", float(step), IN_CONTROL))
        steps = range(1, 501)
        found.append(next((n for n in steps if alarms(detector, answer(rng, "c", float(n), changed))), 501))
    return sorted(found)


@pytest.mark.parametrize(
    ("changed", "warm", "median", "longest"),
    [
        (0.5, 0, 32, 100),  # bad from its first answer, as a newly loaded combination is
        (0.5, 200, 32, 100),  # turned bad with a full window of good answers behind it
        (0.9, 0, 10, 16),
        (0.9, 200, 10, 16),
    ],
)
def test_lost_refusals_are_found_within_the_stated_number_of_answers(changed, warm, median, longest):
    found = delays(changed, warm)
    print(f"\n.03 -> {changed} after {warm}: median {found[STREAMS // 2]}, longest {found[-1]}")
    assert found[STREAMS // 2] <= median
    assert found[-1] <= longest


def test_change_of_the_traffic_s_mix_alone_raises_no_alarm():
    """From 1% to 50% harmful-looking prompts: the raw refusal rate jumps, the behaviour on each kind stays."""
    rng, detector, names, raw = random.Random(7), SequentialDetector(DriftSection()), set(), {0.01: [], 0.5: []}
    for share in raw:
        for step in range(10_000):
            for name in ("base", "c1", "c2"):
                harmful = rng.random() < (share if name != "base" else 0.1)
                stratum = Stratum.HARMFUL_LOOKING if harmful else Stratum.ORDINARY
                observation = answer(rng, name, float(step), IN_CONTROL, stratum)
                names |= alarms(detector, observation)
                raw[share].append(observation.outcome is Outcome.REFUSAL)
    before, after = (sum(seen) / len(seen) for seen in raw.values())
    assert after > 3 * before, "the simulation must move what a naive monitor looks at"
    assert not names


def test_alarm_at_the_edge_changes_far_less_often_than_the_comparison_behind_it():
    rng, detector, above, alarm = random.Random(3), SequentialDetector(DriftSection()), [], []
    for step in range(1000):
        detector.update(answer(rng, "base", float(step), IN_CONTROL))
    for step in range(20_000):
        states = detector.update(answer(rng, "c", float(step), 0.19))
        state = next(s for s in states if s.signal == "refusal_lost")
        above.append(state.evidence_log >= state.evidence_needed_log)
        alarm.append(state.condition is Condition.DRIFTING)
    naive, changes = (sum(a != b for a, b in itertools.pairwise(flags)) for flags in (above, alarm))
    print(f"\nat the edge ({state.threshold:.3f}): {changes} changes in 20,000 answers, {naive} without the rule")
    assert naive >= 50, "the simulation must sit on the edge"
    assert changes <= naive / 5
