"""The real process tree."""

from __future__ import annotations

from running_sidecar import SidecarStarter, http_get
from scripted_upstream import ScriptedUpstream


async def test_a_request_passes_the_real_process_tree(sidecar: SidecarStarter, scripted: ScriptedUpstream) -> None:
    running = await sidecar(scripted.url)
    assert await http_get(running.port, "/anything") == (200, b"")
    assert await running.terminate() == 0
