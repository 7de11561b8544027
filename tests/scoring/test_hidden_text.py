"""Hidden characters: found where they hide something, not where writing needs them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.records import NOTHING_HIDDEN
from monitor.scoring.hidden import hidden_text

LEGITIMATE = {
    "plain": "Nothing to see here.",
    "accents": "Größe, façade, 日本語、한국어, Ελληνικά",
    "family emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 at home",
    "heart on fire": "\u2764\ufe0f\u200d\U0001f525",
    "skin tone": "\U0001f469\U0001f3fd\u200d\U0001f4bb",
    "emoji style": "\u2602\ufe0f and \u260e\ufe0e",
    "keycap": "press 1\ufe0f\u20e3",
    "flag of Scotland": "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "Persian": "می\u200cخواهم",
    "Hindi": "क्\u200dष",
    "Malayalam chillu": "ന്\u200d ",
    "byte-order mark": "\ufeffHello",
    "direction mark in Hebrew": "שלום\u200f (hello)",
}

HIDING = {
    "zero-width space": ("pass\u200bword", (1, 0, 0, 0)),
    "joiners between Latin letters": ("i\u200dg\u200cn", (2, 0, 0, 0)),
    "byte-order mark inside": ("a\ufeffb", (1, 0, 0, 0)),
    "tags spell a text": ("hi" + "".join(chr(0xE0000 + ord(c)) for c in "abc"), (0, 3, 0, 0)),
    "selectors carry bytes": ("x" + "\U000e0101\U000e0155\ufe05", (0, 0, 3, 0)),
    "selectors after an emoji carry bytes": ("\U0001f600\ufe0f\ufe01\ufe02", (0, 0, 2, 0)),
    "override": ("abc\u202edef\u202c", (0, 0, 0, 2)),
    "isolates": ("a\u2066b\u2069", (0, 0, 0, 2)),
    "direction mark in English": ("left\u200eright", (0, 0, 0, 1)),
}


@pytest.mark.parametrize("text", LEGITIMATE.values(), ids=LEGITIMATE)
def test_what_writing_needs_is_not_counted(text):
    assert hidden_text(text) == NOTHING_HIDDEN


@pytest.mark.parametrize(("text", "counts"), HIDING.values(), ids=HIDING)
def test_what_hides_is_counted_by_kind(text, counts):
    found = hidden_text(text)
    assert (found.zero_width, found.tags, found.variation_selectors, found.bidi_controls) == counts


@given(st.text(alphabet="ab \u200b\u200d\u202e\ufe0f\ufeff\U000e0041\u0645\u2764\U0001f525"))
def test_every_zero_width_space_and_override_is_counted(text):
    found = hidden_text(text)
    assert found.zero_width >= text.count("\u200b")
    assert found.bidi_controls == text.count("\u202e")
    assert found.total <= len(text)
