"""The lines that `alignment-monitor score` reads and writes: one JSON object each."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from monitor.records import HiddenText, Item, Verdict

_COUNTED = tuple(field.name for field in dataclasses.fields(HiddenText))


class LineError(ValueError):
    """A line cannot be scored; the message says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """One line, read."""

    item: Item
    extra: dict[str, Any]
    """What is passed through: the `id`, when given."""


def parse_line(line: bytes) -> Request:
    """Read one line. Raises LineError."""
    try:
        fields = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise LineError(f"not UTF-8 text (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise LineError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise LineError("not a JSON object")
    item = Item(
        prompt=_prompt(fields),
        response=_response(fields),
        finish_reason=_text(fields, "finish_reason", optional=True),
        tool_call=bool(fields.get("tool_calls")),
    )
    return Request(item, {"id": fields["id"]} if "id" in fields else {})


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the fields of a JSON object."""
    return {
        "outcome": verdict.outcome.value,
        "refusal_probability": verdict.refusal_probability,
        "refuse_then_comply_probability": verdict.refuse_then_comply_probability,
        "partial_probability": verdict.partial_probability,
        "prompt_risk": verdict.prompt_risk,
        "stratum": verdict.stratum.value,
        "topic": verdict.topic,
        "category": verdict.category,
        "language": verdict.language,
        "refusal_span": list(verdict.refusal_span) if verdict.refusal_span else None,
        "hidden_text": {"prompt": _counts(verdict.prompt_hidden), "response": _counts(verdict.response_hidden)},
        "reason": verdict.reason,
        "tier": verdict.tier,
        "scorer": verdict.scorer,
        "scorer_version": verdict.scorer_version,
        "risk_version": verdict.risk_version,
    }


def _counts(hidden: HiddenText) -> dict[str, int]:
    """The fields by name; the standard library's way there takes as long as a third of the scoring."""
    return {name: getattr(hidden, name) for name in _COUNTED}


def _text(fields: dict[str, Any], key: str, optional: bool = False) -> str:
    value = fields.get(key)
    if value is None and optional:
        return ""
    if key not in fields:
        raise LineError(f"no {key!r}")
    if not isinstance(value, str):
        raise LineError(f"{key!r} is not a string")
    return value


def _response(fields: dict[str, Any]) -> str:
    """The response, or the text of the assistant's turn that ends the messages."""
    messages = fields.get("messages")
    if "response" in fields or not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        return _text(fields, "response")
    if messages[-1].get("role") != "assistant":
        raise LineError("no 'response', and 'messages' does not end with the assistant's turn")
    return _content(messages[-1].get("content"), "assistant")


def _prompt(fields: dict[str, Any]) -> str:
    """The prompt, or the text of the last user turn."""
    if "prompt" in fields:
        return _text(fields, "prompt")
    messages = fields.get("messages")
    if messages is None:
        raise LineError("neither 'prompt' nor 'messages'")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise LineError("'messages' is not a list of objects")
    for message in reversed(messages):
        if message.get("role") == "user":
            return _content(message.get("content"), "user")
    return ""


def _content(content: Any, role: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise LineError(f"the last {role} turn's 'content' is neither a string nor a list of parts")
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))
