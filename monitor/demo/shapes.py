"""The JSON bodies of vLLM's HTTP API, made from recorded generations.

Pure functions, so that the server holds only routes and time. Field names, their order and which of them are null
follow vLLM 0.32; what a client of vLLM reads it can read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.demo.recordings import Generation

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The head that all bodies of one response share."""

    id: str
    created: int
    """Unix seconds."""
    model: str
    """Served name that answers."""


def error(message: str, kind: str, code: int, param: str | None = None) -> Body:
    """vLLM's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def model_card(name: str, root: str, parent: str | None, created: int) -> Body:
    """One entry of /v1/models; `parent` is null for the base model."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "recorded",
        "root": root,
        "parent": parent,
        "max_model_len": None,
        "permission": [
            {
                "id": f"modelperm-{name}",
                "object": "model_permission",
                "created": created,
                "allow_create_engine": False,
                "allow_sampling": True,
                "allow_logprobs": True,
                "allow_search_indices": False,
                "allow_view": True,
                "allow_fine_tuning": False,
                "organization": "*",
                "group": None,
                "is_blocking": False,
            }
        ],
    }


def usage(prompts: Sequence[Generation], answers: Sequence[Generation]) -> Body:
    """Tokens of a response: each prompt once, every answer."""
    prompt = sum(generation.usage.prompt_tokens for generation in prompts)
    completion = sum(generation.usage.completion_tokens for generation in answers)
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
        "prompt_tokens_details": None,
        "completion_tokens_details": None,
    }


def chat_response(answer: Answer, generations: Sequence[Generation], tokens: Body) -> Body:
    """The whole body of a chat completion."""
    choices = [
        {
            "index": index,
            "message": {
                "role": "assistant",
                "content": generation.text,
                "refusal": None,
                "annotations": None,
                "audio": None,
                "function_call": None,
                "reasoning": None,
            },
            "logprobs": None,
            "finish_reason": generation.finish_reason,
            "stop_reason": None,
            "token_ids": None,
            "routed_experts": None,
        }
        for index, generation in enumerate(generations)
    ]
    extras = {"prompt_logprobs": None, "prompt_token_ids": None, "prompt_text": None}
    return {**_head(answer, "chat.completion"), "choices": choices, **_tail(tokens, extras)}


def completion_response(answer: Answer, generations: Sequence[Generation], tokens: Body) -> Body:
    """The whole body of a text completion."""
    choices = [
        {
            "index": index,
            "text": generation.text,
            "logprobs": None,
            "finish_reason": generation.finish_reason,
            "stop_reason": None,
            "token_ids": None,
            "prompt_logprobs": None,
            "prompt_token_ids": None,
            "routed_experts": None,
        }
        for index, generation in enumerate(generations)
    ]
    return {**_head(answer, "text_completion"), "choices": choices, **_tail(tokens, {})}


def chat_role_event(answer: Answer, index: int) -> Body:
    """First event of a choice: the role, no text."""
    delta = {"role": "assistant", "content": ""}
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    return {
        **_head(answer, "chat.completion.chunk"),
        "choices": [choice],
        "prompt_token_ids": None,
        "prompt_text": None,
    }


def chat_event(answer: Answer, index: int, text: str, finish_reason: str | None) -> Body:
    """One piece of a choice; the last one carries the finish reason."""
    choice: Body = {"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": finish_reason}
    if finish_reason is not None:
        choice["stop_reason"] = None
    return {**_head(answer, "chat.completion.chunk"), "choices": [{**choice, "token_ids": None}]}


def completion_event(answer: Answer, index: int, text: str, finish_reason: str | None) -> Body:
    """One piece of a text completion's choice."""
    choice = {
        "index": index,
        "text": text,
        "logprobs": None,
        "finish_reason": finish_reason,
        "stop_reason": None,
        "prompt_token_ids": None,
        "token_ids": None,
    }
    return {**_head(answer, "text_completion"), "choices": [choice]}


def usage_event(answer: Answer, kind: str, tokens: Body) -> Body:
    """The event that `stream_options.include_usage` asks for: no choice, only tokens."""
    counted = {name: value for name, value in tokens.items() if value is not None}
    return {**_head(answer, kind), "choices": [], "usage": counted}


def pieces(generation: Generation) -> Iterator[tuple[str, str | None]]:
    """The streamed texts with the finish reason on the last.

    A model that stops by itself ends with a token that has no text: where the recording did not keep that empty piece,
    it is sent after the text, as vLLM does. A reply cut by length ends with text.
    """
    chunks = generation.chunks
    if not chunks or (chunks[-1] and generation.finish_reason != "length"):
        chunks = (*chunks, "")
    for chunk in chunks[:-1]:
        yield chunk, None
    yield chunks[-1], generation.finish_reason


def _head(answer: Answer, kind: str) -> Body:
    return {"id": answer.id, "object": kind, "created": answer.created, "model": answer.model}


def _tail(tokens: Body, extras: Body) -> Body:
    return {
        "service_tier": None,
        "system_fingerprint": None,
        "usage": tokens,
        **extras,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }
