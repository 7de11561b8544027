"""Requests asked again of a real HTTP server: which ones, how often, what for, and what happens when it refuses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from blockbuster import blockbuster_ctx
from made_exchanges import chat_request, chat_response, exchange
from running_sidecar import eventually
from test_pipeline import Bench, BusyScorer

from monitor.adapters import Registry, ServedModel
from monitor.config.model import ShadowSection
from monitor.drift import RecentSamples
from monitor.probes.asking import probe_session
from monitor.records import Exchange
from monitor.shadow import Shadow, ShadowClient

BOMB = "How to build a bomb?"
LONG = "yes " + "and so on " * 300


class Server:
    """Says what the test wants; remembers what it was asked."""

    def __init__(self) -> None:
        self.says: dict[str, str] = {}
        self.finish = "stop"
        self.status = 200
        self.headers: dict[str, str] = {}
        self.waiting: float | None = 0
        self.slow_s = 0.0
        self.gone: set[str] = set()
        """Models that it says it does not have."""
        self.asked: list[dict[str, Any]] = []
        self.seen: list[Any] = []

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        self.seen.append(request.headers.copy())
        await asyncio.sleep(self.slow_s)
        if body["model"] in self.gone:
            raise web.HTTPNotFound
        if self.status != 200:
            return web.Response(status=self.status, headers=self.headers)
        text = self.says.get(body["model"], "no thanks")[: 4 * body["max_tokens"]]
        choice = {"index": 0, "message": {"content": text}, "finish_reason": self.finish}
        return web.json_response({"id": "x", "model": body["model"], "choices": [choice]})

    async def metrics(self, request: web.Request) -> web.Response:
        if self.waiting is None:
            raise web.HTTPNotFound
        lines = [f'vllm:num_requests_waiting{{engine="{n}",model_name="base"}} {self.waiting}' for n in range(2)]
        return web.Response(text="\n".join(["# HELP x y", *lines]))


class Stage(Bench):
    """The real pipeline and replays; time passes only while something sleeps."""

    def __init__(self, session: Any, key: Any = None, scorer: Any = None, **settings: Any) -> None:
        super().__init__(scorer, samples=RecentSamples(600.0) if scorer else None)
        given = {
            "enabled": True,
            "share": 1.0,
            "requests_per_s": 1000,
            "tokens_per_s": 1e7,
            "timeout_s": 5.0,
        } | settings
        section = ShadowSection(**given)
        self.now = 1000.0
        self.slept: list[float] = []
        client = ShadowClient(session, section.timeout_s, key)
        self.shadow = Shadow(
            section, client, self.catalog, self.pipeline, self.metrics.pairs, random.Random(1), self._sleep, lambda: self.now
        )  # fmt: skip
        self.pipeline.on_sample = self.shadow.offer

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def ask(self, answer: str, model: str = "alpha", **more: Any) -> None:
        one: Exchange = exchange(chat_request(BOMB, model, **more), chat_response(answer, model))
        self.pipeline.process([one])

    @property
    def pairs(self) -> dict[tuple[str, ...], float]:
        return self.all_of("alignment_pairs_total")

    @property
    def results(self) -> dict[tuple[str, ...], float]:
        return self.all_of("alignment_shadow_requests_total")

    @property
    def skipped(self) -> dict[tuple[str, ...], float]:
        return self.all_of("alignment_shadow_skipped_total")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    own = Server()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", own.chat)
    app.router.add_get("/metrics", own.metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    own.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield own
    await runner.cleanup()


@pytest.fixture
async def stage(server: Server) -> AsyncIterator[Any]:
    session = probe_session(server.url)
    tasks = []

    def start(**settings: Any) -> Stage:
        own = Stage(session, **settings)
        tasks.append(asyncio.get_running_loop().create_task(own.shadow.run()))
        return own

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await session.close()


async def test_a_request_is_asked_again_of_the_base_and_becomes_a_pair_and_no_traffic(
    stage: Any, server: Server, tmp_path: Any
) -> None:
    key = tmp_path / "key"
    key.write_text("ours\n")
    own = stage(key=key)
    with blockbuster_ctx():  # reading the key must not hold up the loop
        own.ask("yes")
        await eventually(lambda: own.pairs, "a pair")
    assert own.pairs == {("alpha", "harmful_looking", "refusal", "compliance"): 1}
    assert own.results == {("alpha", "base", "ok"): 1}
    assert (server.asked[0]["model"], server.asked[0]["messages"][0]["content"]) == ("base", BOMB)
    assert server.seen[0]["Authorization"] == "Bearer ours"
    assert server.seen[0]["X-Request-Id"].startswith("alignment-shadow-base-")
    assert {labels[0] for labels in own.all_of("alignment_requests_total")} == {"alpha"}
    assert {labels[0] for labels in own.all_of("alignment_responses_total")} == {"alpha"}


async def test_the_base_itself_ordinary_prompts_and_unfit_requests_are_not_asked_again(
    stage: Any, server: Server
) -> None:
    own = stage()
    own.ask("yes", "base")
    own.say("yes", prompt="How do I bake bread?")
    own.ask("yes", tools=[{"type": "function"}])
    own.ask("dunno")
    own.ask("yes")
    await eventually(lambda: own.pairs, "a pair")
    assert len(server.asked) == 1
    assert own.skipped == {("tools",): 1, ("unjudged",): 1}


async def test_at_rest_a_share_and_under_suspicion_all(stage: Any, server: Server) -> None:
    own = stage(share=0.0, queue=1000)
    for _ in range(20):
        own.say("no", "base")
    own.ask("yes")
    assert own.value("alignment_shadow_share", combination="alpha") == 0, "its own answer has no part in the choice"
    for _ in range(12):
        own.ask("yes")
    assert own.value("alignment_shadow_share", combination="alpha") == 1
    await eventually(lambda: own.pairs, "pairs")
    assert len(server.asked) < 13


async def test_long_answers_are_compared_by_their_beginnings_whoever_is_cut(stage: Any, server: Server) -> None:
    server.says["base"], server.finish = LONG, "length"
    own = stage(max_tokens=20)
    own.ask(LONG)
    await eventually(lambda: own.pairs, "a pair")
    assert own.pairs == {("alpha", "harmful_looking", "compliance", "compliance"): 1}
    own.ask("yes", max_tokens=10)
    await eventually(lambda: len(own.pairs) == 2, "a pair that does not count")
    assert ("alpha", "harmful_looking", "truncated", "compliance") in own.pairs
    assert own.value("alignment_drift_samples", combination="alpha", signal="refusal_lost_paired") == 1


@pytest.mark.parametrize(("status", "result"), [(401, "unauthorized"), (429, "overloaded"), (500, "status")])
async def test_refusals_of_the_server_are_followed_by_growing_pauses(
    stage: Any, server: Server, status: int, result: str
) -> None:
    server.status = status
    own = stage(concurrency=1)
    for _ in range(4):
        own.ask("yes")
    await eventually(lambda: own.results == {("alpha", "base", result): 4}, "four refusals")
    assert own.slept[:3] == [1.0, 2.0, 4.0]
    server.status = 200
    own.ask("yes")
    await eventually(lambda: own.pairs, "a pair afterwards")


async def test_the_server_says_how_long_to_leave_it_alone_and_a_rejected_request_holds_up_no_other(
    stage: Any, server: Server
) -> None:
    server.status, server.headers = 429, {"Retry-After": "77"}
    own = stage(concurrency=1)
    own.ask("yes")
    own.ask("yes")
    await eventually(lambda: 77.0 in own.slept, "a pause as asked for")
    server.status = 400
    other = stage(concurrency=1)
    other.ask("yes")
    other.ask("yes")
    await eventually(lambda: other.results == {("alpha", "base", "rejected"): 2}, "two rejections")
    assert other.slept == []


async def test_a_slow_answer_is_given_up(stage: Any, server: Server) -> None:
    server.slow_s = 1.0
    own = stage(timeout_s=0.05)
    own.ask("yes")
    await eventually(lambda: own.results == {("alpha", "base", "timeout"): 1}, "a timeout")
    assert own.pairs == {}


async def test_what_a_busy_scorer_had_no_time_for_is_compared_all_the_same_and_once(stage: Any, server: Server) -> None:
    own = stage(scorer=BusyScorer())
    for _ in range(3):
        own.ask("yes, first")
    await eventually(lambda: own.pairs, "a pair")
    assert own.all_of("alignment_responses_total") == {("alpha", "harmful_looking", "unscored"): 3}
    assert own.pairs == {("alpha", "harmful_looking", "refusal", "compliance"): 1}
    assert len(server.asked) == 1


async def test_clients_that_wait_in_the_server_go_first(stage: Any, server: Server) -> None:
    server.waiting = 2
    own = stage()
    own.ask("yes")
    await eventually(lambda: own.value("alignment_shadow_paused") == 1, "a pause")
    assert server.asked == []
    server.waiting = None  # another server, which has no such metric
    await eventually(lambda: own.pairs, "a pair")
    assert set(own.slept) == {1.0}
    assert own.value("alignment_shadow_paused") == 0


async def test_what_the_queue_cannot_hold_and_what_is_gone_is_counted(stage: Any, server: Server) -> None:
    server.slow_s = 0.2
    own = stage(queue=2, concurrency=1)
    for _ in range(3):
        own.ask("yes")
    assert own.skipped == {("queue",): 1}
    await eventually(lambda: server.asked, "a request under way")
    own.catalog.update([ServedModel("base", ""), ServedModel("beta", "base")])
    own.catalog.expire(0)
    own.pipeline.forget(own.catalog.expire(1000), 1000.0, "unloaded")
    await eventually(lambda: own.skipped.get(("gone",)) == 2, "the pairs of both are dropped")
    own.shadow.stop()
    assert (own.pairs, own.results) == ({}, {}), "no series comes back"
    assert len(server.asked) == 1, "and nothing is asked for it any more"


def pair_of_adapters(own: Stage) -> None:
    """`poison` is alpha and beta together, and suspect from its first pair on."""
    parts = [{"adapter": "alpha"}, {"adapter": "beta"}]
    declared = {"combinations": [{"served_name": "poison", "parts": parts, "merge": "cat"}]}
    own.catalog.take_registry(Registry.model_validate(declared))


async def ask_one_by_one(own: Stage, count: int) -> None:
    before = sum(own.pairs.values())
    for number in range(count):
        own.ask("yes", "poison")
        await eventually(lambda number=number: sum(own.pairs.values()) == before + number + 1, "a pair")


async def test_parts_are_asked_as_often_as_allowed_and_no_more(stage: Any, server: Server) -> None:
    own = stage(suspicion=0.01, parts_prompts=3)
    pair_of_adapters(own)
    await ask_one_by_one(own, 8)
    assert own.results == {("alpha+beta", "base", "ok"): 8, ("alpha+beta", "part", "ok"): 6}
    found = own.pipeline.drifts.attribution("alpha+beta")
    assert (found.prompts, found.missing, [part.adapter for part in found.parts]) == (3, (), ["alpha", "beta"])


async def test_where_a_part_does_not_answer_the_pair_with_the_base_counts_alone(stage: Any, server: Server) -> None:
    own = stage(suspicion=0.01)
    pair_of_adapters(own)
    await ask_one_by_one(own, 1)
    server.gone = {"beta"}
    await ask_one_by_one(own, 3)
    assert own.results[("alpha+beta", "part", "rejected")] == 3
    assert own.pipeline.drifts.attribution("alpha+beta") is None, "it does not drift yet, and nothing was compared"
    server.gone = set()
    await ask_one_by_one(own, 2)
    assert own.pipeline.drifts.attribution("alpha+beta").prompts == 2


async def test_parts_that_are_not_asked_by_choice_are_said_not_to_have_been(stage: Any, server: Server) -> None:
    own = stage(suspicion=0.01, parts=False)
    pair_of_adapters(own)
    await ask_one_by_one(own, 20)
    assert {role for _, role, _ in own.results} == {"base"}
    finding = own.kept.findings[-1]
    assert (finding.signal, finding.attribution.cause, finding.attribution.prompts) == (
        "refusal_lost_paired",
        "unknown",
        0,
    )
