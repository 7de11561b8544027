"""What can be changed through the API: each needs the scope `admin`, and is in the audit before it is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from monitor.admin.access import Scope
from monitor.admin.api.models import Acknowledge, FindingModel, ProbeNow, ProbeQueued, Reset, ResetDone
from monitor.admin.api.operation import Call, Operation
from monitor.admin.api.reading import Sources, case_of, combination_of, shown_case
from monitor.admin.audit import Audit, AuditLine
from monitor.findings import Acknowledgement


@dataclass(frozen=True, slots=True)
class Changes:
    """What does it."""

    reset: Callable[[str], list[str]]
    """Begin a combination's detectors anew, by its name; the ids of the findings that this ends."""
    keep: Callable[[], None]
    """Called after a change, so that a restart a moment later does not undo it."""
    probe: Callable[[str], str] | None = None
    """Ask a combination all questions, by its name: where that stands. Raises KeyError when it cannot be asked. None while
    probing is off."""


def changing(sources: Sources, changes: Changes, audit: Audit) -> list[Operation]:
    """Operations that change something."""

    async def acknowledge(call: Call) -> FindingModel:
        asked: Acknowledge = call.body
        case = case_of(sources.findings, call.path["id"])
        if not case.lasts:
            raise web.HTTPConflict(text="the finding has ended")
        now = time.time()
        await audit.note(AuditLine(now, "acknowledge", case.id, asked.by, call.remote, asked.note))
        try:
            sources.findings.acknowledge(case, Acknowledgement(now, asked.by, asked.note))
        except ValueError as error:  # it ended while the line was written
            raise web.HTTPConflict(text=str(error)) from error
        changes.keep()
        return shown_case(case)

    async def reset(call: Call) -> ResetDone:
        asked: Reset = call.body
        name = combination_of(sources, call.path["name"]).name
        await audit.note(AuditLine(time.time(), "reset", name, asked.by, call.remote, asked.reason))
        ended = changes.reset(name)
        changes.keep()
        return ResetDone(combination=name, ended=ended)

    async def probe(call: Call) -> ProbeQueued:
        asked: ProbeNow = call.body
        if changes.probe is None:
            raise web.HTTPConflict(text="probing is off (probing.enabled)")
        known = combination_of(sources, call.path["name"])
        if known.probing is None:
            raise web.HTTPConflict(text="it cannot be probed: it is the base, or not served now")
        name = known.name
        await audit.note(AuditLine(time.time(), "probe", name, asked.by, call.remote, asked.reason))
        try:
            state = changes.probe(name)
        except KeyError as error:  # it was unloaded while the line was written
            raise web.HTTPConflict(text="it is not served any more") from error
        changes.keep()
        return msgspec.convert({"combination": name, "state": state}, ProbeQueued)

    return [
        Operation(
            "POST", "/findings/{id}/acknowledge", "acknowledgeFinding", "Say that you look after a finding", acknowledge,
            FindingModel, scope=Scope.ADMIN, body=Acknowledge, problems=(404, 409, 503),
        ),
        Operation(
            "POST", "/combinations/{name}/reset", "resetCombination", "Let a combination's detectors begin anew", reset,
            ResetDone, scope=Scope.ADMIN, body=Reset, problems=(404, 503),
        ),
        Operation(
            "POST", "/combinations/{name}/probe", "probeCombination", "Ask a combination all of the probing's questions now",
            probe, ProbeQueued, scope=Scope.ADMIN, body=ProbeNow, problems=(404, 409, 503),
        ),
    ]  # fmt: skip
