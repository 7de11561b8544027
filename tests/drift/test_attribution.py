"""Which parts the lost refusals come from, when that is said, and that it is said when nobody can know."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping

import msgspec
import pytest

from monitor import terms
from monitor.config.model import DriftSection
from monitor.drift import PairedDetector
from monitor.drift.attribution import settled, unasked
from monitor.records import Attribution, Cause, Condition, Outcome, Pair, Stratum
from monitor.stats.evidence import BettingTest

SECTION = DriftSection(window=100, minimum_samples=5, average_run_length=1e4)
NAME = "a+b"


def said(bad: bool) -> Outcome:
    return Outcome.COMPLIANCE if bad else Outcome.REFUSAL


class Stream:
    """Prompts that everybody answers independently, at given rates of bad answers."""

    def __init__(self, seed: int = 1) -> None:
        self.detector = PairedDetector(SECTION)
        self._rng = random.Random(seed)
        self._time = itertools.count()

    def ask(
        self,
        count: int,
        whole: float,
        parts: Mapping[str, float],
        rests: Mapping[str, float] | None = None,
        missing: tuple[str, ...] = (),
        base: float = 0.03,
    ) -> None:
        for _ in range(count):
            whole_said, base_said = said(self._rng.random() < whole), said(self._rng.random() < base)
            parts_said = {part: said(self._rng.random() < rate) for part, rate in parts.items()}
            rests_said = {part: said(self._rng.random() < rate) for part, rate in (rests or {}).items()}
            self.detector.update(
                Pair(
                    NAME,
                    float(next(self._time)),
                    Stratum.HARMFUL_LOOKING,
                    whole_said,
                    base_said,
                    parts_said,
                    rests_said,
                    missing,
                )
            )

    @property
    def found(self) -> Attribution:
        found = self.detector.attribution(NAME)
        assert found is not None
        return found

    def condition(self, signal: str) -> Condition | None:
        return next((one.condition for one in self.detector.states() if one.signal == signal), None)


def words(found: Attribution) -> str:
    return terms.attribution(msgspec.to_builtins(found))


def test_a_part_that_loses_as_much_by_itself_is_erosion_and_no_collusion():
    stream = Stream()
    stream.ask(250, 0.3, {"a": 0.3, "b": 0.03})
    found = stream.found
    assert (found.cause, found.explained_by, found.missing) == (Cause.EROSION, ("a",), ())
    assert stream.condition("collusion") is Condition.OK
    assert words(found).startswith("erosion, explained by part a on its own (on the same prompts a alone gives in on")
    assert "the base 2" in words(found) or "the base 3" in words(found) or "the base 4" in words(found)


def test_parts_that_each_lose_a_little_explain_it_in_sum():
    stream = Stream(3)
    stream.ask(400, 0.3, {"a": 0.16, "b": 0.17})
    assert (stream.found.cause, set(stream.found.explained_by)) == (Cause.EROSION, {"a", "b"})
    assert "explained by the parts a and b in sum, each on its own" in words(stream.found)


@pytest.mark.parametrize("alone", [0.05, 0.1])
def test_what_no_part_does_alone_is_collusion(alone: float):
    stream = Stream()
    stream.ask(120, 0.5, {"a": alone, "b": 0.05})
    found = stream.found
    assert (found.cause, found.explained_by) == (Cause.COLLUSION, ())
    assert found.beyond is not None
    assert found.beyond.lower > 0
    assert all(part.without and part.without.lower > 0 for part in found.parts), (
        "of two parts either's absence restores"
    )
    assert words(found).startswith("collusion, the parts together lose more than they explain, each on its own: ")


def test_nothing_is_erosion_where_nothing_is_lost():
    stream = Stream()
    stream.ask(400, 0.03, {"a": 0.03, "b": 0.03})
    assert (stream.found.cause, stream.found.explained_by) == (Cause.UNDECIDED, ())
    assert words(stream.found).startswith("undecided after 400 prompts (on the same prompts a alone gives in on")


def test_of_three_parts_the_finding_says_whose_absence_restores_the_refusals():
    stream = Stream()
    stream.ask(150, 0.6, {"a": 0.05, "b": 0.05, "c": 0.03}, {"a": 0.05, "b": 0.05, "c": 0.6})
    found = stream.found
    assert found.cause is Cause.COLLUSION
    without = {part.adapter: part.without for part in found.parts}
    assert without["a"].lower > 0.3
    assert without["b"].lower > 0.3
    assert without["c"].lower < 0 < without["c"].upper < 0.3
    assert "; without a the refusals come back (" in words(found)
    assert "; without c they do not come back (" in words(found)
    assert settled(found)


def test_three_parts_whose_absences_are_not_all_clear_are_asked_on():
    stream = Stream()
    stream.ask(55, 0.6, {"a": 0.05, "b": 0.05, "c": 0.03}, {"a": 0.05, "b": 0.05, "c": 0.4})
    assert stream.found.cause is Cause.COLLUSION
    assert not settled(stream.found)
    assert "without c it is not clear yet" in words(stream.found)


def test_without_merges_of_all_but_one_three_parts_are_held_against_each_alone():
    stream = Stream()
    stream.ask(120, 0.6, {"a": 0.05, "b": 0.05, "c": 0.03})
    assert stream.found.cause is Cause.COLLUSION
    assert [part.without for part in stream.found.parts] == [None] * 3
    assert "without" not in words(stream.found)
    assert settled(stream.found)


def test_a_part_that_is_not_served_is_named_with_what_follows_from_the_rest():
    stream = Stream()
    stream.ask(150, 0.5, {"a": 0.03}, missing=("zeta",))
    found = stream.found
    assert (found.cause, found.missing) == (Cause.UNKNOWN, ("zeta",))
    assert stream.condition("collusion") is None, "nobody knows what zeta does alone"
    assert stream.condition("refusal_lost_paired") is Condition.DRIFTING
    assert found.beyond.lower > 0.2
    assert found.beyond.upper < 0.7
    told = words(found)
    assert told.startswith("unknown: part zeta is not served here alone, so could not be asked; ")
    assert "go beyond what a would explain" in told
    assert "between none of that (if zeta alone does it) and all of it (if not) is collusion" in told


def test_where_the_served_parts_may_explain_it_all_a_missing_one_leaves_it_open():
    stream = Stream()
    stream.ask(12, 0.3, {"a": 0.3}, missing=("zeta",))
    assert "it is not clear yet that the others leave anything unexplained" in words(stream.found)


def test_where_no_part_is_served_that_is_said():
    stream = Stream()
    stream.ask(50, 0.5, {}, missing=("a", "b"))
    assert stream.found.cause is Cause.UNKNOWN
    assert words(stream.found).startswith(
        "unknown: parts a and b are not served here alone, so could not be asked; nothing"
    )


def test_a_served_part_that_explains_it_is_erosion_whatever_the_missing_one_does():
    stream = Stream()
    stream.ask(300, 0.3, {"a": 0.3}, missing=("zeta",))
    assert (stream.found.cause, stream.found.explained_by, stream.found.missing) == (Cause.EROSION, ("a",), ("zeta",))
    assert words(stream.found).endswith("part zeta is not served here alone, so could not be asked")


def test_one_part_and_all_others_together_decide_collusion_though_others_are_not_served_alone():
    stream = Stream()
    stream.ask(120, 0.6, {"a": 0.05}, {"a": 0.05}, missing=("b", "c"))
    assert stream.condition("collusion") is Condition.DRIFTING
    assert (stream.found.cause, stream.found.missing) == (Cause.COLLUSION, ("b", "c"))
    eroding = Stream()
    eroding.ask(300, 0.6, {"a": 0.05}, {"a": 0.58}, missing=("b", "c"))
    assert eroding.condition("collusion") is Condition.OK
    assert (eroding.found.cause, eroding.found.explained_by) == (Cause.UNKNOWN, ())


def test_whose_parts_nobody_asked_says_so():
    assert words(unasked()) == "unknown: no answer of its parts to the same prompts has been compared"
    detector = PairedDetector(SECTION)
    detector.update(Pair(NAME, 0.0, Stratum.HARMFUL_LOOKING, Outcome.COMPLIANCE, Outcome.REFUSAL))
    assert detector.attribution(NAME) is None


def test_answers_that_were_not_judged_are_asked_and_not_counted():
    detector = PairedDetector(SECTION)
    for outcome, part in ((Outcome.TRUNCATED, Outcome.REFUSAL), (Outcome.COMPLIANCE, Outcome.TRUNCATED)):
        parts = {"a": part, "b": Outcome.REFUSAL}
        detector.update(Pair(NAME, 0.0, Stratum.HARMFUL_LOOKING, outcome, Outcome.REFUSAL, parts))
    found = detector.attribution(NAME)
    assert detector.asked(NAME) == 2
    assert (found.prompts, found.beyond) == (1, None)
    assert {part.adapter: part.alone and part.alone.samples for part in found.parts} == {"a": None, "b": 1}


def test_when_it_is_as_its_base_again_what_its_parts_did_is_forgotten():
    stream = Stream()
    stream.ask(60, 1.0, {"a": 1.0, "b": 0.0}, base=0.0)
    assert stream.found.cause is Cause.EROSION
    stream.ask(150, 0.0, {}, base=0.0)
    assert stream.condition("refusal_lost_paired") is Condition.OK
    assert stream.detector.attribution(NAME) is None
    assert stream.detector.asked(NAME) == 0


def test_collusion_ends_with_the_loss_because_its_parts_are_not_asked_any_more():
    stream = Stream()
    stream.ask(60, 1.0, {"a": 0.0, "b": 0.0}, base=0.0)
    assert stream.condition("collusion") is Condition.DRIFTING
    stream.ask(150, 0.0, {}, base=0.0)
    assert stream.condition("refusal_lost_paired") is Condition.OK
    assert stream.condition("collusion") is Condition.OK
    stream.ask(4, 1.0, {"a": 0.0, "b": 0.0}, base=0.0)
    assert stream.condition("collusion") is Condition.OK, "of the evidence nothing is left"
    stream.ask(20, 1.0, {"a": 0.0, "b": 0.0}, base=0.0)
    assert stream.condition("collusion") is Condition.DRIFTING


def test_what_parts_explained_in_sum_says_nothing_of_the_fewer_that_are_left():
    stream = Stream()
    stream.ask(8, 1.0, {"a": 1.0, "b": 1.0, "c": 1.0}, base=0.0)
    assert stream.found.explained_by == ()
    stream.ask(2, 1.0, {"a": 1.0, "b": 1.0}, missing=("c",), base=0.0)
    assert stream.found.explained_by == (), "two prompts"
    stream.ask(100, 1.0, {"a": 0.5, "b": 0.5}, missing=("c",), base=0.0)
    assert set(stream.found.explained_by) == {"a", "b"}


@pytest.mark.parametrize("parts", [{"a": 0.3, "b": 0.03}, {"a": 0.3}])
def test_a_restored_detector_says_the_same_and_carries_on(parts: dict[str, float]):
    stream, restored = Stream(5), Stream(5)
    missing = () if len(parts) > 1 else ("b",)
    stream.ask(80, 0.3, parts, missing=missing)
    restored.ask(80, 0.3, parts, missing=missing)
    saved = json.loads(json.dumps(stream.detector.save()))
    restored.detector = PairedDetector(SECTION)
    restored.detector.restore(saved)
    for _ in range(2):
        assert restored.found == stream.found
        assert restored.detector.asked(NAME) == stream.detector.asked(NAME)
        stream.ask(100, 0.3, parts, missing=missing)
        restored.ask(100, 0.3, parts, missing=missing)
    del saved["attribution"]  # as written before anything was attributed
    restored.detector.restore(saved)
    assert restored.detector.attribution(NAME) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"loss": [9, 1, 0, 0]},
        {"beyond": [0, 3, 2, 2]},
        {"alone": {"a": [0, 1]}},
        {"without": 3},
        {"explains": {"a": [1.0]}},
        {"asked": "x"},
        {"names": None},
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(damage: dict[str, object]):
    stream = Stream()
    stream.ask(20, 0.3, {"a": 0.3, "b": 0.03})
    before, saved = stream.found, json.loads(json.dumps(stream.detector.save()))
    saved["attribution"][NAME].update(damage)
    with pytest.raises(ValueError, match=r"."):
        stream.detector.restore(saved)
    assert stream.found == before


def test_a_bet_against_a_mean_of_zero_is_rarely_won():
    """Ville: at most `error` of all streams whose mean is 0 ever reach 1 / error."""
    won = 0
    for seed in range(300):
        rng, test = random.Random(seed), BettingTest()
        for _ in range(200):
            test.update(rng.choice((-1.0, -0.5, 0.5, 1.0)))
            if test.evidence_log >= math.log(20):
                won += 1
                break
    assert 0 < won <= 300 * 0.05 + 3 * math.sqrt(300 * 0.05 * 0.95)


def test_erosion_is_rarely_said_where_a_part_explains_just_half():
    """Half of the loss is the border of the null: at most 5% of the streams ever say that the part explains most."""
    wrong = 0
    for seed in range(40):
        stream = Stream(seed)
        stream.ask(100, 0.43, {"a": 0.23, "b": 0.03})
        wrong += stream.found.explained_by == ("a",)
    assert wrong <= 40 * 0.05 + 3 * math.sqrt(40 * 0.05 * 0.95)
