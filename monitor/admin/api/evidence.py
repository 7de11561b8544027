"""Stored prompts and answers: reading them needs the scope `evidence`, removing them `admin`; both are in the audit first."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from monitor.admin.access import Scope
from monitor.admin.api.models import (
    ByQuery,
    ExampleModel,
    ExampleQuery,
    Examples,
    PurgeCombination,
    PurgeDone,
    PurgeIds,
    PurgeNow,
    PurgeOlder,
)
from monitor.admin.api.operation import Call, Operation
from monitor.admin.api.paging import read_cursor, write_cursor
from monitor.admin.api.reading import Sources, label_of
from monitor.admin.audit import Audit, AuditLine
from monitor.evidence import EvidenceError, Filter, Kept, Purge
from monitor.evidence.keeper import Keeper

T = TypeVar("T")

OFF: Final = "nothing is stored: the evidence store is off (evidence.enabled)"
_LARGEST: Final = 2**62


def evidence(sources: Sources, keeper: Keeper | None, audit: Audit) -> list[Operation]:
    """The operations of the evidence store; None while it is off. A combination is found by its served name, too."""

    def kept() -> Keeper:
        if keeper is None:
            raise web.HTTPConflict(text=OFF)
        return keeper

    async def examples(call: Call) -> Examples:
        asked: ExampleQuery = call.query
        store = kept()
        wanted = filter_of(asked)
        if wanted.combination:
            wanted = replace(wanted, combination=label_of(sources, wanted.combination))
        behind = place_of(asked.cursor) if asked.cursor else None
        await audit.note(AuditLine(time.time(), "list_evidence", described(wanted), asked.by, call.remote))
        found, following = await answer_of(store.reader.page(wanted, asked.limit, behind))
        return Examples(
            time=time.time(),
            examples=[shown_example(one) for one in found],
            next=write_cursor(following) if following else None,
        )

    async def one_example(call: Call) -> ExampleModel:
        store, identity = kept(), call.path["id"]
        await audit.note(AuditLine(time.time(), "read_evidence", identity, call.query.by, call.remote))
        found = await answer_of(store.reader.find(identity))
        if found is None:
            raise web.HTTPNotFound(text="no example of this id is kept")
        return shown_example(found)

    async def purge(call: Call) -> PurgeDone:
        asked: PurgeNow = call.body
        store = kept()
        which = _which(asked)
        if which.combination:
            which = replace(which, combination=label_of(sources, which.combination))
        await audit.note(AuditLine(time.time(), "purge_evidence", _what(which), asked.by, call.remote, asked.reason))
        return PurgeDone(removed=await answer_of(store.purge(which)))

    return [
        Operation(
            "GET", "/evidence", "listEvidence", "Stored prompts and answers, redacted, the newest first", examples, Examples,
            scope=Scope.EVIDENCE, query=ExampleQuery, problems=(404, 409, 503),
        ),
        Operation(
            "GET", "/evidence/{id}", "getEvidence", "One stored prompt and answer", one_example, ExampleModel,
            scope=Scope.EVIDENCE, query=ByQuery, problems=(404, 409, 503),
        ),
        Operation(
            "POST", "/evidence/purge", "purgeEvidence", "Remove stored prompts and answers for good", purge, PurgeDone,
            scope=Scope.ADMIN, body=PurgeNow, problems=(409, 503),
        ),
    ]  # fmt: skip


async def answer_of(work: Awaitable[T]) -> T:
    """What the store says. Raises HTTPServiceUnavailable when it cannot."""
    try:
        return await work
    except EvidenceError as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error


def shown_example(kept: Kept) -> ExampleModel:
    """An example as it is served."""
    values: dict[str, Any] = msgspec.to_builtins(kept.example)
    return msgspec.convert({**values, "findings": kept.findings, "readable": kept.readable}, ExampleModel)


def filter_of(asked: ExampleQuery) -> Filter:
    """Which examples were asked for."""
    return Filter(
        *(
            "" if value is msgspec.UNSET else value
            for value in (asked.combination, asked.signal, asked.outcome, asked.finding)
        )
    )


def described(wanted: Filter) -> str:
    """A filter for the audit."""
    parts = {
        "combination": wanted.combination,
        "signal": wanted.signal,
        "outcome": wanted.outcome,
        "finding": wanted.finding,
    }
    return ", ".join(f"{name}={value}" for name, value in parts.items() if value) or "all"


def _which(asked: PurgeNow) -> Purge:
    match asked.which:
        case PurgeIds(ids=ids):
            return Purge(ids=tuple(ids))
        case PurgeCombination(combination=combination, before=before):
            return Purge(combination=combination, before=before)
        case PurgeOlder(before=before):
            return Purge(before=before)
        case _:
            return Purge(everything=True)


def _what(which: Purge) -> str:
    parts = {"ids": " ".join(which.ids), "combination": which.combination, "before": which.before}
    return ", ".join(f"{name}={value}" for name, value in parts.items() if value not in ("", None)) or "everything"


def place_of(cursor: str) -> tuple[int, str]:
    """Where a page begins. Raises HTTPNotFound."""
    match read_cursor(cursor):
        case (int(moment), str(identity)) if abs(moment) < _LARGEST:
            return moment, identity
    raise web.HTTPNotFound(text="this cursor belongs to another list")
