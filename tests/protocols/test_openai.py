from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_exchanges import CHAT, TEXT, chat_request, chat_response, chunk, exchange, sse

from monitor.protocols import DecodeError
from monitor.protocols.openai import MAX_CHOICES, decode_openai
from monitor.records import Dialogue

REASONS = {"encoding", "too_large", "malformed_request", "malformed_response", "no_model"}


def texts(dialogue: Dialogue) -> list[str]:
    return [choice.text for choice in dialogue.choices]


def stream(*events: Any, **more: Any) -> Dialogue:
    return decode_openai(exchange(response=sse(*events, **more), stream=True))


def test_a_chat_is_read() -> None:
    dialogue = decode_openai(exchange(chat_request("Hi", "alpha"), chat_response("Hello", "alpha")))
    assert [prompt.text for prompt in dialogue.prompts] == ["Hi"]
    assert (texts(dialogue), dialogue.choices[0].finish_reason) == (["Hello"], "stop")
    assert (dialogue.model_requested, dialogue.model_answered) == ("alpha", "alpha")
    assert (dialogue.prompt_tokens, dialogue.completion_tokens) == (12, 5)
    assert (dialogue.stream, dialogue.damaged, dialogue.error, dialogue.response_id) == (False, False, "", "chatcmpl-1")


def test_a_stream_is_read_like_the_whole_answer() -> None:
    usage = {"id": "chatcmpl-1", "model": "base", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    dialogue = stream(
        chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo"), chunk(finish="stop"), usage
    )
    assert (texts(dialogue), dialogue.choices[0].finish_reason) == (["Hello"], "stop")
    assert (dialogue.prompt_tokens, dialogue.completion_tokens, dialogue.stream) == (3, 2, True)


def test_interleaved_choices_are_kept_apart() -> None:
    dialogue = stream(
        chunk(1, content="b"), chunk(0, content="a"), chunk(1, content="B", finish="stop"), chunk(0, content="A")
    )
    assert texts(dialogue) == ["aA", "bB"]
    assert [choice.finish_reason for choice in dialogue.choices] == ["", "stop"]


def test_several_prompts_with_n_answers_each_are_matched() -> None:
    request = json.dumps({"model": "base", "prompt": ["one", "two"], "n": 2}).encode()
    choices = [{"index": index, "text": f"t{index}", "finish_reason": "stop"} for index in (3, 0, 2, 1)]
    response = json.dumps({"model": "base", "choices": choices}).encode()
    dialogue = decode_openai(exchange(request, response, target=TEXT))
    assert [(choice.text, dialogue.prompts[choice.prompt].text) for choice in dialogue.choices] == [
        ("t0", "one"), ("t1", "one"), ("t2", "two"), ("t3", "two"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        ([1, 2, 3], [""]),
        ([[1], [2]], ["", ""]),
        ([], [""]),
        (None, [""]),
    ],
)
def test_every_form_of_a_text_prompt_is_taken(prompt: Any, expected: list[str]) -> None:
    request = json.dumps({"model": "base", "prompt": prompt}).encode()
    response = b'{"model":"base","choices":[{"index":0,"text":"x"}]}'
    dialogue = decode_openai(exchange(request, response, target=TEXT))
    assert [one.text for one in dialogue.prompts] == expected


def test_an_echoed_prompt_is_not_part_of_the_answer() -> None:
    request = b'{"model":"base","prompt":"Once upon","echo":true}'
    response = b'{"model":"base","choices":[{"index":0,"text":"Once upon a time"}]}'
    assert texts(decode_openai(exchange(request, response, target=TEXT))) == [" a time"]


def test_the_last_user_turn_is_the_prompt() -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": ["plain", {"type": "text", "text": "second"}, {"type": "image_url", "image_url": {}}],
        },
        {"role": "tool", "content": "result"},
    ]
    request = json.dumps({"messages": messages, "tools": [{"type": "function"}]}).encode()
    (prompt,) = decode_openai(exchange(request)).prompts
    assert (prompt.text, prompt.system, prompt.turns) == ("plain\nsecond", "Be kind.\nBe brief.", 6)
    assert prompt.has_tools
    assert prompt.has_media


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_thinking_is_kept_apart_from_the_answer(field: str) -> None:
    dialogue = stream(chunk(**{field: "hm, "}), chunk(**{field: "well"}), chunk(content="Yes"), chunk(finish="stop"))
    assert (dialogue.choices[0].text, dialogue.choices[0].reasoning) == ("Yes", "hm, well")


def test_a_refusal_field_is_the_answer() -> None:
    assert texts(stream(chunk(refusal="I can't "), chunk(refusal="help."), chunk(finish="stop"))) == ["I can't help."]


@pytest.mark.parametrize(("calls", "expected"), [([{"index": 0}], True), ([], False), (None, False)])
def test_tool_calls_are_noticed(calls: Any, expected: bool) -> None:
    assert stream(chunk(tool_calls=calls, finish="tool_calls")).choices[0].tool_call is expected
    message = {"index": 0, "message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
    assert decode_openai(exchange(response=chat_response(choices=[message]))).choices[0].tool_call is expected


def test_an_error_inside_a_stream_is_noticed() -> None:
    dialogue = stream(chunk(content="Hel"), {"error": {"type": "InternalServerError", "message": "x", "code": 500}})
    assert (texts(dialogue), dialogue.error, dialogue.damaged) == (["Hel"], "InternalServerError", False)


@pytest.mark.parametrize(
    ("error", "expected"), [("broken", "error"), ({"message": "x"}, "error"), ({"type": 3}, "error")]
)
def test_an_error_body_under_status_200_is_noticed(error: Any, expected: str) -> None:
    dialogue = decode_openai(exchange(response=json.dumps({"error": error}).encode()))
    assert (dialogue.error, dialogue.choices) == (expected, ())


def test_fields_that_are_null_are_as_if_absent() -> None:
    body = {"id": None, "model": None, "choices": None, "usage": None, "error": None}
    dialogue = decode_openai(
        exchange(b'{"model":null,"messages":null,"tools":null,"n":null}', json.dumps(body).encode())
    )
    assert (dialogue.model_requested, dialogue.model_answered, dialogue.error, dialogue.choices) == ("", "", "", ())
    assert not dialogue.prompts[0].has_tools


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_the_end_mark_is_not_needed(newline: str) -> None:
    assert texts(stream(chunk(content="Hi"), chunk(finish="stop"), done=False, newline=newline)) == ["Hi"]


def test_a_damaged_event_is_left_out_and_told() -> None:
    body = sse(chunk(content="a"), done=False) + b"data: {oops\n\n" + sse(chunk(content="b", finish="stop"))
    dialogue = decode_openai(exchange(response=body, stream=True))
    assert (texts(dialogue), dialogue.damaged) == (["ab"], True)


def test_invalid_utf8_in_one_event_costs_that_event() -> None:
    body = sse(chunk(content="a"), done=False) + b'data: {"choices":[{"index":0,"delta":{"content":"\xff"}}]}\n\n'
    dialogue = decode_openai(exchange(response=body + sse(chunk(finish="stop")), stream=True))
    assert (texts(dialogue), dialogue.damaged) == (["a"], True)


def test_a_stream_that_broke_off_gives_what_came() -> None:
    body = sse(chunk(content="Hel"), chunk(content="lo"))[:-40]
    dialogue = decode_openai(exchange(response=body, stream=True))
    assert texts(dialogue)[0].startswith("Hel")
    assert dialogue.choices[0].finish_reason == ""


def test_a_compressed_exchange_is_read() -> None:
    dialogue = decode_openai(
        exchange(gzip.compress(chat_request("Hi")), gzip.compress(chat_response("Hello")), request_encoding="gzip",
                 response_encoding="gzip")
    )  # fmt: skip
    assert (dialogue.prompts[0].text, texts(dialogue)) == ("Hi", ["Hello"])


@pytest.mark.parametrize(
    "request_body",
    [
        chat_request("Hi", "alpha").decode().encode("utf-16"),
        b"\xef\xbb\xbf" + chat_request("Hi", "alpha"),
        chat_request("Hi", "alpha", temperature=float("nan")),
        chat_request("Hi", "alpha", n="1"),
        chat_request("Hi", "alpha", n=1.0),
        chat_request("Hi", "alpha", user="\ud800"),
        chat_request("Hi", "alpha", tools={"not": "a list"}),
        chat_request("Hi", "alpha", extra=[[[[[]]]]]),
    ],
)
def test_an_unusual_way_of_writing_does_not_hide_a_request(request_body: bytes) -> None:
    dialogue = decode_openai(exchange(request_body))
    assert (dialogue.prompts[0].text, dialogue.model_requested) == ("Hi", "alpha")


def test_a_half_character_in_a_prompt_is_replaced() -> None:
    dialogue = decode_openai(exchange(chat_request("a\ud800b")))
    assert dialogue.prompts[0].text == "a?b"


def test_a_cut_request_is_judged_without_its_prompt_and_keeps_its_model() -> None:
    request = chat_request("x" * 500, "alpha")
    dialogue = decode_openai(exchange(request[:300], chat_response(model=None), request_bytes=len(request)))
    assert (dialogue.prompts[0].text, dialogue.model_requested) == ("", "alpha")


def test_a_cut_request_whose_model_is_not_in_the_copy_is_taken_for_the_answering_one() -> None:
    dialogue = decode_openai(exchange(b'{"messages": [{"ro', chat_response(model="alpha"), request_bytes=10_000))
    assert (dialogue.model_requested, dialogue.model_answered) == ("alpha", "alpha")


def test_nobody_is_blamed_for_an_answer_without_any_model() -> None:
    with pytest.raises(DecodeError) as caught:
        decode_openai(exchange(b'{"messages": [{"ro', chat_response(model=None), request_bytes=10_000))
    assert caught.value.reason == "no_model"


def test_text_that_quotes_a_model_is_not_taken_for_the_model() -> None:
    request = json.dumps({"messages": [{"role": "user", "content": '"model": "evil"' * 9}], "model": "alpha"}).encode()
    dialogue = decode_openai(exchange(request[:80], chat_response(model="beta"), request_bytes=len(request)))
    assert dialogue.model_requested == "beta"


def test_a_cut_whole_answer_keeps_its_model_and_counts_as_one_unfinished_choice() -> None:
    response = chat_response("x" * 500, "alpha")
    dialogue = decode_openai(exchange(response=response[:200], response_bytes=len(response)))
    assert (dialogue.model_answered, texts(dialogue), dialogue.choices[0].finish_reason) == ("alpha", [""], "")


def test_very_many_choices_are_bounded_and_negative_ones_are_damage() -> None:
    choices = [{"index": index, "text": "x"} for index in range(-1, MAX_CHOICES + 50)]
    dialogue = decode_openai(exchange(response=json.dumps({"model": "base", "choices": choices}).encode()))
    assert (len(dialogue.choices), dialogue.damaged) == (MAX_CHOICES, True)
    assert min(choice.index for choice in dialogue.choices) == 0


@pytest.mark.parametrize("tokens", [-1, 2**70])
def test_absurd_token_counts_are_not_counts(tokens: int) -> None:
    dialogue = decode_openai(exchange(response=chat_response(usage={"prompt_tokens": tokens, "completion_tokens": 5})))
    assert (dialogue.prompt_tokens, dialogue.completion_tokens) == (None, 5)


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("request_body", "response_body", "reason"),
    [
        (b"", chat_response(), "malformed_request"),
        (b"[]", chat_response(), "malformed_request"),
        (b'"text"', chat_response(), "malformed_request"),
        (b"\xff\xfe\xff", chat_response(), "malformed_request"),
        (b'{"messages": 3}', chat_response(), "malformed_request"),
        (b'{"messages": [{"role": "user", "content": {"a": 1}}]}', chat_response(), "malformed_request"),
        (b'{"x":' + DEEP + b"}", chat_response(), "malformed_request"),
        (b'{"n":1' + b"0" * 5000 + b"}", chat_response(), "malformed_request"),
        (chat_request(), b"", "malformed_response"),
        (chat_request(), b"[]", "malformed_response"),
        (chat_request(), b"<html>", "malformed_response"),
        (chat_request(), b'{"choices": [{"index": "a"}]}', "malformed_response"),
        (chat_request(), b'{"choices": [{"message": {"content": "\xff"}}]}', "malformed_response"),
        (chat_request(), b'{"x":' + DEEP + b"}", "malformed_response"),
    ],
)
def test_what_cannot_be_read_has_a_reason(request_body: bytes, response_body: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_openai(exchange(request_body, response_body))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "body", [b"", b": only a comment\n\n", b"data: [DONE]\n\n", b"data: oops\n\n", b"data: " + DEEP + b"\n\n"]
)
def test_a_stream_without_a_readable_event_has_a_reason(body: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_openai(exchange(response=body, stream=True))
    assert caught.value.reason == "malformed_response"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["model", "messages", "prompt", "n", "tools", "choices", "index", "delta", "message", "text", "content", "usage", "error",
     "finish_reason", "role", "type", "id", "echo", "prompt_tokens"]
)  # fmt: skip
shaped = st.recursive(
    json_values, lambda inner: st.dictionaries(KEYS, inner, max_size=5) | st.lists(inner, max_size=3), max_leaves=12
)
bodies = st.one_of(st.binary(max_size=60), shaped.map(lambda value: json.dumps(value).encode()))


@given(
    bodies, bodies, st.booleans(), st.integers(0, 3), st.sampled_from([CHAT, TEXT]), st.sampled_from(["", "gzip", "br"])
)
def test_any_bodies_give_a_dialogue_or_a_bounded_reason(
    request_body: bytes, response_body: bytes, streamed: bool, missing: int, target: str, encoding: str
) -> None:
    if streamed:
        response_body = b"data: " + response_body + b"\n\n"
    given_exchange = exchange(
        request_body,
        response_body,
        target=target,
        stream=streamed,
        response_encoding=encoding,
        request_bytes=len(request_body) + missing,
        response_bytes=len(response_body) + missing // 2,
    )
    try:
        found: Dialogue | str = decode_openai(given_exchange)
    except DecodeError as error:
        found = error.reason
    if isinstance(found, Dialogue):
        assert all(0 <= choice.prompt < len(found.prompts) for choice in found.choices)
    else:
        assert found in REASONS
