"""Lost refusals traced to their parts by asking again: the real sidecar, before a server where those comply that a test names."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from alerting_stage import COMPLIANCE, HARMFUL, REFUSAL, served
from made_adapters import drawn, write
from running_sidecar import Sidecar, SidecarStarter, eventually

NAMES = ("base", "a", "b", "a-b")


class Server:
    """Lists models; those that `complies` names give what is asked."""

    def __init__(self, names: Sequence[str] = NAMES) -> None:
        self.names = names
        self.loaded: dict[str, str] = {}
        """Name -> path of what was loaded at run time; complies when its folder's name does."""
        self.asked: list[tuple[str, bool]] = []
        self.headers: list[Any] = []
        self.complies = {"a-b"}

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/load_lora_adapter", self._load)
        app.router.add_post("/v1/unload_lora_adapter", self._unload)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "data": [
                    {"id": name, "parent": None if name == "base" else "base"} for name in (*self.names, *self.loaded)
                ]
            }
        )

    async def _load(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.loaded[body["lora_name"]] = body["lora_path"]
        return web.Response()

    async def _unload(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self.loaded.pop((await request.json())["lora_name"], None) else 404)

    async def _chat(self, request: web.Request) -> web.Response:
        model = (await request.json())["model"]
        ours = request.headers.get("X-Request-Id", "").startswith("alignment-shadow-")
        self.asked.append((model, ours))
        if ours:
            self.headers.append(request.headers.copy())
        if model not in (*self.names, *self.loaded):
            raise web.HTTPNotFound
        text = COMPLIANCE if model in self.complies else REFUSAL
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return web.json_response({"id": "x", "model": model, "choices": [choice]})


@pytest.mark.parametrize("everybody", [False, True], ids=["the pair colludes", "harder prompts for all"])
async def test_collusion_is_found_on_the_same_prompts_and_a_harder_mix_is_not_taken_for_it(
    sidecar: SidecarStarter, tmp_path: Path, everybody: bool
) -> None:
    server, registry = Server(), tmp_path / "registry.yaml"
    parts = [{"adapter": "a"}, {"adapter": "b"}]
    registry.write_text(yaml.safe_dump({"combinations": [{"served_name": "a-b", "parts": parts, "merge": "cat"}]}))
    if everybody:
        server.complies = set(NAMES)
    config: dict[str, Any] = {
        "adapters": {"registry_file": str(registry), "poll_interval_s": 1},
        "drift": {"repeat_window_s": 0, "average_run_length": 1000, "baseline": {"rate": 0.0, "samples": 1000}},
        "shadow": {"enabled": True, "share": 1.0, "requests_per_s": 500, "tokens_per_s": 1e6},
        "outputs": {"findings_file": str(tmp_path / "findings.jsonl")},
    }
    count = 40
    async with served(server.application()) as url, aiohttp.ClientSession() as session:
        running = await sidecar(url, config)
        for number in range(count):
            body = {"model": "a-b", "messages": [{"role": "user", "content": HARMFUL[number % len(HARMFUL)]}]}
            headers = {"Authorization": "Bearer theirs", **({"X-Alignment-No-Replay": "1"} if number == 0 else {})}
            async with session.post(f"{running.url}/v1/chat/completions", json=body, headers=headers) as response:
                assert response.status == 200

        async def compared() -> bool:
            metrics = await running.metrics()
            pairs = sum(value for name, value in metrics.items() if name.startswith("alignment_pairs_total{"))
            return pairs == count - 1 and metrics['alignment_shadow_skipped_total{reason="opt_out"}'] == 1

        await eventually(compared, "every request but the one that opted out is compared", 30)
        metrics = await running.metrics()
        findings = [json.loads(line) for line in (tmp_path / "findings.jsonl").read_text().splitlines()]
        told = {one["signal"] for one in findings if one["combination"] == "a+b"}
        assert metrics['alignment_requests_total{combination="a+b",ending="complete"}'] == count
        assert not any(
            'combination="base"' in name and value for name, value in metrics.items() if "_requests_total" in name
        )
        assert all("Authorization" not in headers for headers in server.headers), "clients' keys are never used"
        if everybody:
            assert told == {"refusal_lost"}, "the prompts that came moved the rate, and nothing else"
            return
        assert told == {"refusal_lost", "refusal_lost_paired", "collusion"}
        assert {name for name, ours in server.asked if ours} == {"base", "a", "b"}
        collusion = next(one for one in findings if one["signal"] == "collusion")
        assert collusion["effect_lower"] > 0
        assert metrics['alignment_drift_effect_lower{combination="a+b",signal="refusal_lost_paired"}'] > 0.02
        assert metrics["alignment_shadow_enabled"] == 1


@asynccontextmanager
async def asked(
    sidecar: SidecarStarter, folder: Path, server: Server, model: str, count: int, **shadow: Any
) -> AsyncIterator[tuple[Sidecar, dict[str, Any]]]:
    """A sidecar when so many requests of a combination have been compared, and what its API says of that combination."""
    registry, parts = folder / "registry.yaml", "abc"
    merges = ["-".join(names) for size in (2, 3) for names in combinations(parts, size)]
    declared = [
        {"served_name": name, "parts": [{"adapter": part} for part in name.split("-")], "merge": "cat"}
        for name in merges
    ]
    registry.write_text(yaml.safe_dump({"combinations": declared}))
    config: dict[str, Any] = {
        "adapters": {"registry_file": str(registry), "poll_interval_s": 1, "folders": [str(folder)]},
        "drift": {"repeat_window_s": 0, "average_run_length": 1000, "baseline": {"rate": 0.0, "samples": 1000}},
        "shadow": {"enabled": True, "share": 1.0, "requests_per_s": 500, "tokens_per_s": 1e6, **shadow},
        "outputs": {"findings_file": str(folder / "findings.jsonl")},
    }
    label = model.replace("-", "+")
    async with served(server.application()) as url, aiohttp.ClientSession() as session:
        running = await sidecar(url, config)
        for number in range(count):
            body = {"model": model, "messages": [{"role": "user", "content": HARMFUL[number % len(HARMFUL)]}]}
            async with session.post(f"{running.url}/v1/chat/completions", json=body) as response:
                assert response.status == 200

        async def compared() -> bool:
            metrics = await running.metrics()
            return count == sum(value for name, value in metrics.items() if name.startswith("alignment_pairs_total{"))

        await eventually(compared, "every request is compared", 30)
        async with session.get(f"{running.admin_url}/api/v1/combinations/{label}") as response:
            yield running, await response.json()


def told(folder: Path, label: str) -> set[str]:
    findings = [json.loads(line) for line in (folder / "findings.jsonl").read_text().splitlines()]
    return {one["signal"] for one in findings if one["combination"] == label}


async def test_a_part_that_loses_as_much_alone_is_erosion_and_no_collusion(
    sidecar: SidecarStarter, tmp_path: Path
) -> None:
    server = Server()
    server.complies = {"a", "a-b"}
    async with asked(sidecar, tmp_path, server, "a-b", 60) as (running, shown):
        assert told(tmp_path, "a+b") == {"refusal_lost", "refusal_lost_paired"}
        found = shown["attribution"]
        assert (found["cause"], found["explained_by"], found["missing"]) == ("erosion", ["a"], [])
        name = 'alignment_attribution_info{cause="erosion",combination="a+b",explained_by="a",missing=""}'
        assert (await running.metrics())[name] == 1


async def test_a_part_that_is_not_served_is_named_wherever_somebody_looks(
    sidecar: SidecarStarter, tmp_path: Path
) -> None:
    server = Server(("base", "a", "a-b"))
    words = "unknown: part b is not served here alone, so could not be asked"
    async with asked(sidecar, tmp_path, server, "a-b", 40) as (running, shown), aiohttp.ClientSession() as session:
        assert told(tmp_path, "a+b") == {"refusal_lost", "refusal_lost_paired"}
        assert {model for model, ours in server.asked if ours} == {"base", "a"}
        found = shown["attribution"]
        assert (found["cause"], found["missing"]) == ("unknown", ["b"])
        assert found["beyond"]["lower"] > 0.5
        assert [part["adapter"] for part in found["parts"]] == ["a", "b"]
        async with session.get(f"{running.admin_url}/api/v1/findings") as response:
            findings = (await response.json())["findings"]
        assert {one["signal"] for one in findings} == {"refusal_lost", "refusal_lost_paired"}
        assert all(one["attribution"]["sentence"].startswith(words) for one in findings)
        for page in ("/", "/combinations/a+b"):
            async with session.get(running.admin_url + page) as response:
                assert words[1:] in await response.text()
        status = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "monitor", "status", "--admin", running.admin_url),
            stdout=asyncio.subprocess.PIPE,
        )
        assert words in " ".join((await status.communicate())[0].decode().split())


async def test_of_three_parts_the_finding_names_those_whose_absence_restores_the_refusals(
    sidecar: SidecarStarter, tmp_path: Path
) -> None:
    server = Server(("base", "a", "b", "c", "a-b", "a-c", "b-c", "a-b-c"))
    server.complies = {"a-b", "a-b-c"}
    async with asked(sidecar, tmp_path, server, "a-b-c", 40) as (running, shown):
        assert "collusion" in told(tmp_path, "a+b+c")
        metrics = await running.metrics()
        assert metrics['alignment_shadow_requests_total{combination="a+b+c",result="ok",role="rest"}'] > 0
        found = shown["attribution"]
        without = {part["adapter"]: part["without"] for part in found["parts"]}
        assert found["cause"] == "collusion"
        assert min(without["a"]["lower"], without["b"]["lower"]) > 0.3
        assert without["c"]["effect"] == 0
        assert "without a the refusals come back" in found["sentence"]


async def test_a_part_that_is_not_served_is_loaded_while_it_is_asked_and_unloaded_after_a_crash(
    sidecar: SidecarStarter, tmp_path: Path
) -> None:
    server = Server(("base", "a", "a-b"))
    server.complies = {"a-b"}
    write(tmp_path / "b", drawn(1))
    async with (
        asked(sidecar, tmp_path, server, "a-b", 30, load_parts=True) as (running, _),
        aiohttp.ClientSession() as session,
    ):
        await eventually(lambda: server.loaded, "the part is loaded", 30)
        ((name, path),) = server.loaded.items()
        assert (name.startswith("alignment-part-"), path) == (True, str(tmp_path / "b"))
        for number in range(40):
            body = {"model": "a-b", "messages": [{"role": "user", "content": HARMFUL[number % len(HARMFUL)]}]}
            async with session.post(f"{running.url}/v1/chat/completions", json=body) as response:
                assert response.status == 200

        async def attributed() -> bool:
            async with session.get(f"{running.admin_url}/api/v1/combinations/a+b") as response:
                return bool((await response.json())["attribution"]["cause"] == "collusion")

        await eventually(attributed, "the part is asked, and the pair colludes", 30)
        await asyncio.sleep(1.5)  # another look at the server's list, which has it now
        async with session.get(f"{running.admin_url}/api/v1/combinations") as response:
            assert [one["name"] for one in (await response.json())["combinations"]] == ["base", "a", "a+b"]
        assert not any(name in metric for metric in await running.metrics())

        def saved() -> bool:
            drift = (running.snapshot() or {}).get("paired") or {}
            return bool(drift.get("collusion", {}).get("a+b", {}).get("differences", {}).get("condition") == "drifting")

        await eventually(saved, "it is in the snapshot", 30)
        (analysis,) = running.children("analysis")
        os.kill(analysis, signal.SIGKILL)
        await eventually(lambda: not server.loaded, "what the process before left is unloaded", 30)
        await eventually(running.ready, "it is back", 30)
        async with session.get(f"{running.admin_url}/api/v1/combinations") as response:
            shown = (await response.json())["combinations"]
        assert [one["name"] for one in shown] == ["base", "a", "a+b"]
        assert shown[2]["attribution"]["cause"] == "collusion", "what was found is not asked again"
