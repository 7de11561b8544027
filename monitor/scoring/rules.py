"""What needs no model: answers that are not judged, because there is no whole text to judge."""

from __future__ import annotations

from monitor.records import Item, Outcome
from monitor.scoring.language import judged_language

_CUT_OFF = frozenset({"length", "max_tokens", "abort"})


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
    if not judged_language(item.response):
        return Outcome.UNSCORED, "language"
    return None
