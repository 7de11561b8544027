"""Streams of /v1/responses that a healthy vLLM does not send: broken off, failed, or without the closing copy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from captured import captured
from made_exchanges import sse

from monitor.protocols import DecodeError
from monitor.protocols.responses import decode_responses
from monitor.records import Dialogue

MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "Fine."}]}


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def delta(text: str, output_index: int = 0, kind: str = "output_text") -> dict[str, Any]:
    return event(f"response.{kind}.delta", delta=text, output_index=output_index)


def response(status: str, *output: Any, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "model": "alpha", "status": status, "output": output, **more}


CREATED = event("response.created", response=response("in_progress"))


def stream(*events: Any) -> Dialogue:
    return decode_responses(captured("responses_plain_stream", response=sse(*events, done=False)))


def whole(body: dict[str, Any]) -> Dialogue:
    return decode_responses(captured("responses_plain", response=json.dumps(body).encode()))


def test_without_its_closing_copy_a_stream_is_put_together_from_its_pieces() -> None:
    dialogue = stream(CREATED, delta("Let me ", 0, "reasoning_text"), delta("Fi", 1), delta("ne.", 1))
    assert (dialogue.choices[0].text, dialogue.choices[0].reasoning) == ("Fine.", "Let me ")
    assert (dialogue.choices[0].finish_reason, dialogue.model_answered, dialogue.unfinished) == ("", "alpha", False)


def test_several_messages_are_lines_of_their_own() -> None:
    assert stream(CREATED, delta("No.", 0), delta("Sure", 1), delta("!", 1)).choices[0].text == "No.\nSure!"
    assert whole(response("completed", MESSAGE, MESSAGE)).choices[0].text == "Fine.\nFine."


def test_the_closing_copy_stands_for_all_pieces() -> None:
    dialogue = stream(CREATED, delta("Fine."), event("response.completed", response=response("completed", MESSAGE)))
    assert (dialogue.choices[0].text, dialogue.choices[0].finish_reason) == ("Fine.", "stop")


def test_a_closing_event_without_output_keeps_the_pieces() -> None:
    dialogue = stream(CREATED, delta("Fine."), event("response.completed", response=response("completed")))
    assert (dialogue.choices[0].text, dialogue.choices[0].finish_reason) == ("Fine.", "stop")


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (event("error", code="server_error", message="gone"), "server_error"),
        (event("error"), "error"),
        ({"error": {"type": "InternalServerError", "code": 500}}, "InternalServerError"),
        (event("response.failed", response=response("failed", error={"code": "server_error"})), "error"),
    ],
)
def test_an_error_in_the_middle_of_a_stream_is_noticed(last: dict[str, Any], expected: str) -> None:
    assert stream(CREATED, delta("Fi"), last).error == expected


def test_a_refusal_part_is_the_answer() -> None:
    refused = {"type": "message", "content": [{"type": "refusal", "refusal": "I cannot help."}]}
    assert whole(response("completed", refused)).choices[0].text == "I cannot help."
    assert stream(CREATED, delta("I cannot ", 0, "refusal"), delta("help.", 0, "refusal")).choices[0].text == (
        "I cannot help."
    )


@pytest.mark.parametrize(
    ("status", "details", "reason"),
    [
        ("completed", None, "stop"),
        ("incomplete", {"reason": "max_output_tokens"}, "length"),
        ("incomplete", {"reason": "content_filter"}, "content_filter"),
        ("failed", None, "error"),
        ("cancelled", None, "abort"),
    ],
)
def test_the_status_tells_why_the_answer_ended(status: str, details: Any, reason: str) -> None:
    assert whole(response(status, MESSAGE, incomplete_details=details)).choices[0].finish_reason == reason


@pytest.mark.parametrize(("kind", "calls"), [("function_call", True), ("custom_tool_call", True), ("mcp_call", False)])
def test_only_calls_that_the_client_has_to_make_are_tool_calls(kind: str, calls: bool) -> None:
    assert whole(response("completed", {"type": kind, "name": "f"}, MESSAGE)).choices[0].tool_call is calls


def test_a_summary_is_the_reasoning_where_there_is_no_other() -> None:
    thought = {"type": "reasoning", "content": None, "summary": [{"type": "summary_text", "text": "Hm."}]}
    assert whole(response("completed", thought, MESSAGE)).choices[0].reasoning == "Hm."


def test_a_cut_answer_is_unfinished_and_takes_no_model_from_the_clients_own_metadata() -> None:
    body = json.dumps({"id": "r", "metadata": {"model": "base"}, "model": "alpha", "output": []}).encode()
    dialogue = decode_responses(captured("responses_plain", response=body[:-4], response_bytes=len(body)))
    assert (dialogue.model_answered, dialogue.model_requested) == ("", "alpha")
    assert [(one.text, one.finish_reason) for one in dialogue.choices] == [("", "")]


def test_a_cut_fetched_answer_is_nobodys() -> None:
    whole_body = captured("responses_get").response
    with pytest.raises(DecodeError, match="no_model"):
        decode_responses(captured("responses_get", response=whole_body[:50], response_bytes=len(whole_body)))


def test_instructions_and_turns_are_read() -> None:
    tools = [{"type": "function", "name": "f"}]
    image = {"type": "input_image", "image_url": "data:,"}
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "First"},
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes"}]},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
        {"role": "user", "content": [{"type": "input_text", "text": "Second"}, image]},
    ]
    body = {"model": "alpha", "instructions": "Be kind.", "input": items, "tools": tools}
    prompt = decode_responses(captured("responses_plain", request=json.dumps(body).encode())).prompts[0]
    assert (prompt.text, prompt.system, prompt.turns) == ("Second", "Be kind.\nBe brief.", 4)
    assert (prompt.has_tools, prompt.has_media) == (True, True)
