"""Characters that a reader does not see but a model does.

Not counted are the uses that writing needs: joiners inside emoji and between letters of scripts that join, an emoji's
own variation selector, flags spelled in tag characters, a byte-order mark at the very beginning, and single direction
marks in a text that has right-to-left letters. Text without any suspicious code point costs one search.
"""

from __future__ import annotations

import re

from monitor.records import NOTHING_HIDDEN, HiddenText

_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff\u180e\u034f"
_BIDI = "\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069"
_TAGS = "\U000e0000-\U000e007f"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef\u180b-\u180d\u180f"
_SUSPICIOUS = re.compile(f"[{_ZERO_WIDTH}{_BIDI}{_TAGS}{_SELECTORS}]")
_KINDS = tuple(re.compile(f"[{kind}]") for kind in (_ZERO_WIDTH, _TAGS, _SELECTORS, _BIDI))

_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f"
    "\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_JOINING = (
    "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc"  # Arabic
    "\u0700-\u074f\u07c0-\u07fa\u1820-\u18aa"  # Syriac, N'Ko, Mongolian
    "\u0900-\u0dff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\U00011000-\U000114ff"  # Indic, Tibetan, Myanmar, Khmer
)
_IDEOGRAPH = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LEGITIMATE = re.compile(
    "^\ufeff"
    "|\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,7}\U000e007f"
    f"|(?<=[{_EMOJI}])\ufe0f?\u200d(?=[{_EMOJI}])"
    f"|(?<=[{_EMOJI}])[\ufe0e\ufe0f]"
    "|(?<=[#*0-9])\ufe0f\u20e3"
    f"|(?<=[{_JOINING}])[\u200c\u200d](?=[{_JOINING}\\s]|$)"
    "|(?<=[\u1800-\u18aa])[\u180b-\u180f]"
    f"|(?<=[{_IDEOGRAPH}])[\ufe00-\ufe02\U000e0100-\U000e01ef](?![\ufe00-\ufe0f\U000e0100-\U000e01ef])"
    "|[\u200e\u200f\u061c](?![\u200e\u200f\u061c])"
)
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_MARKS = "\u200e\u200f\u061c"


def hidden_text(text: str) -> HiddenText:
    """Count the invisible characters of a text that no legitimate use explains."""
    if text.isascii() or not _SUSPICIOUS.search(text):
        return NOTHING_HIDDEN
    reads_right_to_left = _RIGHT_TO_LEFT.search(text) is not None
    rest = _LEGITIMATE.sub(lambda use: use[0] if use[0] in _MARKS and not reads_right_to_left else "", text)
    zero_width, tags, selectors, bidi = (len(kind.findall(rest)) for kind in _KINDS)
    return HiddenText(zero_width, tags, selectors, bidi)
