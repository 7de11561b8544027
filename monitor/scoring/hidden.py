"""Characters that carry what a reader does not see but a model does.

Every kind has uses that writing needs, and those are not counted: joiners inside emoji and between letters of scripts that
join, zero-width spaces between words of scripts without blanks, an emoji's own variation selector, flags spelled in tag
characters, a byte-order mark at the very beginning, direction marks and isolates in a text with right-to-left
letters, soft hyphens inside long words, single icons of an icon font, spaces that typography asks for. A text without any
suspicious code point costs its alphabet: one pass that collects the different characters.
"""

from __future__ import annotations

import re
from typing import Final

from monitor.records import NOTHING_HIDDEN, HiddenText
from monitor.scoring.homoglyphs import ALIKE, homoglyphs
from monitor.scoring.spaces import FILLERS, RARE_SPACES, SOFT_HYPHEN, spaces, trailing_blanks

_ZERO_WIDTH: Final = frozenset(f"\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff\u180e\u034f{FILLERS}")
_BIDI: Final = frozenset("\u200e\u200f\u061c\u2066\u2067\u2068\u2069\u202a\u202b\u202c\u202d\u202e")
_BASIC_SELECTORS: Final = frozenset(map(chr, (*range(0xFE00, 0xFE10), 0x180B, 0x180C, 0x180D, 0x180F)))
_BASIC: Final = _ZERO_WIDTH | _BIDI | _BASIC_SELECTORS | frozenset(RARE_SPACES) | {SOFT_HYPHEN} | ALIKE
"""Suspicious characters below the special planes, private use apart."""
_SPECIAL: Final = "\U000e0000"
"""Tags, variation selectors and private use are all that stands from here on."""
_PRIVATE: Final = "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"
_TAG: Final = re.compile("[\U000e0000-\U000e007f]")
_SELECTOR: Final = re.compile(f"[{''.join(_BASIC_SELECTORS)}\U000e0100-\U000e01ef]")
_RUN: Final = re.compile(f"[{''.join(_ZERO_WIDTH | _BIDI | _BASIC_SELECTORS)}\U000e0000-\U000e01ef]+")

_EMOJI: Final = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f"
    "\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_JOINING: Final = (
    "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc"  # Arabic
    "\u0700-\u074f\u07c0-\u07fa\u1820-\u18aa"  # Syriac, N'Ko, Mongolian
    "\u0900-\u0dff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\U00011000-\U000114ff"  # Indic, Tibetan, Myanmar, Khmer
)
_UNSPACED: Final = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1980-\u19df\u3040-\u30ff\u4e00-\u9fff"
"""Scripts without blanks between words: Thai, Lao, Tibetan, Myanmar, Khmer, Tai Lue, Japanese, Chinese."""
_HANGUL: Final = "\u1100-\u11ff\u3131-\u318e\uac00-\ud7ff"
_IDEOGRAPH: Final = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LEGITIMATE: Final = re.compile(
    f"[{_EMOJI}](?:\ufe0f?\u200d(?=[{_EMOJI}])|[\ufe0e\ufe0f])"
    "|\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,7}\U000e007f"
    "|[#*0-9]\ufe0f(?=\u20e3)"
    f"|[{_JOINING}][\u200c\u200d](?=[{_JOINING}\\W]|$)|[\u200c\u200d](?=[{_JOINING}])"
    "|\n\u200b(?=\n)"
    f"|[{_UNSPACED}]\u200b(?=[{_UNSPACED}\\W]|$)"
    f"|[{_HANGUL}][\u115f\u1160](?=[{_HANGUL}])"
    "|[\u1800-\u18aa][\u180b-\u180f]"
    f"|[{_IDEOGRAPH}][\ufe00-\ufe02\U000e0100-\U000e01ef](?![\ufe00-\ufe0f\U000e0100-\U000e01ef])"
)
"""What explains a run of invisible characters, matched on the run with one character on either side."""
_RIGHT_TO_LEFT: Final = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_DIRECTION: Final = re.compile("[\u200e\u200f\u061c\u2066-\u2069\u202a-\u202c]")
"""What text written from right to left needs; the two overrides are no part of it."""
_DIRECTIONS_TOGETHER: Final = 2
_ICON: Final = re.compile(f"(?<!\\S)[{_PRIVATE}](?!\\S)|^[{_PRIVATE}](?![{_PRIVATE}])", re.MULTILINE)
_PRIVATE_USE: Final = re.compile(f"[{_PRIVATE}]")
_ICONS: Final = 12
"""Different icons, each alone between blanks, that one text may hold (a shell prompt, a list's bullets, a menu)."""


def hidden_text(text: str) -> HiddenText:
    """Count the characters of a text that hide something and that no legitimate use explains."""
    blanks = trailing_blanks(text)
    if text.isascii() and not blanks:
        return NOTHING_HIDDEN
    alphabet = set(text)
    private = _PRIVATE_USE.search("".join(alphabet))
    if not blanks and not private and max(alphabet) < _SPECIAL and _BASIC.isdisjoint(alphabet):
        return NOTHING_HIDDEN
    invisible = _unexplained(text)
    zero_width = [one for one in invisible if one in _ZERO_WIDTH]
    bidi = [one for one in invisible if one in _BIDI]
    tags, selectors = _TAG.findall(invisible), _SELECTOR.findall(invisible)
    hyphens, unusual = spaces(text)
    icons = _private_use(text) if private else 0
    white = [*blanks, *unusual]
    found = HiddenText(
        zero_width=len(zero_width),
        tags=len(tags),
        variation_selectors=len(selectors),
        bidi_controls=len(bidi),
        homoglyphs=0 if ALIKE.isdisjoint(alphabet) else homoglyphs(text),
        private_use=icons,
        soft_hyphens=hyphens,
        whitespace=len(white),
        payload_bytes=_bytes(zero_width)
        + sum("\U000e0020" <= one <= "\U000e007e" for one in tags)
        + len(selectors)
        + _bytes(bidi)
        + icons
        + _bytes(white),
    )
    return found if found.total else NOTHING_HIDDEN


def _unexplained(text: str) -> str:
    """The invisible characters that writing does not need, in their order."""
    runs = [(run.start(), run.end()) for run in _RUN.finditer(text)]
    if not runs:
        return ""
    reads_right_to_left = _RIGHT_TO_LEFT.search(text) is not None
    left = []
    for begin, end in runs:
        context = text[max(begin - 1, 0) : end + 1]
        rest = _LEGITIMATE.sub("", context)
        if begin == 0:
            rest = rest.removeprefix("\ufeff")
        if reads_right_to_left and end - begin <= _DIRECTIONS_TOGETHER:
            rest = _DIRECTION.sub("", rest)
        left.extend(_RUN.findall(rest))
    return "".join(left)


def _private_use(text: str) -> int:
    """Private-use characters, unless they are a few icons that stand alone."""
    found = _PRIVATE_USE.findall(text)
    icons = _ICON.findall(text)
    return len(found) - (len(icons) if len(set(icons)) <= _ICONS else 0)


def _bytes(symbols: list[str]) -> int:
    """Bytes that a sequence carries when each of its different characters is a digit; 0 for one character alone."""
    return len(symbols) * (len(set(symbols)).bit_length() - 1) // 8 if symbols else 0
