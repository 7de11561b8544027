"""What a round's answers say of a combination."""

from __future__ import annotations

import random
from collections.abc import Sequence

from monitor.adapters.registry import Evaluation
from monitor.adapters.validation import Probed
from monitor.probes.asking import Answer, Ask, Decoding
from monitor.probes.measure import Judged
from monitor.probes.shipped import SHIPPED
from monitor.probes.suite import Probe, Suite
from monitor.probing.rounds import Reason, Record, Target, drawn, record_of
from monitor.records import Outcome, Verdict

SUITE = Suite("own", (*SHIPPED["harmful"]().probes[:30], *SHIPPED["ordinary"]().probes[:10]))
TARGET = Target(
    label="a+b", served_name="a-b", combination_id="0" * 12, digest="1" * 64, parts=2, base="base", base_digest="2" * 64
)
BAD, GOOD = Outcome.COMPLIANCE, Outcome.REFUSAL


def judged(model: str, probe: Probe, outcome: Outcome | str) -> Judged:
    """An answer with this outcome, or one that failed with this word."""
    if not isinstance(outcome, Outcome):
        return Judged(Answer(Ask(model, probe), failure=outcome), None)
    return Judged(Answer(Ask(model, probe), "text"), Verdict(outcome, "words", "1"))


def found(own: Sequence[Outcome | str], base: Sequence[Outcome | str], reason: Reason = Reason.FIRST_USE) -> Record:
    """A round over as many of the suite's questions as there are outcomes."""
    return record_of(
        TARGET,
        reason,
        SUITE,
        [judged("a-b", probe, outcome) for probe, outcome in zip(SUITE.probes, own, strict=False)],
        [judged("base", probe, outcome) for probe, outcome in zip(SUITE.probes, base, strict=False)],
        scorer=("words", "1"),
        decoding=Decoding(),
        time=(1_700_000_000.0, 1_700_000_100.0),
    )


def test_a_combination_that_loses_refusals_beyond_chance_fails_with_its_interval() -> None:
    record = found([BAD] * 10 + [GOOD] * 20 + [BAD] * 10, [GOOD] * 30 + [BAD] * 10)
    assert record.result is Probed.FAILED
    assert record.sentence == (
        "probing on 2023-11-14 found it worse than its base: refusal_lost on harmful_looking 33% (17% to 53%, 30 answers), "
        "base 0%"
    )
    lost = next(one for one in record.figures if one.failing)
    assert (lost.signal, lost.bad, lost.samples, lost.worse, lost.better) == ("refusal_lost", 10, 30, 10, 0)
    evaluation = Evaluation.model_validate(record.evaluation)
    assert (evaluation.scope, evaluation.base_version, evaluation.suite) == ("combined", "2" * 64, "own")
    assert {one.slice for one in evaluation.metrics if one.type == "base_refusal_lost"} >= {"harmful_looking"}


def test_one_that_answers_like_its_base_passes_and_one_question_more_or_less_is_chance() -> None:
    record = found([BAD] * 3 + [GOOD] * 27 + [BAD] * 10, [GOOD] * 29 + [BAD] * 11)
    assert record.result is Probed.PASSED
    assert "did not find it worse than its base: refusal_lost on harmful_looking 10%" in record.sentence


def test_where_the_base_declines_hardly_anything_nothing_is_passed() -> None:
    record = found([BAD] * 40, [GOOD] * 10 + [BAD] * 30)
    assert record.result is Probed.FAILED, "ten lost of ten are still beyond chance"
    record = found([BAD] * 15 + [GOOD] * 15 + [BAD] * 10, [BAD] * 15 + [GOOD] * 15 + [BAD] * 10)
    assert record.result is Probed.UNMEASURED
    assert record.sentence.endswith("came to nothing: its base declines only 15 of the harmful-looking questions")
    assert record.evaluation == {}
    assert record.enough


def test_too_few_judged_answers_are_no_measurement_whatever_they_say() -> None:
    record = found(["overloaded"] * 25 + [BAD] * 15, [GOOD] * 30 + [BAD] * 10)
    assert record.result is Probed.UNMEASURED
    assert "too few answers could be judged (25 overloaded)" in record.sentence
    assert not record.enough


def test_a_scheduled_round_is_a_drawn_part_that_says_so_and_does_not_validate() -> None:
    record = found([GOOD] * 30, [GOOD] * 30, Reason.SCHEDULED)
    assert record.evaluation["context"].endswith("; 30 of 40 questions, drawn at random")
    assert not record.validates
    assert found([GOOD] * 30 + [BAD] * 10, [GOOD] * 30 + [BAD] * 10).validates
    chance = random.Random(1)
    first, second = (drawn(SUITE, 12, chance, whole=False) for _ in range(2))
    assert len({probe.id for probe in first}) == len({probe.id for probe in second}) == 12
    assert {probe.id for probe in first} != {probe.id for probe in second}
    assert {probe.id for probe in drawn(SUITE, 12, chance, whole=True)} == {probe.id for probe in SUITE.probes}
