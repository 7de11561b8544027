"""Polls the server's /v1/models, off the reply path and with the monitor's own credentials."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from monitor.adapters.catalog import ServedModel

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0
MIN_PAUSE_S: Final = 1.0
"""Seconds between two looks at least, however often a look is asked for."""
MAX_BODY_BYTES: Final = 4 * 1024 * 1024


class _Card(msgspec.Struct):
    id: str
    root: str | None = None
    parent: str | None = None


class _Cards(msgspec.Struct):
    data: list[_Card]


class DiscoveryError(Exception):
    """The server's list of models could not be read; the message says why in a few words."""


def session_for(upstream: str, api_key_file: Path | None, ca_file: Path | None) -> aiohttp.ClientSession:
    """A client for the monitor's own calls to the server. Raises OSError when the key file cannot be read."""
    headers = {"User-Agent": "alignment-monitor"}
    if api_key_file:
        headers["Authorization"] = f"Bearer {api_key_file.read_text(encoding='utf-8').strip()}"
    parts = urlsplit(upstream)
    connector: aiohttp.BaseConnector
    if parts.scheme == "unix":
        connector = aiohttp.UnixConnector(path=parts.path)
    elif ca_file:
        import ssl

        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(ca_file)))
    else:
        connector = aiohttp.TCPConnector()
    base_url = "http://localhost" if parts.scheme == "unix" else upstream
    return aiohttp.ClientSession(
        base_url, connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
    )


async def fetch_models(session: aiohttp.ClientSession) -> list[ServedModel]:
    """One look at /v1/models. Raises DiscoveryError."""
    try:
        async with session.get("/v1/models", allow_redirects=False) as response:
            body = await response.content.read(MAX_BODY_BYTES)
            if response.status == 401:
                raise DiscoveryError("401: the server wants an API key (adapters.api_key_file)")
            if response.status != 200:
                raise DiscoveryError(f"status {response.status}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise DiscoveryError(str(error) or type(error).__name__) from error
    try:
        cards = msgspec.json.decode(body, type=_Cards)
    except msgspec.DecodeError as error:
        raise DiscoveryError(f"unreadable answer: {error}") from error
    return [ServedModel(card.id, card.parent or "", card.root or "") for card in cards.data]


class Discovery:
    """Keeps looking, and looks sooner when asked to."""

    def __init__(
        self, session: aiohttp.ClientSession, interval_s: float, on_models: Callable[[Sequence[ServedModel]], None]
    ) -> None:
        self._session = session
        self._interval_s = interval_s
        self._on_models = on_models
        self._wanted = asyncio.Event()
        self.up = False
        """The last look succeeded."""
        self.last_success = 0.0
        """Unix seconds."""
        self._last_problem = ""

    def look_soon(self) -> None:
        """An unknown name was seen: look before the interval is over."""
        self._wanted.set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(min(MIN_PAUSE_S, self._interval_s))
            try:
                async with asyncio.timeout(max(0.0, self._interval_s - MIN_PAUSE_S)):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()

    async def look(self) -> None:
        """One look; what changed in its success is logged once."""
        try:
            models = await fetch_models(self._session)
        except DiscoveryError as error:
            self.up = False
            if str(error) != self._last_problem:
                self._last_problem = str(error)
                log.warning("cannot read the server's list of models: %s", error)
            return
        if not self.up:
            log.info("the server lists %d models", len(models))
        self.up = True
        self._last_problem = ""
        self.last_success = time.time()
        self._on_models(models)
