"""The exchange that is measured: the request's bytes, and every byte of the right answer to it.

The stand-in server sends what this module says and the load generator holds what it gets against it, so a proxy that
loses, adds or changes a byte shows up as failures.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from wordings import answer_tokens, prompt

DONE = b"data: [DONE]\n\n"
PATH = "/v1/chat/completions"
_PROMPT_SENTENCES = 14
_ID = "chatcmpl-bench"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, and with it its answer."""

    variant: int = 0
    """Number of the prompt and of the answer."""
    tokens: int = 64
    """Tokens of the answer; streamed, each is an event."""
    stream: bool = False
    interval_ms: float = 0.0
    """Milliseconds between two tokens of a stream; 0 for as fast as possible."""
    model: str = "alpha"

    @property
    def events(self) -> int:
        """SSE events of the answer without `[DONE]`: one with the role, then one per token; 0 when not streamed."""
        return self.tokens + 1 if self.stream else 0

    def body(self) -> bytes:
        """The request's body. `user` carries what the server must know beyond the API; proxies hand it on."""
        return json.dumps(
            {
                "model": self.model,
                "max_tokens": self.tokens,
                "stream": self.stream,
                "temperature": 0.7,
                "user": f"{self.variant}/{self.interval_ms:g}",
                "messages": [
                    {"role": "system", "content": "You are a helpful assistant."},
                    {"role": "user", "content": prompt(self.variant, _PROMPT_SENTENCES)},
                ],
            }
        ).encode()

    def request(self, port: int) -> bytes:
        """The whole request, head and body."""
        body = self.body()
        head = (
            f"POST {PATH} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{port}\r\n"
            "Accept: */*\r\n"
            "Authorization: Bearer sk-bench\r\n"
            "Content-Type: application/json\r\n"
            "User-Agent: bench\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@lru_cache(maxsize=1024)
def read_ask(body: bytes) -> Ask:
    """The request's body as the server reads it."""
    fields = json.loads(body)
    variant, _, interval = str(fields.get("user") or "0/0").partition("/")
    return Ask(
        variant=int(variant),
        tokens=int(fields.get("max_tokens") or 64),
        stream=bool(fields.get("stream")),
        interval_ms=float(interval),
        model=str(fields.get("model")),
    )


@lru_cache(maxsize=1024)
def plain_answer(ask: Ask) -> bytes:
    """Body of the answer that is not streamed."""
    message = {"role": "assistant", "content": "".join(answer_tokens(ask.variant, ask.tokens)), "tool_calls": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    usage = {"prompt_tokens": 220, "completion_tokens": ask.tokens, "total_tokens": 220 + ask.tokens}
    return _json({**_common(ask, "chat.completion"), "choices": [choice], "usage": usage})


@lru_cache(maxsize=1024)
def stream_answer(ask: Ask) -> tuple[bytes, ...]:
    """The events of the streamed answer, `[DONE]` last."""
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": token} for token in answer_tokens(ask.variant, ask.tokens)]
    return (*(_event(ask, delta, last=at == ask.tokens) for at, delta in enumerate(deltas)), DONE)


def answer_body(ask: Ask) -> bytes:
    """Every byte of the right answer's body."""
    return b"".join(stream_answer(ask)) if ask.stream else plain_answer(ask)


def says_the_same(ask: Ask, body: bytes) -> bool:
    """Whether a body has the right text, and a stream its end: for proxies that re-encode what they forward."""
    text = "".join(answer_tokens(ask.variant, ask.tokens))
    if not ask.stream:
        return bool(json.loads(body)["choices"][0]["message"]["content"] == text)
    events = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    deltas = [json.loads(event)["choices"] for event in events if event != b"[DONE]"]
    said = "".join(choices[0]["delta"].get("content") or "" for choices in deltas if choices)
    return said == text and events[-1] == b"[DONE]"


def _event(ask: Ask, delta: dict[str, str], last: bool) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": "stop" if last else None}
    return b"data: " + _json({**_common(ask, "chat.completion.chunk"), "choices": [choice]}) + b"\n\n"


def _common(ask: Ask, kind: str) -> dict[str, Any]:
    return {"id": _ID, "object": kind, "created": 1760000000, "model": ask.model}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
