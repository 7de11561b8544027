"""Every shape of a real vLLM through the sidecar: byte for byte as without it, with the clients that people use, and aborted
with them.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from running_sidecar import SidecarStarter, eventually, http_get
from wire import Answer, Wire

pytestmark = pytest.mark.vllm
QUESTION = "List three colours."
LONG = "List the numbers from 1 to 1000, separated by commas."
"""The model goes on until its limit."""
ADAPTER = {"X-Amzn-SageMaker-Adapter-Identifier": "alpha"}


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


# Bytes

CHAT = {
    "model": "alpha",
    "messages": [{"role": "user", "content": QUESTION}],
    "max_tokens": 24,
    "temperature": 0,
    "seed": 1,
}
PARTS = [{"role": "user", "content": [{"type": "text", "text": QUESTION}, {"type": "text", "text": "Briefly."}]}]
TEXT = {"model": "alpha", "prompt": ["The sky is", "Grass is"], "max_tokens": 5, "temperature": 0, "seed": 1}
ANSWER = {"model": "alpha", "input": QUESTION, "max_output_tokens": 10, "temperature": 0}
MESSAGE = {"model": "alpha", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 10, "temperature": 0}
IDS = {"model": "alpha", "token_ids": [504, 6376, 314], "sampling_params": {"max_tokens": 6, "temperature": 0}}
STREAM = {"stream": True}
USAGE = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
SHAPES: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "chat": ("/v1/chat/completions", CHAT, {}),
    "chat streamed": ("/v1/chat/completions", CHAT | STREAM, {}),
    "chat streamed with usage": ("/v1/chat/completions", CHAT | USAGE, {}),
    "chat with logprobs": ("/v1/chat/completions", CHAT | {"logprobs": True, "top_logprobs": 2}, {}),
    "chat streamed with logprobs": ("/v1/chat/completions", CHAT | STREAM | {"logprobs": True}, {}),
    "chat of two answers": ("/v1/chat/completions", CHAT | {"n": 2, "temperature": 0.9}, {}),
    "chat of parts": ("/v1/chat/completions", CHAT | {"messages": PARTS}, {}),
    "chat of nobody": ("/v1/chat/completions", CHAT | {"model": "nobody"}, {}),
    "chat that is wrong": ("/v1/chat/completions", CHAT | {"messages": 3}, {}),
    "chat streamed that is wrong": ("/v1/chat/completions", CHAT | STREAM | {"max_tokens": -1}, {}),
    "batch": ("/v1/chat/completions/batch", CHAT | {"messages": [CHAT["messages"], PARTS]}, {}),
    "completions": ("/v1/completions", TEXT, {}),
    "completions streamed": ("/v1/completions", TEXT | STREAM | {"prompt": "The sky is"}, {}),
    "completions echoed": ("/v1/completions", TEXT | {"echo": True, "prompt": "The sky is"}, {}),
    "responses": ("/v1/responses", ANSWER, {}),
    "responses streamed": ("/v1/responses", ANSWER | STREAM, {}),
    "responses of nobody": ("/v1/responses", ANSWER | {"model": "nobody"}, {}),
    "messages": ("/v1/messages", MESSAGE, {}),
    "messages streamed": ("/v1/messages", MESSAGE | STREAM, {}),
    "messages that are wrong": ("/v1/messages", MESSAGE | {"max_tokens": -1}, {}),
    "invocations": ("/invocations", CHAT | {"model": "smollm2-aligned"}, ADAPTER),
    "invocations streamed": ("/invocations", CHAT | STREAM | {"model": "smollm2-aligned"}, ADAPTER),
    "generate": ("/inference/v1/generate", IDS, {}),
    "generate streamed": ("/inference/v1/generate", IDS | STREAM, {}),
}
IDENTITY = re.compile(
    rb'"(id|request_id|item_id|response_id|message_id)":("[^"]*"|null)|"(created|created_at|completed_at)":[0-9.]+'
)
"""What differs from call to call; the lengths do not."""
MAY_VARY = {"date", "x-request-id"}
PIECE = re.compile(rb'"(?:content|text|delta)":"((?:[^"\\]|\\.)*)"')
ATTEMPTS = 10
"""On a busy machine vLLM itself puts two tokens into one event now and then; the text is always compared, the events until
two answers were given alike."""


def without_identity(body: bytes) -> bytes:
    return IDENTITY.sub(lambda found: b"#" * len(found.group()), body)


def compared(answer: Answer) -> tuple[list[str], bytes]:
    """Status, headers in order, and the body with its chunks: boundaries and order."""
    lines = [line for line in answer.lines if line.partition(":")[0].lower() not in MAY_VARY]
    return lines, without_identity(answer.raw_body)


def said(answer: Answer) -> bytes:
    """All text of an answer, however its tokens share events."""
    return b"".join(PIECE.findall(answer.body)) if answer.status == 200 else without_identity(answer.body)


async def raw(url: str, path: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
    data = json.dumps(body).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n{lines}Content-Length: {len(data)}\r\n\r\n"
    async with await Wire.open(port_of(url), limit_s=120) as wire:
        await wire.send(head.encode() + data)
        return await wire.answer()


async def test_every_shape_is_byte_for_byte_what_vllm_answers(vllm: str, sidecar: SidecarStarter) -> None:
    running = await sidecar(vllm)
    asked = 0
    for name, (path, body, headers) in SHAPES.items():
        await raw(vllm, path, body, headers)  # both of the following then find the same prefix cache
        for _ in range(ATTEMPTS):
            direct = await raw(vllm, path, body, headers)
            through = await raw(running.url, path, body, headers)
            asked += 1
            assert compared(through)[0] == compared(direct)[0], name
            assert said(through) == said(direct), name
            if compared(through) == compared(direct):
                break
        assert compared(through) == compared(direct), name
        assert (through.status == 200) == ("nobody" not in name and "wrong" not in name), (name, through.body)

    async def accounted_for() -> bool:
        metrics = await running.metrics()
        totals = dict.fromkeys(("sampled", "scored", "unscored", "dropped"), 0.0)
        for key, value in metrics.items():
            for what in totals:
                if key.startswith(f"alignment_exchanges_{what}_total{{"):
                    totals[what] += value
        return totals["sampled"] == asked == totals["scored"] + totals["unscored"] + totals["dropped"]

    await eventually(accounted_for, "sampled = scored + unscored + dropped")
    endings = [
        key for key, value in (await running.metrics()).items() if key.startswith("alignment_requests_total") and value
    ]
    assert {re.search('ending="(.*?)"', key).group(1) for key in endings} <= {"complete", "length"}


# Clients


class Clients:
    def __init__(self, url: str) -> None:
        self.openai = AsyncOpenAI(base_url=f"{url}/v1", api_key="not-checked", max_retries=0, timeout=120)
        self.anthropic = AsyncAnthropic(base_url=url, api_key="not-checked", max_retries=0, timeout=120)

    async def close(self) -> None:
        await self.openai.close()
        await self.anthropic.close()


@pytest.fixture
async def direct(vllm: str) -> AsyncIterator[Clients]:
    clients = Clients(vllm)
    yield clients
    await clients.close()


@pytest.fixture
async def through(vllm: str, sidecar: SidecarStarter) -> AsyncIterator[Clients]:
    clients = Clients((await sidecar(vllm)).url)
    yield clients
    await clients.close()


def turn(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def chat(clients: Clients, text: str, limit: int) -> str:
    answer = await clients.openai.chat.completions.create(
        model="alpha", messages=turn(text), max_tokens=limit, temperature=0
    )
    return f"{answer.choices[0].message.content} {answer.choices[0].finish_reason} {answer.usage}"


async def chat_streamed(clients: Clients, text: str, limit: int) -> AsyncIterator[str]:
    stream = await clients.openai.chat.completions.create(
        model="alpha", messages=turn(text), max_tokens=limit, temperature=0, stream=True
    )
    async with stream:
        async for event in stream:
            yield f"{event.choices[0].delta.content or ''}{event.choices[0].finish_reason or ''}"


async def completion(clients: Clients, text: str, limit: int) -> str:
    answer = await clients.openai.completions.create(
        model="alpha", prompt=text, max_tokens=limit, temperature=0, extra_body={"ignore_eos": True}
    )
    return answer.choices[0].text


async def completion_streamed(clients: Clients, text: str, limit: int) -> AsyncIterator[str]:
    stream = await clients.openai.completions.create(
        model="alpha", prompt=text, max_tokens=limit, temperature=0, stream=True, extra_body={"ignore_eos": True}
    )
    async with stream:
        async for event in stream:
            yield event.choices[0].text


async def response(clients: Clients, text: str, limit: int) -> str:
    answer = await clients.openai.responses.create(model="alpha", input=text, max_output_tokens=limit, temperature=0)
    return f"{answer.output_text} {answer.status}"


async def response_streamed(clients: Clients, text: str, limit: int) -> AsyncIterator[str]:
    stream = await clients.openai.responses.create(
        model="alpha", input=text, max_output_tokens=limit, temperature=0, stream=True
    )
    async with stream:
        async for event in stream:
            yield f"{event.type}{event.delta if event.type == 'response.output_text.delta' else ''}"


async def message(clients: Clients, text: str, limit: int) -> str:
    answer = await clients.anthropic.messages.create(
        model="alpha", messages=turn(text), max_tokens=limit, extra_body={"temperature": 0}
    )
    return f"{answer.content[0].text} {answer.stop_reason} {answer.usage.output_tokens}"


async def message_streamed(clients: Clients, text: str, limit: int) -> AsyncIterator[str]:
    async with clients.anthropic.messages.stream(
        model="alpha", messages=turn(text), max_tokens=limit, extra_body={"temperature": 0}
    ) as stream:
        async for piece in stream.text_stream:
            yield piece


WHOLE: list[Callable[[Clients, str, int], Awaitable[str]]] = [chat, completion, response, message]
STREAMED: list[Callable[[Clients, str, int], AsyncIterator[str]]] = [
    chat_streamed,
    completion_streamed,
    response_streamed,
    message_streamed,
]


@pytest.mark.parametrize("ask", WHOLE)
async def test_a_client_gets_the_same_whole_answer(ask: Any, direct: Clients, through: Clients) -> None:
    assert await ask(through, QUESTION, 24) == await ask(direct, QUESTION, 24)


@pytest.mark.parametrize("ask", STREAMED)
async def test_a_client_gets_the_same_events_in_the_same_order(ask: Any, direct: Clients, through: Clients) -> None:
    found = [[piece async for piece in ask(one, QUESTION, 24)] for one in (direct, through)]
    assert "".join(found[1]) == "".join(found[0])
    assert len(found[1]) > 3


async def test_the_clients_get_vllms_own_errors(through: Clients) -> None:
    with pytest.raises(Exception, match="does not exist") as error:
        await through.openai.responses.create(model="nobody", input="Hi")
    assert getattr(error.value, "status_code", None) == 404
    with pytest.raises(Exception, match="does not exist") as error:
        await through.anthropic.messages.create(model="nobody", messages=turn("Hi"), max_tokens=9)
    assert getattr(error.value, "status_code", None) == 404


# Aborts


async def running_and_finished(url: str) -> tuple[float, float]:
    """Requests that vLLM generates for now, and those that it brought to an end."""
    _, body = await http_get(port_of(url), "/metrics")
    running = re.findall(rb"^vllm:num_requests_running\{[^}]*\} (\S+)$", body, re.MULTILINE)
    finished = re.findall(rb"^vllm:request_success_total\{[^}]*(?:stop|length)[^}]*\} (\S+)$", body, re.MULTILINE)
    assert running
    assert finished
    return sum(map(float, running)), sum(map(float, finished))


async def assert_aborted(url: str, finished_before: float) -> None:
    async def idle() -> bool:
        return (await running_and_finished(url))[0] == 0

    await eventually(idle, "vLLM has stopped generating", within_s=10)
    assert (await running_and_finished(url))[1] == finished_before, "it was aborted, and did not come to its own end"


@pytest.mark.parametrize("ask", STREAMED)
async def test_vllm_aborts_a_stream_whose_client_goes(ask: Any, vllm: str, through: Clients) -> None:
    _, finished = await running_and_finished(vllm)
    stream = ask(through, LONG, 900)
    for _ in range(4):
        await anext(stream)
    assert (await running_and_finished(vllm))[0] == 1
    await stream.aclose()
    await assert_aborted(vllm, finished)


@pytest.mark.parametrize("ask", WHOLE)
async def test_vllm_aborts_a_whole_answer_whose_client_goes(ask: Any, vllm: str, through: Clients) -> None:
    _, finished = await running_and_finished(vllm)
    asking = asyncio.ensure_future(ask(through, LONG, 900))

    async def generating() -> bool:
        return (await running_and_finished(vllm))[0] == 1

    await eventually(generating, "vLLM generates")
    asking.cancel()
    await assert_aborted(vllm, finished)
    with pytest.raises(asyncio.CancelledError):
        await asking
