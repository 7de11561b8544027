"""How an answer is begun: the first tokens of an opening, as the server's own tokenizer cuts them.

Published figures of alignment depth are over tokens (Qi et al., ICLR 2025), and how many words those are differs from model
to model. A server that has no `/tokenize` and `/detokenize` gets words instead, and the measurement says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from monitor.probes.asking import TOKENS, WORDS, Ask
from monitor.probes.suite import Kind

TIMEOUT_S: Final = 10.0
MAX_BODY_BYTES: Final = 1024 * 1024
_BROKEN: Final = "\ufffd"
"""Stands where a token ends within a character."""


class _Tokens(msgspec.Struct):
    tokens: list[int]


class _Text(msgspec.Struct):
    prompt: str


T = TypeVar("T")


class _NoTokenizerError(Exception):
    """The server does not tell its tokens."""


async def begun(session: aiohttp.ClientSession, asks: Sequence[Ask], headers: Mapping[str, str]) -> list[Ask]:
    """The same questions, the openings of `compliance_prefill` cut to their first `depth` tokens, else to as many words.

    headers: what the server wants to see, its key above all."""
    wanted = {(ask.model, ask.probe.prefill, ask.probe.depth) for ask in asks if _is_cut(ask)}
    cut: dict[tuple[str, str, int | None], str] = {}
    unit = TOKENS
    try:
        for model, opening, depth in sorted(wanted, key=repr):
            cut[model, opening, depth] = await _first_tokens(session, model, opening, depth or 0, headers)
    except _NoTokenizerError:
        unit = WORDS
        cut = {key: " ".join(key[1].split()[: key[2]]) for key in wanted}
    return [
        replace(
            ask,
            probe=msgspec.structs.replace(ask.probe, prefill=cut[ask.model, ask.probe.prefill, ask.probe.depth]),
            unit=unit,
        )
        if _is_cut(ask)
        else replace(ask, unit=unit)
        for ask in asks
    ]


def _is_cut(ask: Ask) -> bool:
    return ask.probe.kind is Kind.COMPLIANCE_PREFILL and bool(ask.probe.prefill)


async def _first_tokens(
    session: aiohttp.ClientSession, model: str, text: str, count: int, headers: Mapping[str, str]
) -> str:
    question = {"model": model, "prompt": text, "add_special_tokens": False}
    ids = (await _call(session, "/tokenize", question, headers, _Tokens)).tokens
    if len(ids) <= count:
        return text
    found = await _call(session, "/detokenize", {"model": model, "tokens": ids[:count]}, headers, _Text)
    return found.prompt.rstrip(_BROKEN)


async def _call(
    session: aiohttp.ClientSession, path: str, body: dict[str, Any], headers: Mapping[str, str], kind: type[T]
) -> T:
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            session.post(path, json=body, headers=headers, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise _NoTokenizerError
            content = await response.content.read(MAX_BODY_BYTES)
            while piece := await response.content.read(MAX_BODY_BYTES - len(content)):
                content += piece
        return msgspec.json.decode(content, type=kind)
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _NoTokenizerError from error
