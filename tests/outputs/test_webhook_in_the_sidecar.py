"""The running sidecar with the demo's recorded server: its colluding pair is one page, whatever the receiver does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from running_sidecar import Sidecar, SidecarStarter, eventually

from monitor.demo.recordings import Recordings, Served, load_recordings
from monitor.demo.sidecar import configuration, registry
from monitor.demo.upstream import RecordedServer

TOKEN = "a-token-of-the-tests-0123456789"
MOST_S = 5.0
"""A reply that waits for a receiver that hangs would take longer."""


class Desk:
    """A receiver that takes every message, unless told to fail or to hang."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.attempts = 0
        self.mode = "take"

    async def take(self, request: web.Request) -> web.Response:
        self.attempts += 1
        if self.mode == "hang":
            await asyncio.sleep(600)
        if self.mode == "fail":
            return web.Response(status=500)
        self.messages.append(await request.json())
        return web.Response()

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/hook", self.take)
        return app


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Scene:
    """A running sidecar between clients, the recorded server and the desk."""

    def __init__(
        self, sidecar: Sidecar, session: aiohttp.ClientSession, recordings: Recordings, pair: Served, desk: Desk
    ):
        self.sidecar, self.session, self.recordings, self.pair, self.desk = sidecar, session, recordings, pair, desk

    @property
    def harmful(self) -> list[str]:
        return [one.text for one in self.recordings.prompts.values() if one.stratum == "harmful_looking"]

    async def ask(self, model: str, prompts: list[str]) -> float:
        """Put the prompts to a model, one after the other; the longest time that a reply took, in seconds."""
        longest = 0.0
        for prompt in prompts:
            body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
            begun = time.monotonic()
            async with self.session.post(f"{self.sidecar.url}/v1/chat/completions", json=body) as response:
                assert response.status == 200
                await response.read()
            longest = max(longest, time.monotonic() - begun)
        return longest

    async def attack(self) -> float:
        """The base and the parts refuse, the pair gives in; the longest time that a reply took."""
        names = (self.recordings.header.base, *(part.adapter for part in self.pair.parts), self.pair.name)
        return max([await self.ask(name, self.harmful[:40]) for name in names])

    async def findings(self) -> list[dict[str, Any]]:
        async with self.session.get(f"{self.sidecar.admin_url}/api/v1/findings?state=open") as response:
            found: list[dict[str, Any]] = (await response.json())["findings"]
            return found

    async def restart_analysis(self) -> None:
        (before,) = self.sidecar.children("analysis")
        os.kill(before, signal.SIGKILL)

        async def again() -> bool:
            return self.sidecar.children("analysis") not in ([], [before]) and await self.sidecar.ready()

        await eventually(again, "the analysis runs again", 60)


@asynccontextmanager
async def scene(folder: Path, start: SidecarStarter, desk: Desk, **webhook: Any) -> AsyncIterator[Scene]:
    recordings = load_recordings()
    pair = next(one for one in recordings.header.served if one.role == "colluding")
    recordings = recordings.only({recordings.header.base, pair.name, *(part.adapter for part in pair.parts)})
    (folder / "registry.yaml").write_text(yaml.safe_dump(registry(recordings.header)))
    (folder / "token").write_text(TOKEN)
    config = configuration(recordings.header, folder / "registry.yaml")
    config["admin"] = {"admin_token_file": str(folder / "token")}
    server = RecordedServer(recordings, speed=0)
    async with served(server.application()) as upstream, served(desk.application()) as url:
        config["outputs"] = {"webhook": {"url": f"{url}/hook", **webhook}}
        async with aiohttp.ClientSession() as session:
            yield Scene(await start(upstream, config), session, recordings, pair, desk)


async def test_a_colluding_pair_is_exactly_one_page_and_a_restart_does_not_repeat_it(
    sidecar: SidecarStarter, tmp_path: Path
) -> None:
    desk = Desk()
    async with scene(tmp_path, sidecar, desk) as on:
        await on.attack()
        await eventually(lambda: desk.messages, "the page", 60)
        (page,) = desk.messages
        assert (page["event"], page["severity"], page["served_name"]) == ("opened", "page", on.pair.name)
        assert {page["signal"], *page["also"]} & {"refusal_lost", "refusal_lost_paired"}
        assert page["summary"].startswith(page["combination"])
        assert page["numbers"]["samples"] >= 5
        assert f"Stop routing users to {on.pair.name}, or unload it" in page["action"]
        async with on.session.get(page["dashboard_url"]) as response:
            assert page["combination"] in await response.text()
        async with on.session.get(page["runbook_url"]) as response:
            assert (response.status, page["alert"] in await response.text()) == (200, True)
        text = json.dumps(page)
        assert not [prompt for prompt in on.harmful if prompt in text]

        await on.restart_analysis()
        assert {one["combination"] for one in await on.findings()} >= {page["combination"]}
        await on.ask(on.pair.name, on.harmful[:30])
        await asyncio.sleep(13)  # longer than a new finding would wait
        assert desk.messages == [page]

        path = f"{on.sidecar.admin_url}/api/v1/combinations/{page['combination']}/reset"
        body = {"by": "kim", "reason": "the test is over"}
        async with on.session.post(path, json=body, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            assert response.status == 200
        await eventually(lambda: len(desk.messages) == 2, "its end")
        last = desk.messages[1]
        assert (last["event"], last["resolution"], last["incident"]) == ("closed", "reset", page["incident"])
        assert await on.sidecar.metric('alignment_webhook_messages_total{event="closed",severity="page"}') == 1


@pytest.mark.parametrize("mode", ["hang", "fail"])
async def test_a_receiver_that_does_not_work_holds_nothing_up_and_is_told_when_it_does(
    sidecar: SidecarStarter, tmp_path: Path, mode: str
) -> None:
    desk = Desk()
    desk.mode = mode
    async with scene(tmp_path, sidecar, desk, timeout_s=2, minimum_severity="page") as on:
        await on.attack()
        await eventually(lambda: desk.attempts, "an attempt", 60)
        scored = await on.sidecar.metric('alignment_exchanges_scored_total{endpoint="chat_completions"}')
        prompts = on.harmful[:20]
        assert await on.ask(on.pair.name, prompts) < MOST_S

        async def judged() -> bool:
            name = 'alignment_exchanges_scored_total{endpoint="chat_completions"}'
            return await on.sidecar.metric(name) >= scored + len(prompts)

        await eventually(judged, "the analysis goes on", 10)
        reason = "timeout" if mode == "hang" else "status"
        failed = f'alignment_webhook_errors_total{{reason="{reason}"}}'
        await eventually(lambda: on.sidecar.metric(failed), "it shows")
        assert await on.sidecar.metric("alignment_webhook_waiting") == 1
        desk.mode = "take"
        await eventually(lambda: desk.messages, "the page", 30)
        await asyncio.sleep(1)
        assert [one["event"] for one in desk.messages] == ["opened"]
        assert await on.sidecar.metric("alignment_webhook_waiting") == 0
