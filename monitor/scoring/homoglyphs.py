"""Words of two scripts whose foreign letters look like the others: a filter does not find the word, a reader and a model do.

The letters are a hand-made subset of what Unicode's confusables list (UTS 39) gives for Latin: those that are drawn alike
in common fonts. A Latin name with a Cyrillic ending, a unit or a formula with a Greek letter are ordinary.
"""

from __future__ import annotations

import re
from typing import Final

CYRILLIC: Final = "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0455\u0456\u0458\u0501\u051b\u051d\u04bb\u04cf"
CYRILLIC_CAPITALS: Final = "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0405\u0406\u0408\u04c0"
GREEK: Final = (
    "\u03bf\u03b1\u03bd\u03c1\u03b9\u03c5"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
)
ALIKE: Final = frozenset(f"{CYRILLIC}{CYRILLIC_CAPITALS}{GREEK}")
"""Letters of other scripts that look like Latin ones."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_SEAM: Final = re.compile(
    f"(?<=[A-Za-z])[{CYRILLIC}{CYRILLIC_CAPITALS}{GREEK}]|[{CYRILLIC}{CYRILLIC_CAPITALS}{GREEK}](?=[A-Za-z])"
)
_OTHER_CYRILLIC: Final = re.compile(f"[\u0400-\u052f](?<![{CYRILLIC}{CYRILLIC_CAPITALS}])")
_CYRILLIC_ALIKE: Final = frozenset(CYRILLIC + CYRILLIC_CAPITALS)
_LATIN_ALIKE: Final = frozenset("aeopcyxsijABEKMHOPCTXSIJ")
_ENDING: Final = re.compile("[A-Za-z]{2,}[\u0430-\u044f]{1,3}")
_COMPOUND: Final = re.compile("[A-Za-z]{2,}[\u0400-\u052f]+|[\u0400-\u052f]+[A-Za-z]{2,}")
_FORMULA: Final = re.compile("[A-Za-z]{1,3}[\u0370-\u03ff]+|[\u0370-\u03ff]+[A-Za-z]{0,3}|[A-Z]+[\u0370-\u03ff][A-Z]*")
_TYPING_SLIPS: Final = 2
"""Cyrillic words with one Latin letter each that a text may hold: the keys of both alphabets are the same."""


def homoglyphs(text: str) -> int:
    """Letters that stand in for one of another script."""
    other_cyrillic = _OTHER_CYRILLIC.search(text) is not None
    latin = 0
    slips: list[int] = []
    whole = 0
    if not _SEAM.search(text) and other_cyrillic:
        return 0
    for match in _WORD.finditer(text):
        word = match[0]
        if word.isascii():
            continue
        mixed = _SEAM.search(word) is not None
        if not mixed:
            if not other_cyrillic and len(word) > 2 and all(letter in _CYRILLIC_ALIKE for letter in word):
                whole += len(word)
            continue
        count, cyrillic_word = _letters(word, other_cyrillic)
        if cyrillic_word:
            slips.append(count)
        else:
            latin += count
    if whole and re.search("[A-Za-z]{3}", text):
        latin += whole
    return latin + (sum(slips) if len(slips) > _TYPING_SLIPS or max(slips, default=0) > 1 else 0)


def _letters(word: str, other_cyrillic: bool) -> tuple[int, bool]:
    """Foreign letters of a mixed word, and whether they are Latin ones in a Cyrillic word."""
    foreign = [letter for letter in word if letter > "\u036f"]
    latin = [letter for letter in word if letter < "\u0250"]
    if all(letter in ALIKE for letter in foreign):
        if _FORMULA.fullmatch(word) or (other_cyrillic and _ENDING.fullmatch(word)):
            return 0, False
        if other_cyrillic and len(latin) <= len(foreign) and all(letter in _LATIN_ALIKE for letter in latin):
            return len(latin), True
        return len(foreign), False
    if _COMPOUND.fullmatch(word):
        return 0, False
    if all(letter in _LATIN_ALIKE for letter in latin) and all("\u0400" <= letter <= "\u052f" for letter in foreign):
        return len(latin), True
    return 0, False
