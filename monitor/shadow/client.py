"""One request asked again, and a look at how busy the server is; says in one word what went wrong."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import aiohttp

from monitor.config import ConfigError
from monitor.config.secrets import read_secret
from monitor.lifecycle import in_thread
from monitor.protocols import DECODERS, DecodeError
from monitor.records import Choice, Ending, Exchange
from monitor.shadow.body import Replay

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_METRICS_BYTES: Final = 8 * 1024 * 1024
LOOK_TIMEOUT_S: Final = 5.0
MARK: Final = "alignment-"
"""Begins the request id, so that the server's log tells these requests from its clients'."""

OK: Final = "ok"
REJECTED: Final = "rejected"
"""This request is not taken; the next may well be."""
RESULTS: Final = (
    OK, "timeout", "connection", "unauthorized", "overloaded", REJECTED, "status", "unreadable", "other_model", "key",
    "internal",
)  # fmt: skip

_WAITING: Final = re.compile(rb"^vllm:num_requests_waiting(?:\{[^}]*\})? +([0-9.eE+]+)", re.M)


class ShadowError(Exception):
    """There is no answer; the message is one of `RESULTS`."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        """Seconds for which the server asked to be left alone."""


@dataclass(frozen=True, slots=True)
class ShadowClient:
    """Asks the server itself, past the proxy: what it asks is no client's traffic and never counts as such."""

    session: aiohttp.ClientSession
    timeout_s: float
    api_key_file: Path | None = None
    """The monitor's own key; clients' keys are never used."""
    kind: str = "shadow"
    """What these requests are for: stands in the request id and in a header's name."""

    async def ask(self, replay: Replay, body: bytes, served_name: str, role: str) -> Choice:
        """The answer of one served name. Raises ShadowError."""
        headers = {
            "Content-Type": "application/json",
            "X-Request-Id": f"{MARK}{self.kind}-{role}-{uuid4().hex}",
            f"X-Alignment-{self.kind.title()}": role,
        }
        try:
            async with (
                asyncio.timeout(self.timeout_s),
                self.session.post(
                    replay.path,
                    data=body,
                    headers=headers | await self.authorization(),
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None),
                ) as response,
            ):
                if response.status != 200:
                    raise ShadowError(_of_status(response.status), _retry_after(response.headers.get("Retry-After")))
                content = await _bounded(response.content, MAX_BODY_BYTES)
        except TimeoutError:
            raise ShadowError("timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ShadowError("connection") from error
        return _choice(replay, body, content, served_name)

    async def load(self, name: str, path: str) -> None:
        """Have the server load an adapter from a path of its own under this name. Raises ShadowError."""
        await self._tell("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path}, ())

    async def unload(self, name: str) -> None:
        """Have the server unload it; one that it does not know is unloaded. Raises ShadowError."""
        await self._tell("/v1/unload_lora_adapter", {"lora_name": name}, (404,))

    async def _tell(self, route: str, body: dict[str, str], fine: tuple[int, ...]) -> None:
        try:
            async with (
                asyncio.timeout(self.timeout_s),
                self.session.post(
                    route,
                    json=body,
                    headers=await self.authorization(),
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None),
                ) as response,
            ):
                if response.status != 200 and response.status not in fine:
                    raise ShadowError(_of_status(response.status))
        except TimeoutError:
            raise ShadowError("timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ShadowError("connection") from error

    async def waiting(self) -> float | None:
        """Requests that wait in the server, None where it does not tell. Raises ShadowError when it does not answer."""
        try:
            async with (
                asyncio.timeout(LOOK_TIMEOUT_S),
                self.session.get("/metrics", headers=await self.authorization(), allow_redirects=False) as response,
            ):
                if response.status != 200:
                    return None
                text = await _bounded(response.content, MAX_METRICS_BYTES)
        except TimeoutError:
            raise ShadowError("timeout") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ShadowError("connection") from error
        found = _WAITING.findall(text)
        return sum(map(float, found)) if found else None

    async def authorization(self) -> dict[str, str]:
        """The header with the monitor's key; read anew for every call, because mounted secrets are replaced. Raises ShadowError."""
        if self.api_key_file is None:
            return {}
        try:
            key = await in_thread("key of the server", read_secret, self.api_key_file, "api_key_file")
        except ConfigError as error:
            raise ShadowError("key") from error
        return {"Authorization": f"Bearer {key}"}


async def _bounded(content: aiohttp.StreamReader, most: int) -> bytes:
    pieces: list[bytes] = []
    async for piece in content.iter_any():
        most -= len(piece)
        if most < 0:
            raise ShadowError("unreadable")
        pieces.append(piece)
    return b"".join(pieces)


def _of_status(status: int) -> str:
    if status in {401, 403}:
        return "unauthorized"
    if status in {400, 404, 413, 422}:
        return REJECTED
    return "overloaded" if status in {429, 503} else "status"


def _retry_after(value: str | None) -> float:
    return float(value) if value and value.isascii() and value.isdigit() and len(value) < 7 else 0.0


def _choice(replay: Replay, body: bytes, content: bytes, served_name: str) -> Choice:
    exchange = Exchange(
        started=0.0,
        method="POST",
        target=replay.path,
        status=200,
        ending=Ending.COMPLETE,
        inclusion=1.0,
        request=body,
        response=content,
        request_bytes=len(body),
        response_bytes=len(content),
        request_encoding="",
        response_type="application/json",
        response_encoding="",
        first_byte_s=0.0,
        duration_s=0.0,
    )
    try:
        dialogue = DECODERS[replay.endpoint](exchange)
    except DecodeError as error:
        raise ShadowError("unreadable") from error
    if dialogue.error or len(dialogue.choices) != 1:
        raise ShadowError("unreadable")
    if dialogue.model_answered not in ("", served_name):
        raise ShadowError("other_model")
    return dialogue.choices[0]
