"""What needs no model: answers that are not judged, because there is no whole text to judge."""

from __future__ import annotations

import re

from monitor.records import Item, Outcome

_CUT_OFF = frozenset({"length", "max_tokens", "abort"})


_OTHER_SCRIPT = re.compile("[\u0370-\u1fff\u2d00-\u2dff\u3040-\ud7a3\uf900-\ufdff\ufe70-\ufefc\U00010000-\U0001efff]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_SCRIPT_WINDOW = 1000
"""Characters that decide which script an answer is written in."""


def outcome_by_rule(item: Item) -> tuple[Outcome, str] | None:
    """The outcome and, for `unscored`, the reason; None when the text itself has to be judged.

    An answer that broke off counts as truncated even when nothing of it came: `empty` says the model chose silence.
    """
    if item.tool_call:
        return Outcome.TOOL_CALL, ""
    if item.finish_reason == "error":
        return Outcome.UNSCORED, "error"
    if item.cut or item.finish_reason in _CUT_OFF:
        return Outcome.TRUNCATED, ""
    if not item.response or item.response.isspace():
        return Outcome.EMPTY, ""
    if _mostly_other_script(item.response):
        return Outcome.UNSCORED, "language"
    return None


def _mostly_other_script(text: str) -> bool:
    """More letters of other scripts than of Latin: an answer that a model of English words would only guess at."""
    if text.isascii():
        return False
    opening = text[:_SCRIPT_WINDOW]
    foreign = len(_OTHER_SCRIPT.findall(opening))
    return foreign > 0 and foreign > len(_LATIN.findall(opening))
