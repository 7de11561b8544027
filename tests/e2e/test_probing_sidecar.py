"""The sidecar asks on its own: the real one before a server with a pair that colludes, one that does not, and a newcomer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from alerting_stage import COMPLIANCE, REFUSAL, served
from running_sidecar import Sidecar, SidecarStarter, eventually

from monitor.probes.shipped import SHIPPED
from monitor.probes.suite import Suite, written

HARMFUL = SHIPPED["harmful"]().probes[:24]
SUITE = Suite("own", (*HARMFUL, *SHIPPED["ordinary"]().probes[:4], *SHIPPED["refuse-then-comply"]().probes[:8]))
TOKEN = "an admin token of the test"


class Server:
    """Answers as vLLM does; `a-b` gives what the others decline."""

    def __init__(self) -> None:
        self.models = ["base", "a-b", "polite"]
        self.asked: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        self.waiting = 0
        self.full = False
        """Everything is turned away with 429."""
        self.open = asyncio.Event()
        self.open.set()

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"data": [{"id": name, "parent": None if name == "base" else "base"} for name in self.models]}
        )

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=f'vllm:num_requests_waiting{{engine="0"}} {self.waiting}\n')

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        self.headers.append(request.headers.copy())
        await self.open.wait()
        if self.full:
            return web.Response(status=429)
        ordinary = any(probe.question == body["messages"][0]["content"] for probe in SUITE.probes[24:28])
        text = COMPLIANCE if ordinary or body["model"] == "a-b" else REFUSAL
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return web.json_response({"id": "x", "model": body["model"], "choices": [choice]})

    def number(self, model: str) -> int:
        """Questions that were put to a model."""
        return sum(1 for body in self.asked if body["model"] == model)


class Reader:
    """Reads the sidecar's API."""

    def __init__(self, running: Sidecar, session: aiohttp.ClientSession) -> None:
        self._running = running
        self._session = session

    async def get(self, path: str) -> Any:
        async with self._session.get(f"{self._running.admin_url}/api/v1{path}") as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def status(self, name: str) -> str:
        found = [one for one in (await self.get("/combinations"))["combinations"] if one["name"] == name]
        return found[0]["status"] if found else "unknown"

    async def probe(self, name: str, token: str = TOKEN) -> tuple[int, Any]:
        async with self._session.post(
            f"{self._running.admin_url}/api/v1/combinations/{name}/probe",
            json={"by": "ann", "reason": "a new version"},
            headers={"Authorization": f"Bearer {token}"},
        ) as response:
            return response.status, await response.json()


async def test_new_combinations_are_asked_judged_and_shown_and_the_clients_go_first(
    sidecar: SidecarStarter, tmp_path: Path
) -> None:
    server, suite, registry = Server(), tmp_path / "own.jsonl", tmp_path / "registry.yaml"
    suite.write_bytes(written(SUITE))
    parts = [{"adapter": "a"}, {"adapter": "b"}]
    registry.write_text(yaml.safe_dump({"combinations": [{"served_name": "a-b", "parts": parts, "merge": "cat"}]}))
    (tmp_path / "token").write_text(TOKEN)
    config: dict[str, Any] = {
        "adapters": {"registry_file": str(registry), "poll_interval_s": 1},
        "probing": {"enabled": True, "suites": [str(suite)], "requests_per_s": 900, "tokens_per_s": 1e7},
        "admin": {"admin_token_file": str(tmp_path / "token"), "audit_file": str(tmp_path / "audit")},
    }
    async with served(server.application()) as url, aiohttp.ClientSession() as session:
        running = await sidecar(url, config)
        reader = Reader(running, session)

        async def both() -> bool:
            return await reader.status("a+b") == "failed" and await _passed(running, "polite")

        await eventually(both, "both were asked, and one failed", 60)
        evaluations = (await reader.get("/evaluations"))["evaluations"]
        assert {(one["subject"], one["source"], one["scope"]) for one in evaluations} == {
            ("a-b", "probing", "combined"),
            ("polite", "probing", "alone"),
        }
        pair = await reader.get("/combinations/a+b")
        assert "24 answers), base 0%" in pair["status_reason"]
        figure = next(one for one in pair["probing"]["validation"]["figures"] if one["slice"] == "harmful_looking")
        assert await reader.status("polite") == "validating", "found no worse, and approved by nobody"
        assert (figure["rate"], figure["base_rate"], figure["worse"], figure["failing"]) == (1.0, 0.0, 24, True)
        assert figure["rate_lower"] > 0.8
        assert figure["base_rate_upper"] < 0.2
        async with session.get(f"{running.admin_url}/combinations/a+b") as page:
            shown = await page.text()
        assert "What it answered to our own questions" in shown
        assert "worse than its base" in shown
        metrics = await running.metrics()
        assert metrics['alignment_combination_state{combination="a+b",status="failed"}'] == 1
        assert metrics['alignment_probe_rounds_total{combination="a+b",reason="first_use",result="failed"}'] == 1
        assert (
            metrics['alignment_probe_rate_lower{combination="a+b",signal="refusal_lost",slice="harmful_looking"}'] > 0.8
        )
        assert metrics['alignment_drift_samples{combination="polite",signal="refusal_lost_probed"}'] == 24
        organic = ("alignment_requests_total", "alignment_responses_total", "alignment_pairs_total", "alignment_proxy_")
        assert not any(
            value for name, value in metrics.items() if name.startswith(organic) and 'endpoint="other"' not in name
        )
        assert all(one["X-Request-Id"].startswith("alignment-probe-") for one in server.headers)
        assert all(body["cache_salt"].startswith("alignment-") for body in server.asked)
        assert server.number("polite") == server.number("a-b") == len(SUITE.probes)

        server.models.append("newcomer")
        await eventually(lambda: _is(reader, "newcomer", "validating"), "a newcomer is asked at once", 30)
        await eventually(lambda: _passed(running, "newcomer"), "its round ends", 30)

        server.waiting = 2
        before = server.number("polite")
        assert (await reader.probe("polite", "no token of theirs"))[0] == 401
        assert (await reader.probe("nobody"))[0] == 404
        assert (await reader.probe("base"))[0] == 409
        assert await reader.probe("polite") == (200, {"combination": "polite", "state": "queued"})
        await eventually(lambda: _paused(running), "clients wait, so the round does", 20)
        assert server.number("polite") <= before + 4  # what was under way within a look at the server's load
        assert json.loads((tmp_path / "audit").read_text().splitlines()[-1])["action"] == "probe"

        server.open.clear()
        server.waiting = 0
        await eventually(lambda: server.number("polite") > before, "it goes on", 20)
        (analysis,) = running.children("analysis")
        os.kill(analysis, signal.SIGKILL)
        await eventually(lambda: running.children("analysis") not in ([], [analysis]), "the analysis is back", 20)
        await eventually(running.ready, "it is ready again", 40)
        server.full = True
        server.open.set()
        await eventually(lambda: _paused(running), "turned away, it pauses", 20)
        assert await _results(running, "polite", "overloaded")
        server.full = False
        await eventually(lambda: _passed(running, "polite"), "the broken round began anew and ended", 60)
        assert server.number("polite") >= before + len(SUITE.probes), "from its first question"
        samples = await running.metric('alignment_drift_samples{combination="polite",signal="refusal_lost_probed"}')
        assert samples == 48, "two whole rounds, and nothing of the one that was broken off"
        assert await reader.status("a+b") == "failed", "what was found before the restart counts on"
        assert server.number("a-b") == len(SUITE.probes)
        assert (
            await running.metric(
                'alignment_probe_rate{combination="a+b",signal="refusal_lost",slice="harmful_looking"}'
            )
            == 1
        )


async def _is(reader: Reader, name: str, status: str) -> bool:
    return await reader.status(name) == status


async def _paused(running: Sidecar) -> bool:
    return await running.metric("alignment_probe_paused") == 1


async def _results(running: Sidecar, name: str, result: str) -> float:
    metrics = await running.metrics()
    return sum(
        value
        for key, value in metrics.items()
        if key.startswith("alignment_probe_requests_total{") and f'"{name}"' in key and f'"{result}"' in key
    )


async def _passed(running: Sidecar, name: str) -> bool:
    metrics = await running.metrics()
    return any(
        value
        for key, value in metrics.items()
        if key.startswith("alignment_probe_rounds_total{") and f'"{name}"' in key and '"passed"' in key
    )
