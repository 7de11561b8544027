"""The admin port: metrics, health, the pages and the API."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from monitor.admin.access import Access, Scope, Tokens
from monitor.admin.api import Operation, add_operations
from monitor.admin.api.openapi import document
from monitor.admin.api.operation import PREFIX, problems
from monitor.admin.pages import Ranked, Trends, add_pages
from monitor.admin.past import Cases
from monitor.admin.stored_examples import StoredExamples
from monitor.config.model import AdminSection

View = Callable[[], dict[str, Any]]
Problems = Callable[[], list[str]]

OPEN = ("/metrics", "/-/live", "/-/ready")
"""Never behind a token: scrapers and probes have none."""


def build_admin(
    registry: CollectorRegistry,
    view: View,
    not_ready: Problems,
    notes: Problems,
    trends: Trends,
    operations: Sequence[Operation] = (),
    access: Access | None = None,
    ranked: Ranked = tuple,
    cases: Cases = tuple,
    stored: StoredExamples | None = None,
) -> web.Application:
    """The admin application.

    view: what the pages show; not_ready: why the monitor is not ready, empty when it is; notes: sentences about the monitor's
    own state for the pages; trends: the short history of a combination's signals; operations: the API's; access: who may see
    what, without tokens when not given; ranked: pairs of served adapters by what their weights share; cases: all
    findings that are kept; stored: examples of prompts and answers, None while none are kept.
    """
    access = access or Access(Tokens(AdminSection()))
    app = web.Application(middlewares=[problems, _pages_behind(access)])

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def ready(_: web.Request) -> web.Response:
        found = not_ready()
        if found:
            return web.json_response({"ready": False, "problems": found}, status=503)
        return web.json_response({"ready": True})

    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    app.router.add_get("/-/live", live)
    app.router.add_get("/-/ready", ready)
    app.router.add_get(f"{PREFIX}/openapi.json", _described(operations, access))
    add_operations(app, operations, access)
    add_pages(app, lambda: {**view(), "stored": stored is not None}, notes, trends, ranked, cases, stored)
    return app


def _described(operations: Sequence[Operation], access: Access) -> Callable[[web.Request], Awaitable[web.Response]]:
    body = msgspec.json.encode(document(operations))
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "Cache-Control": "private, no-cache"}

    async def describe(request: web.Request) -> web.Response:
        await access.demand(request, Scope.READ)
        return web.Response(body=body, content_type="application/json", headers=headers)

    return describe


def _pages_behind(access: Access) -> Any:
    """Every page, whichever it is, needs the scope `read`; the API asks for each operation's own scope."""

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path not in OPEN and not request.path.startswith(PREFIX + "/"):
            await access.demand(request, Scope.READ, basic=True)
        return await handler(request)

    return guard
