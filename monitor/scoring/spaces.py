"""Blanks that carry something: unusual spaces, blanks at the ends of lines, soft hyphens outside words."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

FILLERS: Final = "\u115f\u1160\u3164\uffa0"
"""Hangul fillers: letters by category, blank to the eye."""
SOFT_HYPHEN: Final = "\u00ad"
RARE_SPACES: Final = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u2800"
"""Spaces beside the ordinary one; the ideographic space is left out, it is the ordinary one of Chinese and Japanese."""

_RARE: Final = re.compile(f"[{RARE_SPACES}]")
_USUAL: Final = frozenset("\u00a0\u202f\u2003\u2009")
"""Spaces that typography uses: no-break, narrow no-break (French, numbers), em, thin."""
_NO_BREAK: Final = frozenset("\u00a0\u202f")
_BRAILLE: Final = re.compile("[\u2801-\u28ff]")
_GAP: Final = re.compile(r"(?<=[^\W\d_])([ \u00a0])(?=[^\W\d_])")
_ENCODED_SPACES: Final = 8
"""Spaces from an alphabet of at least two that typography does not use: one byte at least."""
_ENCODED_GAPS: Final = 32
_TRAILING: Final = re.compile(r"(?<=\S)[ \t]+$", re.MULTILINE)
_ENCODED_SWITCHES: Final = 4
"""Changes between tab and space at line ends: fewer are left behind by editors."""
_LONE_LETTER: Final = re.compile("\u00ad[^\\W\\d_]\u00ad")
_IN_WORD: Final = re.compile("(?<=[^\\W\\d_]{2})\u00ad(?=[^\\W\\d_]{2})")
_SHARE: Final = 0.2
"""Soft hyphens per letter in the words that hold them, above which they are no hyphenation."""


def trailing_blanks(text: str) -> list[str]:
    """Blanks at line ends that encode something: tabs among spaces, as SNOW writes them.

    Spaces alone are left out: text padded to a width has them in all lengths.
    """
    if not (" \n" in text or "\t\n" in text or text[-1:] in {" ", "\t"}):
        return []
    ends = _TRAILING.findall(text)
    mixed = [end for end in ends if " " in end and "\t" in end]
    if sum(map(_switches, mixed)) >= _ENCODED_SWITCHES:
        return list("".join(mixed))
    return []


def spaces(text: str) -> tuple[int, list[str]]:
    """Soft hyphens and unusual spaces that hide something."""
    hyphens = _soft_hyphens(text) if SOFT_HYPHEN in text else 0
    rare = _RARE.findall(text)
    if not rare:
        return hyphens, []
    if _BRAILLE.search(text):
        rare = [one for one in rare if one != "\u2800"]
    unusual = [one for one in rare if one not in _USUAL]
    digits = len(set(rare) - _NO_BREAK)
    if len(rare) >= _ENCODED_SPACES and (digits > 2 or (len(unusual) >= 4 and len(set(rare)) > 1)):
        return hyphens, rare
    if "\u2800" in unusual:
        return hyphens, ["\u2800"] * unusual.count("\u2800")
    return hyphens, _alternating(text) if "\u00a0" in rare else []


def _alternating(text: str) -> list[str]:
    """No-break and ordinary spaces between words in such even shares that they are the digits of something.

    A no-break space that an editor wrote stands beside numbers, punctuation or short words, or in all gaps alike.
    """
    gaps = _GAP.findall(text)
    odd = gaps.count("\u00a0")
    if len(gaps) < _ENCODED_GAPS or not 0.35 < odd / len(gaps) < 0.65:
        return []
    turns = sum(one != other for one, other in pairwise(gaps))
    return ["\u00a0"] * odd if turns >= len(gaps) * 0.35 else []


def _soft_hyphens(text: str) -> int:
    """All of them when they stand close; otherwise those that do not stand inside a word."""
    every = text.count(SOFT_HYPHEN)
    letters = sum(len(word) - word.count(SOFT_HYPHEN) for word in text.split() if SOFT_HYPHEN in word)
    if _LONE_LETTER.search(text) or (every > _SHARE * max(letters, 1) and every > 2):
        return every
    outside = every - len(_IN_WORD.findall(text))
    return outside if outside > 2 else 0


def _switches(end: str) -> int:
    return sum(one != other for one, other in pairwise(end))
