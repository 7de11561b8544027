"""Fixtures of the demo's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from made_up_recordings import all_lines, write_recordings

from monitor.demo.children import free_ports
from monitor.demo.recordings import Recordings, load_recordings
from monitor.demo.upstream import RecordedServer


@pytest.fixture
def recordings_file(tmp_path: Path) -> Path:
    return write_recordings(tmp_path / "recordings.jsonl.gz", all_lines())


@pytest.fixture
def recordings(recordings_file: Path) -> Recordings:
    return load_recordings(recordings_file)


@pytest.fixture
async def recorded_url(recordings: Recordings) -> AsyncIterator[str]:
    """A running recorded server without waiting times."""
    runner = web.AppRunner(
        RecordedServer(recordings, speed=0).application(), handler_cancellation=True, shutdown_timeout=0.5
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def unused_port() -> int:
    return free_ports(1)[0]
