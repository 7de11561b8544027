"""Exchanges as a proxy worker hands them over, with bodies as vLLM writes them."""

from __future__ import annotations

import json
from typing import Any

from monitor.records import Ending, Exchange

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"


def chat_request(prompt: str = "How do I bake bread?", model: str | None = "base", **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}], **more}).encode()


def chat_response(text: str | None = "Mix flour and water.", model: str | None = "base", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
    return json.dumps({"id": "chatcmpl-1", "model": model, "choices": [choice], "usage": usage, **more}).encode()


def chunk(index: int = 0, finish: str | None = None, model: str = "base", **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": model, "choices": [choice]}


def sse(*events: Any, done: bool = True, newline: str = "\n") -> bytes:
    lines = [f"data: {json.dumps(event)}{newline}{newline}" for event in events]
    return ("".join(lines) + (f"data: [DONE]{newline}{newline}" if done else "")).encode()


def exchange(
    request: bytes | None = None,
    response: bytes | None = None,
    *,
    target: str = CHAT,
    status: int = 200,
    ending: Ending = Ending.COMPLETE,
    inclusion: float = 1.0,
    started: float = 1000.0,
    stream: bool = False,
    request_bytes: int | None = None,
    response_bytes: int | None = None,
    request_encoding: str = "",
    response_encoding: str = "",
) -> Exchange:
    request = chat_request() if request is None else request
    response = chat_response() if response is None else response
    return Exchange(
        started=started,
        method="POST",
        target=target,
        status=status,
        ending=ending,
        inclusion=inclusion,
        request=request,
        response=response,
        request_bytes=len(request) if request_bytes is None else request_bytes,
        response_bytes=len(response) if response_bytes is None else response_bytes,
        request_encoding=request_encoding,
        response_type="text/event-stream" if stream else "application/json",
        response_encoding=response_encoding,
        first_byte_s=0.02,
        duration_s=0.3,
    )
