"""Stored examples on the pages: at `/evidence`, and beside a combination, for whoever shows the token of the scope `evidence`.

A browser asks for that token at `/evidence` and from then on sends it with every page, so a combination's page shows its latest
examples by itself. That page renews itself every few seconds: the audit has one line a minute of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from monitor.admin.access import Access, Scope, user_named
from monitor.admin.api.evidence import answer_of, described, place_of
from monitor.admin.api.paging import write_cursor
from monitor.admin.audit import Audit, AuditError, AuditLine
from monitor.evidence import EvidenceError, Filter, Kept
from monitor.evidence.keeper import Keeper

SHOWN: Final = 20
"""Examples of one page."""
BESIDE: Final = 3
"""Examples beside a combination."""
SAME_READER_S: Final = 60.0
"""Seconds in which a page that renews itself counts as one reading."""
_FIELDS: Final = ("combination", "signal", "outcome", "finding")


@dataclass(frozen=True, slots=True)
class Beside:
    """What a combination's page says of its examples."""

    examples: tuple[Kept, ...] = ()
    allowed: bool = False
    """Who reads has shown the token."""
    problem: str = ""


class StoredExamples:
    """Reads the store for the pages."""

    def __init__(
        self, keeper: Keeper, access: Access, audit: Audit, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keeper = keeper
        self._access = access
        self._audit = audit
        self._clock = clock
        self._read: dict[tuple[str, str, str], float] = {}
        """Who, from where, and of what -> until when it counts as the same reading."""

    async def many(self, request: web.Request) -> dict[str, Any]:
        """What the page of all examples shows. Raises HTTP exceptions."""
        await self._access.demand(request, Scope.EVIDENCE, basic=True)
        asked = {name: request.query.get(name, "")[:1000] for name in _FIELDS}
        wanted = Filter(**asked)
        cursor = request.query.get("cursor", "")
        await self._note(request, "list_evidence", described(wanted))
        found, following = await answer_of(
            self._keeper.reader.page(wanted, SHOWN, place_of(cursor) if cursor else None)
        )
        narrowed = {name: value for name, value in asked.items() if value}
        return {
            "examples": found,
            "narrowed": narrowed,
            "older": {**narrowed, "cursor": write_cursor(following)} if following else None,
            "problem": self._keeper.problem,
        }

    async def one(self, request: web.Request) -> Kept | None:
        """One of them; None when it is not kept. Raises HTTP exceptions."""
        await self._access.demand(request, Scope.EVIDENCE, basic=True)
        identity = request.match_info["id"][:64]
        await self._note(request, "read_evidence", identity)
        return await answer_of(self._keeper.reader.find(identity))

    async def beside(self, request: web.Request, combination: Mapping[str, Any]) -> Beside:
        """The latest examples of a combination: those of its alarm where it has one. Never raises."""
        if not await self._access.allows(request, Scope.EVIDENCE, basic=True):
            return Beside()
        drifting = [signal["signal"] for signal in combination["signals"] if signal["condition"] == "drifting"]
        try:
            await self._note_once(request, combination["name"])
            for signal in (*drifting, ""):
                wanted = Filter(combination=combination["name"], signal=signal)
                found, _ = await self._keeper.reader.page(wanted, BESIDE)
                if found:
                    return Beside(tuple(found), allowed=True)
        except (EvidenceError, AuditError) as error:
            return Beside(allowed=True, problem=str(error))
        return Beside(allowed=True)

    async def _note_once(self, request: web.Request, name: str) -> None:
        key = user_named(request.headers.get("Authorization", "")), request.remote or "", name
        now = self._clock()
        self._read = {one: until for one, until in self._read.items() if until > now}
        if key not in self._read:
            await self._note(request, "list_evidence", described(Filter(combination=name)), quietly=True)
            self._read[key] = now + SAME_READER_S

    async def _note(self, request: web.Request, action: str, subject: str, *, quietly: bool = False) -> None:
        by = user_named(request.headers.get("Authorization", ""))
        try:
            await self._audit.note(AuditLine(time.time(), action, subject, by, request.remote or ""))
        except AuditError as error:
            if quietly:
                raise
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error
