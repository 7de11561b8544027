"""From a client's request to the one that is asked again: same messages, same decoding, bounded, not streamed."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any, Final

from monitor.protocols.body import DecodeError, plain_body
from monitor.records import Exchange

PATHS: Final = {"chat_completions": "/v1/chat/completions", "completions": "/v1/completions"}
"""Endpoints whose requests are asked again, by the route; what the others carry is not built anew yet."""

OPT_OUT, TOOLS, MEDIA, SHAPE, TRUNCATED_COPY = "opt_out", "tools", "media", "shape", "truncated_copy"

_CARRIED: Final = (
    "messages", "prompt", "temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty",
    "repetition_penalty", "stop", "stop_token_ids", "include_stop_str_in_output", "bad_words", "logit_bias",
    "skip_special_tokens", "spaces_between_special_tokens", "truncate_prompt_tokens", "chat_template",
    "chat_template_kwargs", "add_generation_prompt", "continue_final_message", "add_special_tokens", "reasoning_effort",
)  # fmt: skip
"""Fields that say what is asked and how it is answered. Whatever else a client wrote stays behind."""
_OTHER_SHAPES: Final = (
    "response_format", "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
    "ignore_eos", "min_tokens", "use_beam_search", "prompt_embeds", "echo", "suffix", "documents", "lora",
)  # fmt: skip
"""Fields under which an answer is no free text, or that would ask for more than is bounded here."""
_USUAL_LIMIT: Final = {"completions": 16}
"""Tokens that the server generates when the request sets no limit."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A request that can be asked again of any served name."""

    path: str
    endpoint: str
    body: dict[str, Any]
    """Without `model` and `seed`."""
    max_tokens: int
    limited: bool
    """The bound is ours: the client's own answer may be longer."""

    def request(self, served_name: str, salt: str, chance: random.Random) -> bytes:
        """The body for one served name, with a seed of its own."""
        return json.dumps(
            {**self.body, "model": served_name, "seed": chance.getrandbits(31), "cache_salt": salt},
            ensure_ascii=True,  # lone surrogates stay escaped, as the client wrote them
        ).encode("ascii")


def replay_of(exchange: Exchange, endpoint: str, most_tokens: int) -> Replay | str:
    """The request of an exchange as a replay, or why it is not asked again: one of a bounded set of words."""
    if exchange.no_replay:
        return OPT_OUT
    if endpoint not in PATHS:
        return SHAPE
    if exchange.request_truncated:
        return TRUNCATED_COPY
    try:
        asked = json.loads(plain_body(exchange.request, exchange.request_encoding))
    except (DecodeError, ValueError, RecursionError):
        return SHAPE
    if not isinstance(asked, dict):
        return SHAPE
    reason = _unfit(asked, endpoint)
    if reason:
        return reason
    own = asked.get("max_completion_tokens") or asked.get("max_tokens") or _USUAL_LIMIT.get(endpoint)
    if own is not None and not (isinstance(own, int) and own > 0):
        return SHAPE
    body = {name: asked[name] for name in _CARRIED if asked.get(name) is not None}
    tokens = most_tokens if own is None else min(own, most_tokens)
    return Replay(
        PATHS[endpoint],
        endpoint,
        body | {"max_tokens": tokens, "n": 1, "stream": False},
        tokens,
        limited=own is None or own > most_tokens,
    )


def _unfit(asked: dict[str, Any], endpoint: str) -> str:
    if asked.get("tools") or asked.get("functions"):
        return TOOLS
    if any(asked.get(name) for name in _OTHER_SHAPES):
        return SHAPE
    if endpoint == "completions":
        prompt = asked.get("prompt")
        single = isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str)
        return "" if isinstance(prompt, str) or single else SHAPE
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        return SHAPE
    return next((reason for message in messages if (reason := _unfit_message(message))), "")


def _unfit_message(message: Any) -> str:
    if not isinstance(message, dict):
        return SHAPE
    if message.get("role") in ("tool", "function") or message.get("tool_calls"):
        return TOOLS
    content = message.get("content")
    if isinstance(content, list):
        text = all(isinstance(part, str) or (isinstance(part, dict) and part.get("type") == "text") for part in content)
        return "" if text else MEDIA
    return "" if content is None or isinstance(content, str) else SHAPE
