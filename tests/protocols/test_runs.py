"""Joining events that differ in one piece of text changes nothing that a decoder reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from captured import NAMES, captured
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.protocols import DECODERS
from monitor.protocols.endpoints import endpoint_of
from monitor.protocols.runs import merged
from monitor.protocols.sse import event_data, plain_event_data

PIECES = st.sampled_from(
    ["a", "", " and", '"', "\\", '\\"', '","text":"x', '"}]', "\n\n", "\u2028", "é", "😀", "]", ","]
)


def chat(field: str, piece: str, index: int = 0, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": index, "delta": {field: piece}, "logprobs": None, "finish_reason": finish}
    return {"id": "c", "model": "alpha", "choices": [choice]}


def text(piece: str, index: int = 0, finish: str | None = None) -> dict[str, Any]:
    return {"id": "c", "model": "alpha", "choices": [{"index": index, "text": piece, "finish_reason": finish}]}


def tool(piece: str) -> dict[str, Any]:
    call = {"index": 0, "function": {"arguments": piece}}
    return {"id": "c", "model": "alpha", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}


def message(kind: str, piece: str, block: int) -> dict[str, Any]:
    return {"type": "content_block_delta", "delta": {"type": f"{kind}_delta", kind: piece}, "index": block}


def response(piece: str, item: int, number: int) -> dict[str, Any]:
    return {"delta": piece, "output_index": item, "sequence_number": number, "type": "response.output_text.delta"}


def generate(ids: list[int], piece: str, index: int) -> dict[str, Any]:
    return {"request_id": "g", "choices": [{"index": index, "token_ids": ids, "text": piece, "finish_reason": None}]}


INDEX = st.sampled_from([0, 0, 0, 0, 0, 1])
FINISH = st.sampled_from([None, None, None, None, "stop"])
CHAT_EVENT = st.builds(
    chat, st.sampled_from(["content", "content", "content", "reasoning", "refusal"]), PIECES, INDEX, FINISH
)
EVENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "chat_completions": CHAT_EVENT | st.builds(tool, PIECES),
    "completions": st.builds(text, PIECES, INDEX, FINISH),
    "messages": st.builds(message, st.sampled_from(["text", "text", "text", "thinking"]), PIECES, INDEX),
    "responses": st.builds(response, PIECES, INDEX, st.integers(0, 2000)),
    "generate": st.builds(generate, st.lists(st.integers(0, 9), max_size=2), st.sampled_from(["", "", "x"]), INDEX),
}


def stream_of(events: list[dict[str, Any]], *, spaced: bool = False) -> bytes:
    """As vLLM writes it; with spaces, no two events are joined."""
    lines = []
    for event in events:
        name = f"event: {event['type']}\n" if "type" in event else ""
        separators = (", ", ": ") if spaced else (",", ":")
        lines.append(f"{name}data: {json.dumps(event, ensure_ascii=False, separators=separators)}\n\n")
    return "".join(lines).encode("utf-8", "surrogatepass")


@given(data=st.data(), endpoint=st.sampled_from(sorted(EVENTS)))
@settings(max_examples=500)
def test_joined_events_say_the_same_as_each_by_itself(data: st.DataObject, endpoint: str) -> None:
    row = st.builds(
        lambda event, pieces: [with_piece(event, piece) for piece in pieces], EVENTS[endpoint], st.lists(PIECES)
    )
    rows = data.draw(st.lists(row | EVENTS[endpoint].map(lambda event: [event]), min_size=1, max_size=30))
    events = [event for one in rows for event in one]
    if not events:
        return
    found = [
        DECODERS[endpoint](captured("chat_text_stream", response=stream_of(events, spaced=spaced)))
        for spaced in (False, True)
    ]
    assert found[0] == found[1]


def with_piece(event: dict[str, Any], piece: str) -> dict[str, Any]:
    """The same event with another text where it has one."""
    copy: dict[str, Any] = json.loads(json.dumps(event))
    if "delta" in copy and isinstance(copy["delta"], str):
        copy["delta"] = piece
        return copy
    inner = copy.get("delta") or copy["choices"][0].get("delta") or copy["choices"][0]
    for name in ("content", "reasoning", "refusal", "text", "thinking"):
        if name in inner:
            inner[name] = piece
    return copy


def test_a_long_stream_becomes_a_few_events() -> None:
    events = [chat("reasoning", f"t{number}") for number in range(100)] + [
        chat("content", f" w{number}") for number in range(100)
    ]
    events = [chat("role", "assistant"), *events, chat("content", "", finish="stop")]
    assert len(merged(plain_event_data(stream_of(events)))) == 4


@pytest.mark.parametrize(
    ("pieces", "count"),
    [
        (["a"] * 20, 1),
        (['say "'] * 20, 1),
        (["\\"] * 20, 1),
        (["é\n"] * 20, 1),
    ],
)
def test_pieces_of_any_characters_are_joined(pieces: list[str], count: int) -> None:
    joined = merged(plain_event_data(stream_of([text(piece) for piece in pieces])))
    assert len(joined) == count
    assert json.loads(joined[0])["choices"][0]["text"] == "".join(pieces)


@pytest.mark.parametrize("odd", [b'"x","text":"', b"\\", b'","finish_reason":"stop'])
def test_a_piece_that_closes_its_value_is_never_joined(odd: bytes) -> None:
    events = plain_event_data(stream_of([text("a") for _ in range(20)]))
    events[9] = events[9].replace(b'"text":"a', b'"text":"a' + odd)
    assert merged(events) == events


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_stream")])
def test_a_real_stream_is_plain(name: str) -> None:
    body = captured(name).response
    assert plain_event_data(body) == [data for data in event_data(body) if data != b"[DONE]"]
    assert plain_event_data(body.replace(b"\n\n", b"\n\n: keep-alive\n\n")) in ([], plain_event_data(body))
    assert endpoint_of("POST", captured(name).target) in DECODERS


@given(
    st.binary(max_size=80)
    | st.lists(st.sampled_from([b"data: a", b"", b": c", b"event: x", b"data:b"])).map(b"\n".join)
)
def test_the_short_way_reads_what_the_standard_says_or_nothing(stream: bytes) -> None:
    found = plain_event_data(stream)
    assert found in ([], [data for data in event_data(stream) if data != b"[DONE]"]) or b"\r" in stream
