"""Polls the server's /v1/models, off the reply path and with the monitor's own credentials."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from monitor.adapters.catalog import ServedModel
from monitor.config import ConfigError
from monitor.config.secrets import read_secret
from monitor.lifecycle import in_thread, repeat
from monitor.telemetry.adapter_metrics import DiscoveryMetrics

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0
MIN_PAUSE_S: Final = 1.0
"""Seconds between two looks at least, however often a look is asked for."""
_KEY: Final = "adapters.api_key_file"
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""Longest list of models that is read: vLLM writes about 500 bytes per model, so over ten thousand of them."""


class _Card(msgspec.Struct):
    id: str
    root: str | None = None
    parent: str | None = None


class _Cards(msgspec.Struct):
    data: list[_Card]


class DiscoveryError(Exception):
    """The server's list of models could not be read; the message says why in a few words."""


@dataclass(frozen=True, slots=True)
class ModelsClient:
    """Asks the server for its models."""

    session: aiohttp.ClientSession
    api_key_file: Path | None = None

    async def fetch(self) -> list[ServedModel]:
        """One look at /v1/models. Raises DiscoveryError."""
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self.session.get(
                    "/v1/models", headers=await key_header(self.api_key_file), allow_redirects=False
                ) as response,
            ):
                if response.status == 401:
                    raise DiscoveryError("401: the server wants an API key (adapters.api_key_file)")
                if response.status != 200:
                    raise DiscoveryError(f"status {response.status}")
                body = await _read_bounded(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DiscoveryError(str(error) or type(error).__name__) from error
        try:
            cards = msgspec.json.decode(body, type=_Cards)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DiscoveryError(f"unreadable answer: {error}") from error
        return [ServedModel(card.id, card.parent or "", card.root or "") for card in cards.data]


async def key_header(file: Path | None) -> dict[str, str]:
    """The header with the key in this file, read anew for every call, because mounted secrets are replaced. Raises
    DiscoveryError."""
    if file is None:
        return {}
    try:
        return {"Authorization": f"Bearer {await in_thread('key of the server', read_secret, file, _KEY)}"}
    except ConfigError as error:
        raise DiscoveryError(str(error)) from error


def client_for(upstream: str, api_key_file: Path | None, tls: ssl.SSLContext | None = None) -> ModelsClient:
    """A client for the monitor's own calls to the server; tls: how an https one is verified."""
    parts = urlsplit(upstream)
    connector: aiohttp.BaseConnector
    if parts.scheme == "unix":
        connector = aiohttp.UnixConnector(path=parts.path)
    elif tls:
        connector = aiohttp.TCPConnector(ssl=tls)
    else:
        connector = aiohttp.TCPConnector()
    session = aiohttp.ClientSession(
        "http://localhost" if parts.scheme == "unix" else upstream,
        connector=connector,
        headers={"User-Agent": "alignment-monitor"},
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    return ModelsClient(session, api_key_file)


async def _read_bounded(content: aiohttp.StreamReader) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in content.iter_any():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise DiscoveryError(f"the list of models is longer than {MAX_BODY_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


class Discovery:
    """Keeps looking, and looks sooner when asked to."""

    def __init__(
        self,
        client: ModelsClient,
        interval_s: float,
        on_models: Callable[[Sequence[ServedModel]], None],
        metrics: DiscoveryMetrics,
    ) -> None:
        self._client = client
        self._interval_s = interval_s
        self._on_models = on_models
        self._metrics = metrics
        self._wanted = asyncio.Event()
        self.up = False
        """The last look succeeded."""
        self._last_problem = ""

    def look_soon(self) -> None:
        """An unknown name was seen: look before the interval is over."""
        self._wanted.set()

    async def run(self) -> None:
        """Look for ever, first after one interval."""
        await repeat("looking at the server's list of models", self._look_when_due)

    async def _look_when_due(self) -> None:
        await asyncio.sleep(min(MIN_PAUSE_S, self._interval_s))
        try:
            async with asyncio.timeout(max(0.0, self._interval_s - MIN_PAUSE_S)):
                await self._wanted.wait()
        except TimeoutError:
            pass
        self._wanted.clear()
        await self.look()

    async def look(self) -> None:
        """One look; what changed in its success is logged once."""
        try:
            models = await self._client.fetch()
        except DiscoveryError as error:
            self.up = False
            self._metrics.up.set(0)
            if str(error) != self._last_problem:
                self._last_problem = str(error)
                log.warning("cannot read the server's list of models: %s", error)
            return
        if not self.up:
            log.info("the server lists %d models", len(models))
        self.up = True
        self._last_problem = ""
        self._metrics.up.set(1)
        self._metrics.last_success.set(time.time())
        self._on_models(models)
