"""Parts that are not served by themselves, loaded for as long as a combination's losses are traced to its parts.

They get names of their own (`PREFIX` and the sidecar's mark) that no client was told, never count as combinations, and are
unloaded when nothing has asked for them for a while, and at the end. What a process of this sidecar before this one left behind
stands in the server's list, and is unloaded at the start; what another sidecar loaded is left to that one.

Nothing is loaded that the loading policy would refuse, that is quarantined, or whose files the monitor has not seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from monitor.adapters import ServedModel
from monitor.lifecycle import repeat
from monitor.records import Combination, Part
from monitor.shadow.client import OK, REJECTED, ShadowClient, ShadowError
from monitor.telemetry.logs import Repeats
from monitor.telemetry.pair_metrics import PairMetrics

log = logging.getLogger(__name__)

PREFIX: Final = "alignment-part-"
"""Begins the names under which parts are loaded, by whichever sidecar."""
SCALE_ALONE: Final = 1.0
"""Scale of an adapter that the server loads by itself, whatever its weight in a merge."""
IDLE_S: Final = 400.0
"""Seconds after which a part that nobody wants is unloaded: longer than a request may wait to be asked again, and be answered."""
RETRY_S: Final = 3600.0
"""Seconds until a part is tried again that may not be loaded, or that the server did not load."""
RETRY_FILES_S: Final = 60.0
"""Seconds until its files are looked for again."""
LOOK_S: Final = 10.0
"""Seconds between two looks for parts that nobody wants any more."""

LISTS_WITHOUT: Final = 2
"""Lists in a row without a part that say that the server lost it: the first may have been read before it was loaded."""

DENIED: Final = "denied"
NO_FILES: Final = "no_files"
_NOT_LOADED: Final = frozenset({REJECTED, "unauthorized", "key"})
"""Failures after which the server surely has not loaded it; after any other one it may have."""


@dataclass(slots=True)
class _Held:
    part: Part
    base: str
    wanted: float
    """Monotonic seconds when it was last wanted."""
    loaded: bool = False
    retry: float = 0.0
    """Monotonic seconds before which it is not loaded."""
    unlisted: int = 0
    """Lists of the server's one after the other that did not have it, since it was loaded."""


class PartLoader:
    """Loads what is wanted, a few parts at a time, and unloads it again."""

    def __init__(
        self,
        client: ShadowClient,
        at_once: int,
        folder_of: Callable[[Part], str],
        refused: Callable[[Part, str], str],
        metrics: PairMetrics,
        sidecar: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """folder_of: path from which the server can load a part, "" for none. refused: why a part may not be loaded from a path,
        one word, "" when it may. sidecar: what tells this sidecar from all others, and stays when it is started anew."""
        self._client = client
        self._prefix = f"{PREFIX}{_digest(sidecar)[:8]}-"
        self._at_once = at_once
        self._folder_of = folder_of
        self._refused = refused
        self._metrics = metrics
        self._clock = clock
        self._held: dict[str, _Held] = {}
        """Name -> part, also of those that are not loaded yet or could not be."""
        self._left_behind: set[str] = set()
        """Names that the server may have, and that are not to be there."""
        self._hidden: set[str] = set()
        """All names that were ours at any time, for a list that was read before one of them was unloaded may come after that."""
        self._listed = False
        self._changed = asyncio.Event()
        self._repeats = Repeats()

    @property
    def served(self) -> list[Combination]:
        """What is loaded now, as single adapters."""
        return [
            Combination(name, one.base, (replace(one.part, scale=SCALE_ALONE),))
            for name, one in self._held.items()
            if one.loaded
        ]

    def without_ours(self, models: Sequence[ServedModel]) -> list[ServedModel]:
        """The server's list without what was loaded here, or left behind by a process before this one."""
        if not self._listed:
            self._listed = True
            left = {model.name for model in models if model.parent and model.name.startswith(self._prefix)}
            self._left_behind |= left
            self._hidden |= left
            self._changed.set()
        self._note_lost({model.name for model in models})
        return [model for model in models if model.name not in self._hidden]

    def _note_lost(self, listed: set[str]) -> None:
        """A server that was started anew has none of them any more."""
        for name, held in self._held.items():
            held.unlisted = held.unlisted + 1 if held.loaded and name not in listed else 0
            if held.unlisted >= LISTS_WITHOUT:
                held.loaded, held.unlisted = False, 0
                self._changed.set()
                log.info("%s is not loaded any more: the server's list does not have it", name)

    def name_of(self, part: Part) -> str:
        """The name under which this part is loaded: by its contents where they are known."""
        return self._prefix + _digest(part.digest or part.adapter)[:12]

    def want(self, parts: Sequence[Part], base: str) -> None:
        """These parts, which nobody serves by themselves, are to be asked; never waits."""
        now = self._clock()
        for part in parts:
            name = self.name_of(part)
            held = self._held.get(name)
            if held is None:
                held = self._held[name] = _Held(part, base, now)
            held.wanted = now
            if not held.loaded:
                self._changed.set()

    async def run(self) -> None:
        """Load and unload for ever."""
        await repeat("loading parts", self._look_when_due)

    async def _look_when_due(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()
        await self.look()

    async def look(self) -> None:
        """Unload what was left behind and what nobody wants, then load what is wanted, while there is room."""
        for name in sorted(self._left_behind):
            if await self._unload(name):
                self._left_behind.discard(name)
        now = self._clock()
        for name, held in [item for item in self._held.items() if now - item[1].wanted > IDLE_S]:
            if not held.loaded or await self._unload(name):
                held.loaded = False
                if now >= held.retry:
                    del self._held[name]
        for name, held in list(self._held.items()):
            room = sum(one.loaded for one in self._held.values()) < self._at_once and name not in self._left_behind
            if room and not held.loaded and now >= held.retry and now - held.wanted <= IDLE_S:
                await self._load(name, held)
        self._metrics.loaded.set(sum(one.loaded for one in self._held.values()))

    async def unload_all(self) -> None:
        """At the end; what the server does not take then is found in its list at the next start."""
        for name in sorted(self._left_behind | {name for name, held in self._held.items() if held.loaded}):
            if await self._unload(name):
                self._left_behind.discard(name)
                if held := self._held.get(name):
                    held.loaded = False
        self._metrics.loaded.set(0)

    async def _load(self, name: str, held: _Held) -> None:
        result = await self._loaded(name, held)
        self._metrics.loads(result).inc()
        held.loaded = result == OK
        if held.loaded:
            log.info("part %s is loaded as %s, to be asked alone", held.part.adapter, name)
        else:
            held.retry = self._clock() + (RETRY_FILES_S if result == NO_FILES else RETRY_S)
            log.warning("part %s cannot be loaded to be asked alone: %s", held.part.adapter, result)

    async def _loaded(self, name: str, held: _Held) -> str:
        path = self._folder_of(held.part)
        if not path:
            return NO_FILES
        if self._refused(held.part, path):
            return DENIED
        self._hidden.add(name)
        self._left_behind.add(name)  # also when this call is cancelled
        try:
            await self._client.load(name, path)
        except ShadowError as error:
            if str(error) in _NOT_LOADED:
                self._left_behind.discard(name)
            return str(error)
        self._left_behind.discard(name)
        return OK

    async def _unload(self, name: str) -> bool:
        try:
            await self._client.unload(name)
        except ShadowError as error:
            left_out = self._repeats.allow(name, self._clock())
            if left_out is not None:
                log.warning("%s cannot be unloaded (%d more before): %s", name, left_out, error)
            return False
        log.info("%s is unloaded", name)
        return True


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
