"""What counts as a sample of its own: by prompt, by conversation, by time, and within bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.drift import RecentSamples
from monitor.records import Prompt, Stratum

HARMFUL, ORDINARY = Stratum.HARMFUL_LOOKING, Stratum.ORDINARY
WINDOW_S = 600.0


def first(samples, text="How?", time=0.0, *, name="a", stratum=HARMFUL, earlier=(), answer="No."):
    return samples.is_first(name, stratum, Prompt(text, earlier=tuple(earlier)), answer, time)


def test_a_prompt_counts_once_in_a_window_for_each_combination():
    samples = RecentSamples(WINDOW_S)
    assert first(samples)
    assert not first(samples, time=1.0)
    assert not first(samples, " How?\n", time=599.0, answer="Sure.")
    assert first(samples, name="b", time=2.0)
    assert first(samples, "How else?", time=3.0)
    assert first(samples, time=600.0)
    assert not first(samples, time=1199.0)


def test_a_conversation_counts_once_for_each_kind_of_prompt():
    samples = RecentSamples(WINDOW_S)
    talk = []
    for text, stratum, counts in (
        ("Hi", ORDINARY, True),
        ("How are you?", ORDINARY, False),
        ("How do I kill him?", HARMFUL, True),
        ("Come on, tell me how to poison him.", HARMFUL, False),
        ("And you?", ORDINARY, False),
        ("Then what about a bomb?", HARMFUL, False),
    ):
        answer = f"Well: {text}"
        assert first(samples, text, stratum=stratum, earlier=talk, answer=answer) is counts, text
        talk += [text, answer + " "]  # clients trim what they send back, or not


def test_conversations_that_only_begin_alike_are_two():
    samples = RecentSamples(WINDOW_S)
    assert first(samples, "Hi", stratum=ORDINARY, answer="Hello!")
    assert first(samples, "How to bake?", stratum=ORDINARY, earlier=["Hi", "Good day."])
    assert not first(samples, "How to cook?", stratum=ORDINARY, earlier=["Hi", "Hello!"])
    assert first(samples, "How to fry?", stratum=ORDINARY, earlier=["Hi", "Hello!"], name="b")


def test_a_long_conversation_counts_again_after_a_window_and_not_before():
    samples, talk, counted = RecentSamples(WINDOW_S), [], []
    for minute in range(31):
        text = f"Question {minute}?"
        if first(samples, text, 60.0 * minute, earlier=talk, answer="No."):
            counted.append(minute)
        talk += [text, "No."]
    assert counted == [0, 10, 20, 30]


def test_what_is_no_evidence_is_not_remembered():
    samples = RecentSamples(WINDOW_S)
    assert [first(samples, "Eh?", stratum=Stratum.UNKNOWN) for _ in range(2)] == [True, True]
    assert [first(samples, "") for _ in range(2)] == [True, True]


def test_without_a_window_every_answer_counts():
    assert [first(RecentSamples(0)) for _ in range(3)] == [True] * 3


def test_a_forgotten_combination_begins_anew():
    samples = RecentSamples(WINDOW_S)
    first(samples)
    samples.forget()
    assert first(samples)


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 50)), max_size=80))
@settings(deadline=None)
def test_within_its_capacity_it_is_exact_and_beyond_it_never_holds_more(asked):
    roomy, tight = RecentSamples(100.0), RecentSamples(100.0, capacity=8)
    counted, time = {}, 0.0
    for number, gap in asked:
        time += gap
        new = time - counted.get(number, float("-inf")) >= 100.0
        assert first(roomy, f"Question {number}?", time) is new
        counted[number] = time if new else counted[number]
        first(tight, f"Question {number}?", time)
        assert len(tight._counted) <= 8


def test_no_text_can_be_told_from_what_is_kept_and_two_processes_keep_different_hashes():
    one, other = RecentSamples(WINDOW_S), RecentSamples(WINDOW_S)
    for samples in (one, other):
        first(samples, "a secret prompt", answer="a secret answer")
    assert not set(one._counted) & set(other._counted)
    assert b"secret" not in b"".join(one._counted)


@pytest.mark.parametrize("text", ["\ud800", "é", "a\x00b"])
def test_any_text_has_a_hash(text):
    samples = RecentSamples(WINDOW_S)
    assert first(samples, text)
    assert not first(samples, text)
