"""CPU time of decoding one exchange of N events, per shape: `python tests/bench/decode_cost.py [--events 256]`.

The exchanges are made after what vLLM writes. The median of many short rounds counts, and the best stands beside it: what lies
between them is the machine's other work, whose load is told, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from monitor.protocols import DECODERS
from monitor.records import Dialogue, Ending, Exchange

ROUNDS = 100
CALLS = 6
GOAL_US = 150.0
"""What an exchange of 256 events may cost in the analysis process."""

WORDS = ("Red", " is", " a", " colour", " of", " the", " rainbow", ",", ' and "it"', " shines", ".", "\n")
ASK = {"model": "alpha", "messages": [{"role": "user", "content": "Name a colour of the rainbow."}], "stream": True}


def words(count: int) -> Iterator[str]:
    return (WORDS[number % len(WORDS)] for number in range(count))


def chat(count: int) -> Iterator[dict[str, Any]]:
    head = {
        "id": "chatcmpl-8e4f15f5abad26c7",
        "object": "chat.completion.chunk",
        "created": 1795436388,
        "model": "alpha",
    }
    for word in words(count - 1):
        delta = {"index": 0, "delta": {"content": word}, "logprobs": None, "finish_reason": None, "token_ids": None}
        yield {**head, "choices": [delta]}
    yield {**head, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop", "stop_reason": None}]}


def two_choices(count: int) -> Iterator[dict[str, Any]]:
    """Two answers whose events take turns: no two events in a row are alike."""
    for number, event in enumerate(chat(count)):
        event["choices"][0]["index"] = number % 2
        yield event


def thinking(count: int) -> Iterator[dict[str, Any]]:
    """A thought, and then an answer."""
    for number, event in enumerate(chat(count)):
        if number < count // 2:
            event["choices"][0]["delta"] = {"reasoning": event["choices"][0]["delta"]["content"]}
        yield event


def usage_in_each(count: int) -> Iterator[dict[str, Any]]:
    """What stream_options.continuous_usage_stats adds."""
    for number, event in enumerate(chat(count)):
        tokens = {"prompt_tokens": 27, "total_tokens": 28 + number, "completion_tokens": number + 1}
        yield {**event, "usage": tokens}


def completions(count: int) -> Iterator[dict[str, Any]]:
    head = {"id": "cmpl-9c410b92114b9847", "object": "text_completion", "created": 1795435541, "model": "alpha"}
    for word in words(count):
        yield {**head, "choices": [{"index": 0, "text": word, "logprobs": None, "finish_reason": None}]}


def messages(count: int) -> Iterator[dict[str, Any]]:
    usage = {"input_tokens": 27, "output_tokens": 0}
    yield {"type": "message_start", "message": {"id": "m", "model": "alpha", "content": [], "usage": usage}}
    for word in words(count - 2):
        yield {"type": "content_block_delta", "delta": {"type": "text_delta", "text": word}, "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}


def pieces(count: int) -> Iterator[dict[str, Any]]:
    """A stream of /v1/responses that broke off before its closing copy."""
    for number, word in enumerate(words(count)):
        yield {
            "content_index": 0, "delta": word, "item_id": "msg_90e80f62ed0ae2a5", "logprobs": [], "output_index": 0,
            "sequence_number": number, "type": "response.output_text.delta",
        }  # fmt: skip


def responses(count: int) -> Iterator[dict[str, Any]]:
    yield from pieces(count - 1)
    part = {"annotations": [], "text": "".join(words(count - 1)), "type": "output_text", "logprobs": None}
    item = {"id": "msg_90e80f62ed0ae2a5", "content": [part], "role": "assistant", "type": "message"}
    whole = {"id": "resp_1", "model": "alpha", "status": "completed", "output": [item], "metadata": None, "tools": []}
    yield {"response": whole, "sequence_number": count, "type": "response.completed"}


def tokens(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        choice = {"index": 0, "finish_reason": None, "stop_reason": None, "token_ids": [number], "logprobs": None}
        yield {"request_id": "generate-tokens-1", "usage": None, "choices": [choice], "output_mode": "tokens"}


SHAPES: dict[str, tuple[str, Callable[[int], Iterator[dict[str, Any]]]]] = {
    "chat_completions": ("chat_completions", chat),
    "chat, thinking": ("chat_completions", thinking),
    "chat, two choices": ("chat_completions", two_choices),
    "chat, usage in each": ("chat_completions", usage_in_each),
    "completions": ("completions", completions),
    "invocations": ("invocations", chat),
    "messages": ("messages", messages),
    "responses": ("responses", responses),
    "responses, broken off": ("responses", pieces),
    "generate": ("generate", tokens),
}


def stream_of(events: Iterator[dict[str, Any]]) -> bytes:
    """The events as server-sent events, typed where the API names types."""
    lines = []
    for event in events:
        named = f"event: {event['type']}\n" if "type" in event else ""
        lines.append(f"{named}data: {json.dumps(event, separators=(',', ':'))}\n\n")
    return "".join(lines).encode()


def exchange_of(response: bytes) -> Exchange:
    request = json.dumps(ASK | {"input": "Name a colour.", "prompt": None, "token_ids": list(range(64))}).encode()
    return Exchange(
        started=0.0,
        method="POST",
        target="/",
        status=200,
        ending=Ending.COMPLETE,
        inclusion=1.0,
        request=request,
        response=response,
        request_bytes=len(request),
        response_bytes=len(response),
        request_encoding="",
        response_type="text/event-stream",
        response_encoding="",
        first_byte_s=0.0,
        duration_s=0.0,
    )


def cost_us(decode: Callable[[Exchange], Dialogue], exchange: Exchange) -> tuple[float, float]:
    """Median and least microseconds of CPU time per call."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(CALLS):
            decode(exchange)
        rounds.append((time.process_time_ns() - began) / CALLS / 1000)
    return statistics.median(rounds), min(rounds)


def measure(events: int) -> dict[str, tuple[float, float]]:
    """Shape -> median and least microseconds per exchange."""
    made = {shape: (endpoint, stream_of(make(events))) for shape, (endpoint, make) in SHAPES.items()}
    endpoint, stream = made["chat_completions"]
    made["chat, keep-alives"] = endpoint, stream.replace(b"\n\n", b"\n\n: keep-alive\n\n", 9)
    return {shape: cost_us(DECODERS[endpoint], exchange_of(stream)) for shape, (endpoint, stream) in made.items()}


def addition_ns() -> float:
    """What one turn of an empty loop costs here and now, to read the figures of different machines side by side."""
    best = float("inf")
    for _ in range(ROUNDS):
        total = 0
        began = time.process_time_ns()
        for number in range(10_000):
            total += number
        best = min(best, (time.process_time_ns() - began) / 10_000)
    return best


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=256)
    events = parser.parse_args(arguments).events
    for shape, (median, least) in measure(events).items():
        print(f"{shape:24}{median:6.0f} us for {events} events (least {least:.0f}), {median / events:6.2f} us each")
    print(f"goal: {GOAL_US:.0f} us for 256 events; adding two integers in a loop costs {addition_ns():.0f} ns here")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
