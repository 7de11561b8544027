"""One operation of the API, and how a table of them becomes routes: scope, input, answer, entity tag, problems."""

from __future__ import annotations

import hashlib
import http
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiohttp import web

from monitor.admin.access import Access, Scope
from monitor.admin.api.models import Model, Problem
from monitor.admin.audit import AuditError
from monitor.telemetry.logs import where_it_failed

log = logging.getLogger(__name__)

PREFIX: Final = "/api/v1"
PROBLEM: Final = "application/problem+json"
MAX_BODY: Final = 64 * 1024
DEFECT: Final = "an error of the monitor's own; its log has the place"


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be answered."""

    path: dict[str, str]
    query: Any
    """Of the operation's query type."""
    body: Any
    """Of the operation's body type."""
    remote: str


@dataclass(frozen=True, slots=True)
class Operation:
    """What can be asked."""

    method: str
    path: str
    """Below the prefix; {name} stands for a path parameter."""
    name: str
    """operationId."""
    summary: str
    answer: Callable[[Call], Awaitable[Model]]
    """Raises aiohttp's HTTP exceptions for what is not there."""
    response: type[Model]
    scope: Scope = Scope.READ
    query: type[Model] | None = None
    body: type[Model] | None = None
    problems: Sequence[int] = field(default=())
    """Statuses of its own, beside those that every operation may give."""

    @property
    def parameters(self) -> list[str]:
        """Names in its path."""
        return [step[1:-1] for step in self.path.split("/") if step.startswith("{")]


def add_operations(app: web.Application, operations: Sequence[Operation], access: Access) -> None:
    """Make routes of a table."""
    for one in operations:
        handler = _handler(one, access)
        if one.method == "GET":
            app.router.add_get(PREFIX + one.path, handler)  # HEAD as well
        else:
            app.router.add_route(one.method, PREFIX + one.path, handler)


def problem(status: int, detail: str, instance: str, headers: dict[str, str] | None = None) -> web.Response:
    """A problem as a response."""
    title = http.HTTPStatus(status).phrase
    content = Problem(type="about:blank", title=title, status=status, detail=detail, instance=instance)
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        content_type=PROBLEM,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


@web.middleware
async def problems(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """Whatever goes wrong below the prefix is answered as a problem; what goes wrong anywhere is logged without anybody's text."""
    ours = request.path.startswith(PREFIX + "/")
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or not ours:
            raise
        kept = {name: value for name, value in error.headers.items() if name in ("Allow", "WWW-Authenticate")}
        return problem(error.status, (error.text or "").removeprefix(f"{error.status}: "), request.path, kept)
    except AuditError as error:
        return problem(503, str(error), request.path)
    except Exception as error:  # noqa: BLE001  # a defect of ours
        log.error("%s %s failed: %s", request.method, request.path, where_it_failed(error))
        if ours:
            return problem(500, DEFECT, request.path)
        raise web.HTTPInternalServerError(text=f"{DEFECT}\n") from None


def _handler(operation: Operation, access: Access) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        await access.demand(request, operation.scope)
        call = Call(
            path=dict(request.match_info),
            query=_query(request, operation.query),
            body=await _body(request, operation.body),
            remote=request.remote or "",
        )
        answer = await operation.answer(call)
        return answered(request, answer, kept="no-store" if operation.scope is Scope.EVIDENCE else "private, no-cache")

    return handle


def answered(request: web.Request, answer: Model, kept: str = "private, no-cache") -> web.Response:
    """A response with a weak entity tag over everything but the time of the answer, or 304 when the caller has that.

    kept: what the caller's caches may do with it.
    """
    body = msgspec.json.encode(answer)
    timeless = msgspec.structs.replace(answer, time=0.0) if "time" in answer.__struct_fields__ else answer
    tag = hashlib.sha256(msgspec.json.encode(timeless)).hexdigest()[:32]
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    if request.method in ("GET", "HEAD") and any(one.value in (tag, "*") for one in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


def _query(request: web.Request, kind: type[Model] | None) -> Any:
    values = request.query
    for name in values:
        if len(values.getall(name)) > 1:
            raise web.HTTPBadRequest(text=f"the parameter {name} stands twice")
    if kind is None:
        if values:
            raise web.HTTPBadRequest(text="it takes no parameters")
        return None
    try:
        return msgspec.convert(dict(values), kind, strict=False)
    except msgspec.ValidationError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


async def _body(request: web.Request, kind: type[Model] | None) -> Any:
    if kind is None:
        return None
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="the body must be application/json")
    if (request.content_length or 0) > MAX_BODY:
        raise web.HTTPRequestEntityTooLarge(max_size=MAX_BODY, actual_size=request.content_length or 0)
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise web.HTTPBadRequest(text=str(error)) from error
