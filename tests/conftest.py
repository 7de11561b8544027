"""Fixtures for every test that needs the real sidecar, or a server that does exactly what the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from running_sidecar import SidecarStarter
from scripted_upstream import ScriptedUpstream

# How long an example takes says more of what else the machine does than of what is tested.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[SidecarStarter]:
    """Starts `alignment-monitor serve` in front of a given upstream: `running = await sidecar(url, {"proxy": {...}})`."""
    starter = SidecarStarter(tmp_path)
    yield starter
    await starter.stop_all()


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedUpstream]:
    """A raw-socket server on a free port; the test assigns `scripted.script`."""
    async with ScriptedUpstream() as upstream:
        yield upstream
