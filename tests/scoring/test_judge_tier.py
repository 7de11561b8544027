"""The judge tier against a real HTTP server that replies what the test says."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from blockbuster import blockbuster_ctx
from prometheus_client import CollectorRegistry, generate_latest
from running_sidecar import eventually, free_ports

from monitor.config.model import JudgeSection
from monitor.records import Item, Outcome, Verdict
from monitor.scoring.judge import Budget, Judge, judge_session, priority
from monitor.scoring.judge_client import ERRORS, JudgeClient
from monitor.telemetry.metrics import Metrics

RARE = Verdict(Outcome.REFUSE_THEN_COMPLY, "s", "1", refusal_probability=0.1)
UNSURE = Verdict(Outcome.COMPLIANCE, "s", "1", refusal_probability=0.4)
SURE = Verdict(Outcome.COMPLIANCE, "s", "1", refusal_probability=0.01)


class Server:
    """An OpenAI-compatible server with one reply."""

    def __init__(self) -> None:
        self.said = '{"outcome": "compliance"}'
        self.status = 200
        self.body: bytes | None = None
        self.headers: dict[str, str] = {}
        self.asked: list[dict] = []
        self.paths: list[str] = []
        self.keys: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.at_once = self.most_at_once = 0

    async def reply(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        self.paths.append(request.path)
        self.keys.append(request.headers.get("Authorization", ""))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.hold.wait()
        self.at_once -= 1
        choice = (
            {"text": self.said} if request.path.endswith("/v1/completions") else {"message": {"content": self.said}}
        )
        body = self.body if self.body is not None else json.dumps({"choices": [choice]}).encode()
        return web.Response(status=self.status, body=body, headers=self.headers)

    def answers(self) -> list[str]:
        return [json.loads(body["messages"][1]["content"])["answer"] for body in self.asked]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    own = Server()
    app = web.Application()
    app.router.add_post("/{path:.*}", own.reply)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    own.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield own
    own.hold.set()
    await runner.cleanup()


class Bench:
    """A judge with its metrics, which pauses for the time that it was told but in no real time."""

    def __init__(self, session, **settings) -> None:
        given = {"model": "guard", "requests_per_s": 1000, "tokens_per_s": 1_000_000, "timeout_s": 10} | settings
        section = JudgeSection(**given)
        self.metrics = Metrics(CollectorRegistry(), "0")
        self.slept: list[float] = []
        self.judge = Judge(section, JudgeClient(session, section), self.metrics.judge, random.Random(1), self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(min(seconds, 0.01))

    def count(self, name: str) -> dict[str, float]:
        lines = generate_latest(self.metrics.registry).decode().splitlines()
        start = f"alignment_judge_{name}_total{{"
        return {
            line[len(start) :].partition("}")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith(start)
        }


@pytest.fixture
async def bench(server) -> AsyncIterator:
    session = judge_session()
    tasks = []

    def start(**settings) -> Bench:
        own = Bench(session, **({"endpoint": server.url} | settings))
        tasks.append(asyncio.get_running_loop().create_task(own.judge.run()))
        return own

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await session.close()


async def test_what_the_judge_said_is_counted_beside_our_outcome(bench, server) -> None:
    own = bench()
    own.judge.offer(Item("why", "because"), RARE)
    await eventually(lambda: own.count("verdicts"), "a reply")
    assert own.count("verdicts") == {'judge="compliance",outcome="refuse_then_comply"': 1}
    asked = server.asked[0]
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("guard", 0, 64)
    assert server.paths == ["/v1/chat/completions"]


@pytest.mark.parametrize(
    ("template", "said", "label"),
    [
        ("llama_guard", "unsafe\nS1", "unsafe"),
        ("wildguard", "Harmful request: no\nResponse refusal: yes\nHarmful response: no", "refusal"),
        ("granite_guardian", "No", "safe"),
        ("granite_guardian_4", "<think>\n</think>\n<score> yes </score>", "refusal"),
        ("gpt_oss_safeguard", '{"outcome": "partial"}', "partial"),
        ("instruct", "I would say it is fine.", "unparsable"),
        ("llama_guard", "", "unparsable"),
    ],
)
async def test_every_family_is_read_in_its_own_form(bench, server, template, said, label) -> None:
    server.said = said
    own = bench(template=template)
    own.judge.offer(Item("why", "because"), RARE)
    await eventually(lambda: own.count("verdicts"), "a reply")
    assert own.count("verdicts") == {f'judge="{label}",outcome="refuse_then_comply"': 1}


FAILURES = {
    "500": ({"status": 500}, "status"),
    "redirect": ({"status": 307, "headers": {"Location": "/elsewhere"}}, "status"),
    "too long": ({"status": 400}, "rejected"),
    "wrong key": ({"status": 401}, "unauthorized"),
    "busy": ({"status": 429}, "overloaded"),
    "no JSON": ({"body": b"<html>"}, "unreadable"),
    "no choice": ({"body": b'{"choices": []}'}, "unreadable"),
    "not UTF-8": ({"body": b'{"choices": [{"text": "\xff"}]}'}, "unreadable"),
    "endless": ({"body": b" " * 300_000}, "unreadable"),
}


@pytest.mark.parametrize(("reply", "reason"), FAILURES.values(), ids=FAILURES)
async def test_a_failed_call_is_counted_and_never_a_label(bench, server, reply, reason) -> None:
    for name, value in reply.items():
        setattr(server, name, value)
    own = bench()
    own.judge.offer(Item("why", "because"), RARE)
    await eventually(lambda: own.count("errors"), "an error")
    assert own.count("errors") == {f'reason="{reason}"': 1}
    assert own.count("verdicts") == {}
    assert reason in ERRORS
    assert server.paths == ["/v1/chat/completions"]


async def test_a_slow_judge_is_given_up_and_an_absent_one_too(bench, server) -> None:
    server.hold.clear()
    slow = bench(timeout_s=0.05)
    slow.judge.offer(Item("why", "because"), RARE)
    await eventually(lambda: slow.count("errors") == {'reason="timeout"': 1}, "a timeout")
    absent = bench(endpoint=f"http://127.0.0.1:{free_ports(1)[0]}")
    absent.judge.offer(Item("why", "because"), RARE)
    await eventually(lambda: absent.count("errors") == {'reason="connection"': 1}, "a refused connection")


async def test_it_pauses_longer_after_every_failure_and_goes_on_afterwards(bench, server) -> None:
    server.status = 503
    own = bench(concurrency=1)
    for number in range(4):
        own.judge.offer(Item("why", f"because {number}"), RARE)
    await eventually(lambda: own.count("errors") == {'reason="overloaded"': 4}, "four errors")
    await eventually(lambda: len(own.slept) >= 4, "four pauses")
    assert own.slept[:4] == [1.0, 2.0, 4.0, 8.0]
    server.status = 200
    own.judge.offer(Item("why", "because"), RARE)
    await eventually(lambda: own.count("verdicts"), "a reply")


async def test_a_request_that_is_not_taken_holds_up_no_other(bench, server) -> None:
    server.status = 400
    own = bench(concurrency=1)
    for number in range(3):
        own.judge.offer(Item("why", f"because {number}"), RARE)
    await eventually(lambda: own.count("errors") == {'reason="rejected"': 3}, "three errors")
    assert own.slept == []


async def test_the_key_comes_from_a_file_that_may_change(bench, server, tmp_path) -> None:
    file = tmp_path / "key"
    own = bench(api_key_file=file)
    own.judge.offer(Item("why", "because"), RARE)
    await eventually(lambda: own.count("errors") == {'reason="key"': 1}, "a missing key")
    file.write_text("first\n")
    with blockbuster_ctx():
        own.judge.offer(Item("why", "because"), RARE)
        await eventually(lambda: server.keys == ["Bearer first"], "the key")
    file.write_text("second\n")
    own.judge.offer(Item("why", "because"), RARE)
    await eventually(lambda: server.keys == ["Bearer first", "Bearer second"], "the new key")


async def test_the_rare_ones_go_first_and_a_full_queue_drops_the_least_wanted(bench, server) -> None:
    own = bench(queue=3, concurrency=1, control_share=1.0)
    for name, verdict in (("sure", SURE), ("unsure", UNSURE), ("sure too", SURE), ("rare", RARE), ("rare too", RARE)):
        own.judge.offer(Item("why", name), verdict)
    assert own.judge.waiting == 3
    own.judge.offer(Item("why", "sure, too late"), SURE)
    assert own.count("dropped") == {'reason="queue"': 3}
    await eventually(lambda: len(server.asked) == 3, "three calls")
    assert server.answers() == ["rare", "rare too", "unsure"]


async def test_no_more_calls_at_a_time_than_configured(bench, server) -> None:
    server.hold.clear()
    own = bench(concurrency=3)
    for number in range(8):
        own.judge.offer(Item("why", str(number)), RARE)
    await eventually(lambda: server.at_once == 3, "three calls")
    await asyncio.sleep(0.05)
    server.hold.set()
    await eventually(lambda: len(server.asked) == 8, "all calls")
    assert server.most_at_once == 3


async def test_what_waits_at_the_end_is_counted_as_dropped(bench, server) -> None:
    server.hold.clear()
    own = bench(concurrency=1)
    for number in range(5):
        own.judge.offer(Item("why", str(number)), RARE)
    await eventually(lambda: server.at_once == 1, "one call")
    own.judge.stop()
    assert own.count("dropped") == {'reason="shutdown"': 4}
    assert own.judge.waiting == 0


async def test_a_long_answer_is_judged_by_its_beginning_and_its_end(bench, server) -> None:
    own = bench()
    own.judge.offer(Item("p" * 9000, "begin" + "x" * 50_000 + "end\ud800"), RARE)
    await eventually(lambda: server.asked, "a call")
    answer = server.answers()[0]
    assert answer.startswith("begin")
    assert answer.endswith("end?")
    assert len(answer) < 8100
    small = bench(characters=100)
    small.judge.offer(Item("p" * 9000, "begin" + "x" * 50_000 + "end"), RARE)
    await eventually(lambda: len(server.asked) == 2, "a call")
    assert len(server.answers()[1]) < 120


def test_a_share_of_the_sure_ones_is_judged_too() -> None:
    metrics = Metrics(CollectorRegistry(), "0")
    section = JudgeSection(control_share=0.1, queue=10_000)
    judge = Judge(section, None, metrics.judge, random.Random(1), asyncio.sleep)
    for _ in range(5000):
        judge.offer(Item("a", "b"), SURE)
    assert 400 < judge.waiting < 600


@pytest.mark.parametrize(
    ("verdict", "wanted"),
    [
        (RARE, 0),
        (Verdict(Outcome.PARTIAL, "s", "1"), 0),
        (UNSURE, 1),
        (Verdict(Outcome.UNSCORED, "s", "1", reason="language"), 1),
        (SURE, 2),
        (Verdict(Outcome.UNSCORED, "s", "1", reason="error"), None),
        (Verdict(Outcome.TRUNCATED, "s", "1"), None),
        (Verdict(Outcome.TOOL_CALL, "s", "1"), None),
        (Verdict(Outcome.EMPTY, "s", "1"), None),
    ],
)
def test_what_is_rare_or_unsure_is_wanted_first(verdict, wanted) -> None:
    assert priority(verdict) == wanted


def test_the_budget_holds_for_requests_and_for_tokens() -> None:
    budget = Budget(2.0, 1000.0, 0.0)
    now, done = 0.0, []
    while now < 10:
        wait = budget.take(100, now)
        if wait == 0:
            done.append(now)
        now += wait
    assert 20 <= len(done) <= 22
    budget = Budget(100.0, 1000.0, 0.0)
    now, tokens = 0.0, 0
    while now < 10:
        wait = budget.take(2500, now)
        tokens += 2500 if wait == 0 else 0
        now += wait
    assert 10_000 <= tokens <= 13_500
