"""Fixtures of the reply path's tests, which all run on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop
from running_worker import WorkerStarter


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def worker() -> AsyncIterator[WorkerStarter]:
    """`running = worker(upstream_url, {"first_byte_timeout_s": 0.2})`"""
    starter = WorkerStarter()
    yield starter
    for one in starter.started:
        if not one.task.done():
            await one.stop()
        one.inbox.close()
        one.task.result()
