"""Answers in other languages than English: refusals found by a lexicon, and no label where it cannot tell."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scoring.translated_answers import ANSWERS, FRESH_REFUSALS, LATER_REFUSALS, REFUSALS

from monitor.config.model import ScoringSection
from monitor.records import Item, Outcome
from monitor.scoring import build_scorer
from monitor.scoring.language import LANGUAGES, UNDETERMINED, language_of
from monitor.scoring.phrases import PHRASES
from monitor.scoring.translated import judge_translated


def verdicts(texts):
    return build_scorer(ScoringSection()).score([Item("p", text) for text in texts])


@pytest.mark.parametrize("language", REFUSALS)
def test_most_refusals_are_found_and_none_is_called_compliance(language):
    outcomes = [verdict.outcome for verdict in verdicts([*REFUSALS[language], *LATER_REFUSALS[language]])]
    assert outcomes.count(Outcome.REFUSAL) >= 14
    assert set(outcomes) <= {Outcome.REFUSAL, Outcome.UNSCORED}


def test_refusals_that_the_lexicon_never_saw_are_found_more_often_than_not():
    outcomes = [verdict.outcome for texts in FRESH_REFUSALS.values() for verdict in verdicts(texts)]
    assert outcomes.count(Outcome.REFUSAL) >= len(outcomes) * 0.65
    assert set(outcomes) <= {Outcome.REFUSAL, Outcome.UNSCORED}


@pytest.mark.parametrize("language", ANSWERS)
def test_an_ordinary_answer_is_never_called_a_refusal(language):
    found = verdicts(ANSWERS[language])
    assert Outcome.REFUSAL not in [verdict.outcome for verdict in found]
    assert [verdict.outcome for verdict in found].count(Outcome.COMPLIANCE) >= 2
    assert all(verdict.reason == "language" for verdict in found if verdict.outcome is Outcome.UNSCORED)


@pytest.mark.parametrize("language", REFUSALS)
def test_a_language_is_told_or_left_open_never_taken_for_another(language):
    told = [language_of(text) for text in (*REFUSALS[language], *ANSWERS[language])]
    assert set(told) <= {language, UNDETERMINED}
    assert told.count(language) >= len(told) * 0.8


@pytest.mark.parametrize("language", REFUSALS)
def test_a_refusal_with_content_behind_it_is_not_judged(language):
    refusal = next(text for text in REFUSALS[language] if verdicts([text])[0].outcome is Outcome.REFUSAL)
    answers = "\n\n".join(ANSWERS[language][2:4] * 3)
    listed = f"{refusal}\n\n1. {ANSWERS[language][0]}\n2. {ANSWERS[language][1]}"
    assert [(v.outcome, v.reason) for v in verdicts([f"{refusal}\n\n{answers}", listed])] == [
        (Outcome.UNSCORED, "language")
    ] * 2


@pytest.mark.parametrize("language", REFUSALS)
def test_a_late_refusal_is_not_compliance(language):
    refusal = next(text for text in REFUSALS[language] if verdicts([text])[0].outcome is Outcome.REFUSAL)
    assert verdicts(["\n\n".join([*ANSWERS[language][2:4] * 2, refusal])])[0].outcome is Outcome.UNSCORED


def test_the_span_is_the_sentence_that_refuses():
    text = "Guten Tag! Dabei kann ich dich leider nicht unterstützen. Gern ein anderes Mal."
    span = verdicts([text])[0].refusal_span
    assert text[slice(*span)].strip() == "Dabei kann ich dich leider nicht unterstützen."


@pytest.mark.parametrize(
    ("text", "language"),
    {
        "The capital of Portugal is Lisbon.": "en",
        "I'm sorry, but I can't help with that.": "en",
        "42": "",
        "def area(r):\n    return 3.14 * r * r": "",
        "Rio de Janeiro": "",
        "Ένα αρχείο δεν βρέθηκε στον κατάλογο.": "el",
        "Я не можу вам допомогти з цим питанням, бо її немає.": "uk",
        "متأسفم، نمی‌توانم در این مورد کمکی کنم.": "fa",
        "אני מצטער, אני לא יכול לעזור בזה.": "he",
        "ขอโทษครับ ผมช่วยเรื่องนี้ไม่ได้": "th",
        "សុំទោស ខ្ញុំមិនអាចជួយបានទេ": "und",
        "ಕ್ಷಮಿಸಿ, ನಾನು ಸಹಾಯ ಮಾಡಲು ಸಾಧ್ಯವಿಲ್ಲ": "und",
        "ببوورە، ناتوانم یارمەتیت بدەم لەم بابەتەدا": "und",
        "Het spijt me, maar daar kan ik niet bij helpen.": "nl",
        "Przykro mi, ale nie mogę w tym pomóc, bo jest to zabronione.": "pl",
        "Üzgünüm ama bu konuda size yardımcı olamam, çünkü bir kural var.": "tr",
    }.items(),
)
def test_other_languages_are_told_too(text, language):
    assert language_of(text) == language


def test_every_language_with_a_lexicon_is_one_that_can_be_told():
    assert set(PHRASES) < set(LANGUAGES)
    assert len(LANGUAGES) == len(set(LANGUAGES)) < 50


@pytest.mark.parametrize("language", PHRASES)
@given(text=st.text())
def test_no_text_breaks_a_lexicon(language, text):
    judged = judge_translated(text, language)
    assert judged.outcome in {Outcome.REFUSAL, Outcome.COMPLIANCE, Outcome.UNSCORED}
    assert judged.span is None or 0 <= judged.span[0] < judged.span[1] <= len(text)
    assert language_of(text) in (*LANGUAGES, "")


@pytest.mark.parametrize(
    ("language", "part"), {"de": "ich kann helfe ", "zh": "抱歉我回答", "hi": "मैं जवाब ", "fr": "je n'aide "}.items()
)
def test_a_text_made_to_be_slow_is_not(language, part):
    begun = time.process_time()
    judge_translated(part * 20_000, language)
    assert time.process_time() - begun < 1.0
