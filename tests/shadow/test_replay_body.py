"""What of a client's request is asked again, and what is not asked again at all."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from made_exchanges import chat_request, exchange

from monitor.shadow.body import Replay, replay_of

CHAT = "chat_completions"


def made(endpoint: str = CHAT, most: int = 256, **body: Any) -> Replay | str:
    return replay_of(exchange(json.dumps(body).encode()), endpoint, most)


def asked(replay: Replay | str) -> dict[str, Any]:
    assert isinstance(replay, Replay)
    return json.loads(replay.request("base", "salt", random.Random(1)))


def test_messages_and_decoding_stay_and_the_rest_is_ours() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi \ud800"}]},
    ]
    found = asked(
        made(
            model="a-b", messages=messages, temperature=0.3, top_p=0.9, stop=["\n"], seed=7, n=3, stream=True, user="somebody",
            stream_options={"include_usage": True}, logprobs=True, max_completion_tokens=40, cache_salt="theirs", metadata={},
        )
    )  # fmt: skip
    seed = found.pop("seed")
    assert seed != 7
    assert found == {
        "model": "base", "messages": messages, "temperature": 0.3, "top_p": 0.9, "stop": ["\n"], "n": 1, "stream": False,
        "max_tokens": 40, "cache_salt": "salt",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("endpoint", "own", "tokens", "limited"),
    [(CHAT, {}, 256, True), (CHAT, {"max_tokens": 1000}, 256, True), (CHAT, {"max_tokens": 256}, 256, False),
     ("completions", {}, 16, False), ("completions", {"max_tokens": 9}, 9, False)],
)  # fmt: skip
def test_the_limit_is_the_smaller_one_and_is_known_to_be_ours(
    endpoint: str, own: dict[str, int], tokens: int, limited: bool
) -> None:
    what = {"prompt": "Once"} if endpoint == "completions" else {"messages": [{"role": "user", "content": "Hi"}]}
    replay = made(endpoint, **what, **own)
    assert isinstance(replay, Replay)
    assert (asked(replay)["max_tokens"], replay.max_tokens, replay.limited) == (tokens, tokens, limited)


USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("endpoint", "body", "reason"),
    [
        (CHAT, {"messages": [USER], "tools": [{"type": "function"}]}, "tools"),
        (CHAT, {"messages": [USER, {"role": "tool", "content": "4"}]}, "tools"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "media",
        ),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "media"),
        (CHAT, {"messages": [USER], "response_format": {"type": "json_object"}}, "shape"),
        (CHAT, {"messages": [USER], "max_tokens": "many"}, "shape"),
        (CHAT, {"messages": 3}, "shape"),
        (CHAT, {"messages": [3]}, "shape"),
        ("completions", {"prompt": [1, 2, 3]}, "shape"),
        ("completions", {"prompt": ["one", "two"]}, "shape"),
        ("responses", {"input": "Hi"}, "shape"),
        ("batch", {"messages": [[USER]]}, "shape"),
    ],
)
def test_what_cannot_be_asked_again_fairly_is_not(endpoint: str, body: dict[str, Any], reason: str) -> None:
    assert made(endpoint, **body) == reason


def test_an_opt_out_a_cut_copy_and_what_is_no_json_are_left_alone() -> None:
    one = exchange(chat_request())
    assert replay_of(msgspec.structs.replace(one, no_replay=True), CHAT, 256) == "opt_out"
    assert replay_of(msgspec.structs.replace(one, request_bytes=10_000), CHAT, 256) == "truncated_copy"
    assert replay_of(exchange(b"{"), CHAT, 256) == "shape"
    assert isinstance(replay_of(one, CHAT, 256), Replay)
