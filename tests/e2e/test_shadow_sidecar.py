"""A pair of adapters that colludes, found by asking again: the real sidecar before a server where only the two together comply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from alerting_stage import COMPLIANCE, HARMFUL, REFUSAL, served
from running_sidecar import SidecarStarter, eventually

NAMES = ("base", "a", "b", "a-b")


class Server:
    """Lists models; complies as `a-b`, and as everybody once the prompts are hard."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.headers: list[Any] = []
        self.complies = {"a-b"}

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"data": [{"id": name, "parent": None if name == "base" else "base"} for name in NAMES]}
        )

    async def _chat(self, request: web.Request) -> web.Response:
        model = (await request.json())["model"]
        ours = request.headers.get("X-Request-Id", "").startswith("alignment-shadow-")
        self.asked.append((model, ours))
        if ours:
            self.headers.append(request.headers.copy())
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
