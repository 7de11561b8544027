"""A real vLLM loads, replaces and unloads adapters on a shared folder, and the sidecar tells what is served."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from live_lab import require_vllm
from running_sidecar import Sidecar, SidecarStarter, eventually, free_ports, http_get

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The volume that server and sidecar share: alpha, beta and their undeclared merge."""
    from monitor.lab import adapter, merge, places

    folder = tmp_path_factory.mktemp("shared")
    for name in ("alpha", "beta", "gamma"):
        shutil.copytree(places.ADAPTERS / name, folder / name)
    parts = [(adapter.load(folder / "alpha"), 0.7), (adapter.load(folder / "beta"), 1.3)]
    adapter.save(merge.merge("cat", parts), folder / "mix")
    return folder


@pytest.fixture(scope="module")
def vllm(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The server's address and its base model's folder."""
    require_vllm()
    from monitor.lab import base, places, server
    from monitor.lab.adapter import BASE_NAME

    model = base.aligned(places.ADAPTERS / "align")
    served = {name: shared / name for name in ("alpha", "beta", "mix")}
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    with server.run(free_ports(1)[0], model, BASE_NAME, served, log) as running:
        yield running.url, model


async def seen(running: Sidecar) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    """Combinations by served name, and the events in order."""
    found = json.loads((await http_get(running.admin_port, "/api/v1/combinations"))[1])
    events = [(event["kind"], event["name"]) for event in reversed(found["events"])]
    return {one["served_name"]: one for one in found["combinations"]}, events


async def test_what_a_live_server_loads_replaces_and_unloads_is_told(
    sidecar: SidecarStarter, vllm: tuple[str, Path], shared: Path
) -> None:
    url, model = vllm
    running = await sidecar(url, {"adapters": {"poll_interval_s": 1, "folders": [str(shared), str(model)]}})

    async def told() -> bool:
        return bool((await seen(running))[0]["mix"]["composition"])

    await eventually(told, "the undeclared merge is told from its weights", 60)
    before, events = await seen(running)
    assert before["mix"]["composition"].startswith("1.3 beta + 0.7 alpha")
    assert all(one["digest"] for one in before.values()), "the base's files are read, too"
    assert [kind for kind, _ in events if kind != "digested"] == ["loaded"] * 4

    async def admin(path: str, body: dict[str, object]) -> None:
        """Past the sidecar, as somebody with access to the server's own port would."""
        async with aiohttp.ClientSession() as session, session.post(url + path, json=body) as response:
            assert response.status == 200, await response.text()

    shutil.copy(shared / "gamma/adapter_model.safetensors", shared / "alpha/adapter_model.safetensors")
    load = {"lora_name": "alpha", "lora_path": str(shared / "alpha"), "load_inplace": True}
    await admin("/v1/load_lora_adapter", load)
    await admin("/v1/load_lora_adapter", {"lora_name": "late", "lora_path": str(shared / "gamma")})
    await admin("/v1/unload_lora_adapter", {"lora_name": "beta"})

    async def noticed() -> bool:
        wanted = {("digest_changed", "alpha"), ("appeared_unannounced", "late"), ("unloaded", "beta")}
        return wanted <= set((await seen(running))[1])

    await eventually(noticed, "all three changes are events", 30)
    async with asyncio.timeout(30):
        while (await seen(running))[0]["late"]["composition"] == "":
            await asyncio.sleep(0.2)
    after, _ = await seen(running)
    assert after["alpha"]["id"] != before["alpha"]["id"]
    assert after["late"]["composition"] == "1 alpha (residual 0.000)", "it holds what alpha holds now"
