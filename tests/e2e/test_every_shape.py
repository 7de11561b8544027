"""Every shape in which vLLM answers, through the real sidecar: forwarded byte for byte, decoded and judged.

The server behind it is the real answers of a vLLM 0.32, replayed; the exchanges are those under tests/protocols/captures.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from running_sidecar import SidecarStarter, eventually

from monitor.protocols.endpoints import endpoint_of

FOLDER = Path(__file__).parent.parent / "protocols" / "captures"
WORDS = {504: "The", 6376: " sky", 314: " is"}


class Replayed:
    """Answers every captured request with its captured response, and token ids with words."""

    def __init__(self) -> None:
        self.captures: dict[str, dict[str, Any]] = {
            file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))
        }
        del self.captures["detokenize"]
        self.port = 0

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "base", "root": "base"}, {"id": "alpha", "parent": "base"}]})

    async def detokenize(self, request: web.Request) -> web.Response:
        ids = (await request.json())["tokens"]
        return web.json_response({"prompt": "".join(WORDS.get(one, " word") for one in ids)})

    async def answer(self, request: web.Request) -> web.Response:
        found = self.captures[request.headers["X-Request-Id"]]
        assert (request.path, await request.text()) == (found["target"], found["request"])
        return web.Response(
            status=found["status"], body=found["response"].encode(), content_type=found["response_type"]
        )


@pytest.fixture
async def replayed() -> AsyncIterator[Replayed]:
    server = Replayed()
    app = web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/detokenize", server.detokenize)
    app.router.add_route("*", "/{rest:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.port = runner.addresses[0][1]
    yield server
    await runner.cleanup()


async def test_every_shape_passes_unchanged_and_is_accounted_for(replayed: Replayed, sidecar: SidecarStarter) -> None:
    running = await sidecar(f"http://127.0.0.1:{replayed.port}")
    asked: Counter[str] = Counter()
    async with aiohttp.ClientSession(running.url) as session:
        for name, capture in sorted(replayed.captures.items(), key=lambda one: (one[1]["method"] == "GET", one[0])):
            headers = {"X-Request-Id": name, "Content-Type": "application/json"}
            if capture["adapter_header"]:
                headers["X-Amzn-SageMaker-Adapter-Identifier"] = capture["adapter_header"]
            asked[endpoint_of(capture["method"], capture["target"])] += 1
            async with session.request(
                capture["method"], capture["target"], data=capture["request"].encode() or None, headers=headers
            ) as reply:
                assert (reply.status, await reply.text()) == (capture["status"], capture["response"]), name

    async def accounted_for() -> dict[str, float] | None:
        metrics = await running.metrics()
        judged = total(metrics, "scored") + total(metrics, "unscored")
        return metrics if judged == total(metrics, "sampled") == sum(asked.values()) else None

    metrics: dict[str, float] = await eventually(accounted_for, "every exchange scored or unscored with a reason", 60)
    for endpoint, count in asked.items():
        label = f'endpoint="{endpoint}"'
        assert metrics[f"alignment_exchanges_sampled_total{{{label}}}"] == count
        assert metrics[f"alignment_exchanges_scored_total{{{label}}}"] > 0
    # Two were asked for in the background, one of them was cancelled; one stored answer was fetched once more.
    unscored = {
        name: value for name, value in metrics.items() if name.startswith("alignment_exchanges_unscored") and value
    }
    assert unscored == {
        'alignment_exchanges_unscored_total{endpoint="messages",reason="error_status"}': 1,
        'alignment_exchanges_unscored_total{endpoint="responses",reason="unfinished"}': 3,
        'alignment_exchanges_unscored_total{endpoint="responses",reason="repeated"}': 1,
    }
    mismatch = 'alignment_model_mismatch_total{requested="alpha",answered="base"}'
    assert metrics[mismatch] == 2  # invocations without their header


def total(metrics: dict[str, float], what: str) -> float:
    return sum(value for name, value in metrics.items() if name.startswith(f"alignment_exchanges_{what}_total"))
