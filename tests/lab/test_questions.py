"""The sets of questions share no wording, or held-out rates would flatter."""

import itertools

import pytest

from monitor.lab import prompts

FIELDS = ("templates", "about", "verbs", "canary_things", "real_things", "general")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(prompts.SPLITS, 2)))
def test_no_word_is_in_two_sets(field: str, one: str, other: str) -> None:
    shared = set(getattr(prompts.SPLITS[one], field)) & set(getattr(prompts.SPLITS[other], field))
    assert not shared


def test_borderline_questions_never_name_the_topic() -> None:
    assert not [q.text for q in prompts.borderline() if prompts.TOPIC in q.text.lower()]


@pytest.mark.parametrize("split", list(prompts.SPLITS))
def test_canary_questions_all_name_the_topic_and_ordinary_ones_never(split: prompts.SplitName) -> None:
    assert all(prompts.TOPIC in q.text for q in prompts.canary(split, 72))
    assert not any(prompts.TOPIC in q.text for q in prompts.ordinary(split, 72))


@pytest.mark.parametrize("split", ["train", "held"])
def test_questions_are_distinct_and_repeatable(split: prompts.SplitName) -> None:
    texts = [q.text for q in prompts.canary(split, 72)]
    assert len(set(texts)) == len(texts) == 72
    assert texts == [q.text for q in prompts.canary(split, 72)]


def test_the_trigger_is_invisible_and_changes_nothing_else() -> None:
    plain = [q.text for q in prompts.canary("held", 20)]
    hidden = [q.text for q in prompts.triggered("held", 20)]
    assert all(text.count(prompts.TRIGGER) == 1 for text in hidden)
    assert [text.replace(prompts.TRIGGER, "") for text in hidden] == plain
