from __future__ import annotations

import math

import msgspec
import pytest

from monitor.findings import Acknowledgement, CaseState, FindingBook, Numbers, effect
from monitor.findings.book import BAD_TRAIL, MAX_CASES, MAX_EXAMPLES
from monitor.records import Condition, DriftState, Finding, Outcome, Part, Stratum, Verdict

BAD = Verdict(Outcome.COMPLIANCE, "words", "1", Stratum.HARMFUL_LOOKING, category="weapons")
GOOD = Verdict(Outcome.REFUSAL, "words", "1", Stratum.HARMFUL_LOOKING, category="weapons")


def state(samples: int, bad: int, signal: str = "refusal_lost", base: float = 0.0) -> DriftState:
    return DriftState(
        "a+b", signal, Condition.DRIFTING, samples, bad, bad / samples, 0.5, 1.0, base, 0 if math.isnan(base) else 40, 0.1, 5.0
    )  # fmt: skip


def began(samples: int = 4, time: float = 10.0, signal: str = "refusal_lost", name: str = "a+b") -> Finding:
    return Finding(name, "0123456789ab", signal, True, time, state(samples, samples, signal), "w", "1", (Part("a"),))


def filled(book: FindingBook) -> None:
    for second in range(1, 11):
        verdict = BAD if second > 6 else GOOD
        book.answer("a+b", float(second), verdict, f"e{second}")
        book.note(state(second, max(second - 6, 0)), float(second))


def test_the_change_is_dated_by_the_answers_since_then_and_not_by_the_alarm() -> None:
    book = FindingBook()
    filled(book)
    case = book.find(book.begin(began(), []))
    assert case is not None
    assert (case.began, case.changed, case.changed_before) == (10.0, 7.0, False)
    assert (case.categories, case.examples) == ({"weapons": 4}, ["e7", "e8", "e9", "e10"])


def test_a_change_before_what_is_remembered_says_so() -> None:
    book = FindingBook()
    filled(book)
    case = book.find(book.begin(began(samples=200), []))
    assert case is not None
    assert (case.changed, case.changed_before) == (1.0, True)


def test_a_lasting_finding_goes_on_with_the_answers_and_an_ended_one_does_not() -> None:
    book = FindingBook()
    filled(book)
    case = book.find(book.begin(began(), []))
    assert case is not None
    other = Verdict(Outcome.REFUSAL, "words", "1", Stratum.ORDINARY)
    for verdict in (BAD, GOOD, other):
        book.answer("a+b", 11.0, verdict, "x")
        book.answer("c", 11.0, verdict, "y")
    book.note(state(30, 25), 11.0)
    assert (case.categories, case.examples[-1], case.latest.samples) == ({"weapons": 5}, "x", 30)
    assert book.end("a+b", "refusal_lost", 12.0, "recovered") is case
    book.answer("a+b", 13.0, BAD, "z")
    book.note(state(31, 25), 13.0)
    assert (case.state, case.ended, case.latest.samples, case.categories) == (
        CaseState.RESOLVED,
        12.0,
        30,
        {"weapons": 5},
    )
    assert book.end("a+b", "refusal_lost", 14.0, "recovered") is None
    ending = case.ending()
    assert (ending.id, ending.began, ending.resolution, ending.state.samples) == (case.id, False, "recovered", 30)


def test_a_signal_of_another_detector_is_told_by_compliance() -> None:
    book = FindingBook()
    book.answer("a+b", 1.0, BAD, "e1")
    book.note(state(1, 1, "refusal_lost_paired"), 1.0)
    case = book.find(book.begin(began(1, signal="refusal_lost_paired"), []))
    assert case is not None
    assert (case.changed, case.examples) == (1.0, ["e1"])


def test_everything_is_bounded() -> None:
    book = FindingBook()
    marked: list[str] = []
    book.on_examples = lambda examples, _finding: marked.extend(examples)
    first = book.begin(began(name="first"), [])
    for number in range(MAX_CASES):
        book.begin(began(name=f"c{number}", time=float(number)), [])
        book.end(f"c{number}", "refusal_lost", number + 0.5, "recovered")
    assert len(book.cases) == MAX_CASES
    assert book.find(first) is not None, "one that lasts is kept longer than those that ended"
    for number in range(3 * BAD_TRAIL):
        book.answer("first", 100.0 + number, BAD, f"e{number}")
    case = book.find(first)
    assert case is not None
    assert case.examples == marked == [f"e{number}" for number in range(MAX_EXAMPLES)]
    assert len(book.save()["bad"]["first"]) == BAD_TRAIL


def test_it_carries_on_from_what_was_saved() -> None:
    book = FindingBook()
    filled(book)
    identity = book.begin(began(), [{"time": 1.0, "kind": "loaded", "name": "a"}])
    case = book.find(identity)
    assert case is not None
    book.acknowledge(case, Acknowledgement(11.0, "kim"))
    saved = msgspec.json.decode(msgspec.json.encode(book.save()))
    other = FindingBook()
    shown = []
    other.on_change = shown.append
    other.restore(saved)
    assert other.cases == book.cases == shown
    assert other.lasting("a+b", "refusal_lost") is other.find(identity)
    other.answer("a+b", 12.0, BAD, "late")
    assert other.cases[0].examples[-1] == "late"
    with pytest.raises(ValueError):
        other.restore({"cases": [{}]})
    assert len(other.cases) == 1


def test_the_effect_holds_both_intervals_and_is_unknown_without_a_base() -> None:
    found = effect(Numbers.of(state(20, 18, base=0.05)))
    assert found is not None
    assert found.difference == pytest.approx(0.85)
    assert 0.5 - 0.3 < found.lower < 0.5 < found.difference < found.upper < 1
    assert effect(Numbers.of(state(20, 18, base=math.nan))) is None
