"""The admin port: metrics, health, the pages and the read-only API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from monitor.admin.pages import Trends, add_pages

View = Callable[[], dict[str, Any]]
Problems = Callable[[], list[str]]


def build_admin(
    registry: CollectorRegistry, view: View, problems: Problems, notes: Problems, trends: Trends
) -> web.Application:
    """The admin application.

    view: what /api/v1/combinations shows; problems: why the monitor is not ready, empty when it is; notes: sentences
    about the monitor's own state for the pages; trends: the short history of a combination's signals.
    """
    app = web.Application()

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def ready(_: web.Request) -> web.Response:
        found = problems()
        if found:
            return web.json_response({"ready": False, "problems": found}, status=503)
        return web.json_response({"ready": True})

    async def combinations(_: web.Request) -> web.Response:
        return web.json_response(view())

    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    app.router.add_get("/-/live", live)
    app.router.add_get("/-/ready", ready)
    app.router.add_get("/api/v1/combinations", combinations)
    add_pages(app, view, notes, trends)
    return app
