"""Enforcement through the whole sidecar: only what is approved answers, as of now, whatever becomes of the analysis."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
from made_adapters import drawn, summed, write
from made_exchanges import CHAT, chat_request
from running_sidecar import SidecarStarter, eventually
from scripted_upstream import ScriptedUpstream
from test_adapters_in_the_sidecar import Server

from monitor.cli import main


async def test_what_is_not_approved_is_refused_until_somebody_approves_it_and_again_when_it_changes(
    sidecar: SidecarStarter, scripted: ScriptedUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "registry.json"

    def command(action: str, *arguments: object) -> None:
        assert main(["registry", action, *map(str, arguments), "--registry", str(file)]) == 0

    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    command("add", "base", "--base", "--dir", base)
    for name, seed in (("alpha", 1), ("beta", 2)):
        command("add", name, "--dir", write(tmp_path / name, drawn(seed)))
    merged = write(tmp_path / "ab", summed([(drawn(1), 1.0), (drawn(2), 1.0)]))
    command("add", "ab", "--parts", "alpha", "beta", "--merge", "cat", "--dir", merged)
    scripted.script = Server({name: str(tmp_path / name) for name in ("alpha", "ab")}, str(base))
    settings = {
        "enforcement": "block-unvalidated", "loading": "deny-unknown", "registry_file": str(file),
        "folders": [str(tmp_path)], "poll_interval_s": 1,
    }  # fmt: skip
    opened = {"routes": {"open": ["/v1/load_lora_adapter"]}}
    running = await sidecar(scripted.url, {"adapters": settings, "proxy": opened})

    async with aiohttp.ClientSession() as session:

        async def ask(model: str) -> tuple[int, dict[str, Any]]:
            async with session.post(running.url + CHAT, data=chat_request(model=model)) as response:
                return response.status, await response.json()

        async def load(name: str, path: Path) -> tuple[int, str]:
            body = {"lora_name": name, "lora_path": str(path)}
            async with session.post(f"{running.url}/v1/load_lora_adapter", json=body) as response:
                return response.status, await response.text()

        async def becomes(model: str, status: int, what: str) -> None:
            async def so() -> bool:
                return (await ask(model))[0] == status

            await eventually(so, what, 20)

        await becomes("ab", 403, "the unapproved combination is refused")
        error = (await ask("ab"))[1]["error"]
        assert error["message"] == (
            "the model 'ab' may not answer: combination alpha+beta: unvalidated: nobody evaluated this combination"
        )
        assert [(await ask(model))[0] for model in ("base", "alpha", "never-loaded")] == [200, 403, 403]

        write(tmp_path / "stranger", drawn(9))

        async def denied() -> bool:
            status, text = await load("stranger", tmp_path / "stranger")
            return status == 403 and json.loads(text)["error"]["type"] == "load_denied"

        await eventually(denied, "what the registry does not know is not loaded")
        assert await load("second", tmp_path / "beta") == (200, "Success")
        assert "stranger" not in scripted.script.roots

        command("approve", "ab", "--by", "safety board")
        await becomes("ab", 200, "an approval takes effect without a restart")
        assert (await ask("alpha"))[0] == 403

        os.kill(running.children("analysis")[0], signal.SIGKILL)
        for _ in range(5):
            assert [(await ask(model))[0] for model in ("base", "ab", "alpha")] == [200, 200, 403], (
                "the decisions stand"
            )
        await eventually(running.ready, "the analysis is back")
        assert [(await ask(model))[0] for model in ("base", "ab", "alpha")] == [200, 200, 403]

        write(tmp_path / "ab", drawn(3))
        await becomes("ab", 403, "other contents void the approval")
        command("quarantine", "alpha", "--reason", "poisoned data")

        async def told() -> bool:
            return "quarantined: poisoned data" in (await ask("alpha"))[1]["error"]["message"]

        await eventually(told, "a quarantine takes effect without a restart")

    async def counted() -> bool:
        found = await running.metrics()
        blocked = sum(value for name, value in found.items() if name.startswith("alignment_requests_blocked_total"))
        seen = found['alignment_exchanges_seen_total{endpoint="chat_completions"}']
        quarantined = found.get('alignment_requests_blocked_total{combination="alpha",reason="quarantined"}', 0)
        return blocked > 10 and quarantined > 0 and seen == sum(b"/chat/" in one.head for one in scripted.seen)

    await eventually(counted, "refused requests are counted apart from those that passed")
    found = await running.metrics()
    assert found['alignment_requests_blocked_total{combination="alpha+beta",reason="unvalidated"}'] > 0
    assert found['alignment_requests_blocked_total{combination="unlisted",reason="unlisted"}'] == 1
    assert found['alignment_enforcement_info{mode="block-unvalidated"}'] == 1
