"""Messages that a healthy vLLM does not send, and everything that a request may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from captured import captured
from made_exchanges import sse

from monitor.protocols import DecodeError
from monitor.protocols.messages import decode_messages
from monitor.records import Dialogue, Prompt

START = {"type": "message_start", "message": {"id": "m", "model": "alpha", "content": [], "usage": {"input_tokens": 5}}}


def text(piece: str, index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": piece}}


def stream(*events: Any) -> Dialogue:
    return decode_messages(captured("messages_text_stream", response=sse(*events, done=False)))


def whole(**fields: Any) -> Dialogue:
    body = {"id": "m", "type": "message", "model": "alpha", "content": [{"type": "text", "text": "Fine."}], **fields}
    return decode_messages(captured("messages_text", response=json.dumps(body).encode()))


def prompt_of(**fields: Any) -> Prompt:
    body = json.dumps({"model": "alpha", "max_tokens": 9, **fields}).encode()
    return decode_messages(captured("messages_text", request=body)).prompts[0]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls"),
        ("refusal", "content_filter"), ("something_new", "something_new"),
    ],
)  # fmt: skip
def test_the_stop_reason_is_told_in_the_words_of_the_other_apis(said: str, reason: str) -> None:
    assert whole(stop_reason=said).choices[0].finish_reason == reason
    ended = stream(START, text("Fine."), {"type": "message_delta", "delta": {"stop_reason": said}})
    assert ended.choices[0].finish_reason == reason


def test_an_answer_that_was_given_up_is_not_finished() -> None:
    assert whole(stop_reason=None).choices[0].finish_reason == "abort"
    given_up = stream(
        START, text("Fi"), {"type": "message_delta", "delta": {"stop_reason": None}}, {"type": "message_stop"}
    )
    assert (given_up.choices[0].text, given_up.choices[0].finish_reason) == ("Fi", "")


def test_blocks_of_text_are_lines_of_their_own() -> None:
    blocks = [
        {"type": "text", "text": "I cannot."},
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": "Sure!"},
    ]
    choice = whole(content=blocks, stop_reason="end_turn").choices[0]
    assert (choice.text, choice.reasoning) == ("I cannot.\nSure!", "Hm.")
    assert stream(START, text("I ", 0), text("cannot.", 0), text("Sure!", 2)).choices[0].text == "I cannot.\nSure!"


def test_an_error_event_in_the_middle_of_a_stream_is_noticed() -> None:
    dialogue = stream(START, text("Fi"), {"type": "error", "error": {"type": "internal_error", "message": "gone"}})
    assert (dialogue.error, dialogue.choices[0].text) == ("internal_error", "Fi")


def test_an_error_at_once_gives_no_answer() -> None:
    dialogue = stream({"type": "error", "error": {"type": "overloaded_error", "message": "later"}})
    assert (dialogue.error, dialogue.choices) == ("overloaded_error", ())


def test_what_the_cache_had_is_part_of_the_prompt() -> None:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 5, "output_tokens": 2}
    dialogue = whole(usage=usage, stop_reason="end_turn")
    assert (dialogue.prompt_tokens, dialogue.completion_tokens) == (12, 2)


def test_a_damaged_event_is_left_out_and_told() -> None:
    body = sse(START, text("Fi"), done=False) + b"data: {broken\n\n" + sse(text("ne."), done=False)
    dialogue = decode_messages(captured("messages_text_stream", response=body))
    assert (dialogue.choices[0].text, dialogue.damaged) == ("Fine.", True)


def test_results_of_tools_are_not_the_question() -> None:
    result = {"type": "tool_result", "tool_use_id": "1", "content": "rain"}
    prompt = prompt_of(
        system=[{"type": "text", "text": "Be kind."}],
        tools=[{"name": "f", "input_schema": {}}],
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "The weather?"}, {"type": "image", "source": {}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
            {"role": "user", "content": [result]},
        ],
    )
    assert (prompt.text, prompt.system, prompt.turns) == ("The weather?", "Be kind.\nBe brief.", 4)
    assert (prompt.has_tools, prompt.has_media) == (True, True)


def test_a_cut_answer_is_one_unfinished_choice() -> None:
    body = captured("messages_text").response
    dialogue = decode_messages(captured("messages_text", response=body[:-9], response_bytes=len(body)))
    assert [(one.text, one.finish_reason) for one in dialogue.choices] == [("", "")]
    assert (dialogue.model_requested, dialogue.model_answered) == ("alpha", "")


def test_a_stream_without_a_readable_event_has_a_reason() -> None:
    with pytest.raises(DecodeError, match="malformed_response"):
        decode_messages(captured("messages_text_stream", response=b": nothing\n\n"))
