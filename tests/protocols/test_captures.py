"""What a real vLLM answers, in every shape: the same dialogue whole, streamed, compressed, cut and damaged."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from captured import NAMES, captured
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.protocols import DECODERS, DecodeError
from monitor.protocols.endpoints import endpoint_of
from monitor.records import Choice, Dialogue, Exchange

RED = "Red is one colour of the rainbow."
LIKE = "The rainbow is actually a rainbow of colors"
RAINBOW = "Name a colour of the rainbow."
ROME = "How is the weather in Rome?"
REASONS = {"encoding", "too_large", "malformed_request", "malformed_response", "no_model"}
DECODED = tuple(name for name in NAMES if name != "detokenize")

WHOLE_AND_STREAMED: list[tuple[str, str, Choice, tuple[int, int]]] = [
    ("chat_text", RAINBOW, Choice(0, 0, RED, finish_reason="stop"), (27, 9)),
    (
        "chat_reasoning", RAINBOW,
        Choice(0, 0, "Red is one colour.", reasoning="The user wants a colour.", finish_reason="stop"), (27, 22),
    ),
    ("chat_tool", ROME, Choice(0, 0, "", finish_reason="stop", tool_call=True), (37, 54)),
    ("invocations_chat", RAINBOW, Choice(0, 0, RED, finish_reason="stop"), (27, 9)),
    ("responses_plain", RAINBOW, Choice(0, 0, RED, finish_reason="stop"), (24, 9)),
    (
        "responses_text", RAINBOW,
        Choice(0, 0, "Red is one colour.", reasoning="The user wants a colour.", finish_reason="stop"), (27, 22),
    ),
    (
        "responses_length", "Name a colour\nof the rainbow.",
        Choice(0, 0, "Red and orange and yellow", reasoning="Fine.", finish_reason="length"), (38, 16),
    ),
    ("responses_tool", ROME, Choice(0, 0, "", finish_reason="tool_calls", tool_call=True), (37, 54)),
    ("messages_text", RAINBOW, Choice(0, 0, LIKE, finish_reason="stop"), (27, 9)),
    ("messages_length", RAINBOW, Choice(0, 0, f"{LIKE}, with the colors", finish_reason="length"), (27, 12)),
    ("messages_tool", ROME, Choice(0, 0, "", finish_reason="tool_calls", tool_call=True), (37, 54)),
    ("generate_text", "", Choice(0, 0, " a canvas of colors, a", finish_reason="length"), (3, 6)),
]  # fmt: skip


def decode(exchange: Exchange) -> Dialogue:
    return DECODERS[endpoint_of(exchange.method, exchange.target)](exchange)


@pytest.mark.parametrize("kind", ["", "_stream"])
@pytest.mark.parametrize(("name", "prompt", "choice", "tokens"), WHOLE_AND_STREAMED, ids=lambda value: str(value)[:20])
def test_every_shape_gives_its_prompt_its_answer_and_its_counts(
    name: str, prompt: str, choice: Choice, tokens: tuple[int, int], kind: str
) -> None:
    dialogue = decode(captured(name + kind))
    assert [one.text for one in dialogue.prompts] == [prompt]
    assert dialogue.choices == (choice,)
    assert (dialogue.prompt_tokens, dialogue.completion_tokens) == tokens
    assert dialogue.model_requested == "alpha"
    assert dialogue.model_answered in ("alpha", "" if name.startswith("generate") and kind else "alpha")
    assert (dialogue.stream, dialogue.error, dialogue.damaged) == (bool(kind), "", False)
    assert dialogue.response_id


@pytest.mark.parametrize("kind", ["", "_stream"])
def test_several_answers_are_kept_apart(kind: str) -> None:
    choices = decode(captured("chat_n2" + kind)).choices
    assert [(one.index, one.finish_reason, one.text[:8]) for one in choices] == [
        (0, "length", "The gala"), (1, "stop", "I'm glad"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["", "_stream"])
def test_several_prompts_have_their_own_answers(kind: str) -> None:
    dialogue = decode(captured("completions_list" + kind))
    assert [(dialogue.prompts[one.prompt].text, one.text) for one in dialogue.choices] == [
        ("The sky is", " a canvas of colors, a"), ("Grass is", " a type of grass that is"),
    ]  # fmt: skip


def test_every_conversation_of_a_batch_has_its_own_answer() -> None:
    dialogue = decode(captured("batch"))
    assert [(dialogue.prompts[one.prompt].text, one.text) for one in dialogue.choices] == [
        (RAINBOW, RED), ("Say hello.", RED),
    ]  # fmt: skip
    assert [prompt.system for prompt in dialogue.prompts] == ["Answer in one short sentence.", ""]


def test_the_header_names_the_adapter_of_an_invocation() -> None:
    assert b'"model": "base"' in captured("invocations_chat").request
    assert decode(captured("invocations_chat")).model_requested == "alpha"


@pytest.mark.parametrize("kind", ["", "_stream"])
def test_an_invocation_without_its_header_shows_that_the_base_answered(kind: str) -> None:
    dialogue = decode(captured("invocations_no_header" + kind))
    assert (dialogue.model_requested, dialogue.model_answered) == ("alpha", "base")


@pytest.mark.parametrize(("name", "ids"), [("generate_tokens_stream", 6), ("generate_tokens", 60)])
def test_token_ids_are_left_to_be_turned_into_text(name: str, ids: int) -> None:
    dialogue = decode(captured(name))
    assert dialogue.tokens is not None
    assert [len(one) for one in dialogue.tokens.answers] == [ids]
    assert dialogue.tokens.prompt[:1] in ((504,), (1,))


def test_token_ids_of_several_answers_are_kept_apart() -> None:
    dialogue = decode(captured("generate_n2_stream"))
    assert dialogue.tokens is not None
    assert dialogue.tokens.answers == ((28, 9653, 750, 550), (20804, 30, 330, 1420))


def test_a_fetched_response_is_marked_and_has_its_answer() -> None:
    dialogue = decode(captured("responses_get"))
    assert (dialogue.fetched, dialogue.unfinished, dialogue.choices[0].text) == (True, False, RED)


def test_a_response_that_goes_on_in_the_background_is_marked() -> None:
    dialogue = decode(captured("responses_background"))
    assert (dialogue.fetched, dialogue.unfinished, dialogue.choices) == (False, True, ())
    assert dialogue.prompts[0].text == RAINBOW


def test_a_cancelled_response_has_no_answer() -> None:
    dialogue = decode(captured("responses_cancel"))
    assert (dialogue.fetched, dialogue.unfinished, dialogue.choices) == (True, False, ())


def test_an_error_object_of_messages_is_an_error() -> None:
    dialogue = decode(captured("messages_error", status=200))
    assert (dialogue.error, dialogue.choices) == ("NotFoundError", ())


@pytest.mark.parametrize("name", DECODED)
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_exchange_gives_the_same(name: str, coding: str) -> None:
    plain = captured(name)
    squeeze = gzip.compress if coding == "gzip" else zlib.compress
    packed = captured(
        name,
        request=squeeze(plain.request),
        response=squeeze(plain.response),
        request_encoding=coding,
        response_encoding=coding,
    )
    assert decode(packed) == decode(plain)


@pytest.mark.parametrize("name", [name for name in DECODED if name.endswith("_stream")])
def test_keep_alive_comments_change_nothing(name: str) -> None:
    plain = captured(name)
    chatty = captured(name, response=plain.response.replace(b"\n\n", b"\n\n: keep-alive\n\n"))
    assert decode(chatty) == decode(plain)


@pytest.mark.parametrize("name", [name for name in DECODED if name.endswith("_stream")])
@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_other_line_ends_change_nothing(name: str, newline: bytes) -> None:
    plain = captured(name)
    assert decode(captured(name, response=plain.response.replace(b"\n", newline))) == decode(plain)


def outcome_of(exchange: Exchange, endpoint: str = "") -> Dialogue | str:
    try:
        return DECODERS[endpoint](exchange) if endpoint else decode(exchange)
    except DecodeError as error:
        reason = error.reason
    assert reason in REASONS
    return reason


@given(name=st.sampled_from(DECODED), where=st.floats(0, 1))
@settings(max_examples=400)
def test_a_response_cut_anywhere_never_looks_finished_with_less_text(name: str, where: float) -> None:
    whole = captured(name)
    kept = int(len(whole.response) * where)
    found = outcome_of(captured(name, response=whole.response[:kept], response_bytes=len(whole.response)))
    if kept == len(whole.response) or isinstance(found, str):
        return
    everything = decode(whole)
    for choice in found.choices:
        if not found.stream:
            assert choice.text == ""
        elif choice.finish_reason:
            assert choice.text == next(one.text for one in everything.choices if one.index == choice.index)
        else:
            full = next(one.text for one in everything.choices if one.index == choice.index)
            assert full.startswith(choice.text)


@given(
    name=st.sampled_from(DECODED),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=8),
    in_request=st.booleans(),
)
@settings(max_examples=600)
def test_flipped_bytes_give_a_dialogue_or_a_bounded_reason(
    name: str, flips: list[tuple[float, int]], in_request: bool
) -> None:
    whole = captured(name)
    body = bytearray(whole.request if in_request else whole.response)
    if not body:
        return
    for where, mask in flips:
        body[min(int(len(body) * where), len(body) - 1)] ^= mask
    changed: dict[str, Any] = {"request" if in_request else "response": bytes(body)}
    found = outcome_of(captured(name, **changed))
    if not isinstance(found, str):
        check_bounds(found)


FIELDS = [
    "model", "id", "type", "index", "content", "text", "delta", "message", "choices", "usage", "input_tokens", "error",
    "response", "output", "status", "item", "messages", "input", "prompt", "token_ids", "system", "stop_reason", "role",
    "content_block", "incomplete_details", "finish_reason", "request_id", "instructions", "output_index", "code",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())


@given(
    endpoint=st.sampled_from(sorted(DECODERS)),
    request=st.binary(max_size=200) | JSON,
    response=st.binary(max_size=200) | JSON,
    stream=st.booleans(),
    encoding=st.sampled_from(["", "gzip", "deflate", "br"]),
    longer=st.booleans(),
)
@settings(max_examples=1500)
def test_any_bodies_give_a_dialogue_or_a_bounded_reason(
    endpoint: str, request: bytes, response: bytes, stream: bool, encoding: str, longer: bool
) -> None:
    body = b"".join(b"data: " + line + b"\n\n" for line in response.split(b"\n")) if stream else response
    exchange = captured(
        "chat_text",
        request=request,
        response=body,
        request_bytes=len(request) + longer,
        response_type="text/event-stream" if stream else "application/json",
        response_encoding=encoding,
    )
    found = outcome_of(exchange, endpoint)
    if not isinstance(found, str):
        check_bounds(found)


def check_bounds(dialogue: Dialogue) -> None:
    assert dialogue.prompts
    assert all(0 <= choice.prompt < len(dialogue.prompts) for choice in dialogue.choices)
    assert len(dialogue.choices) <= 512
    assert len(dialogue.error) <= 64
    assert len(dialogue.response_id) <= 256
    if dialogue.tokens:
        assert len(dialogue.tokens.answers) == len(dialogue.choices)
