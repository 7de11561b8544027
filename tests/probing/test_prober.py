"""Rounds against a real HTTP server that fails, waits and replaces what it serves; time passes only while something sleeps."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from running_sidecar import eventually
from test_pipeline import Bench, BusyScorer

from monitor.adapters import Registry, ServedModel
from monitor.adapters.validation import Probed
from monitor.adapters.watch import AdapterWatch
from monitor.config.model import AdaptersSection, ProbingSection
from monitor.probes.asking import probe_session
from monitor.probes.shipped import COMPLIANT_OPENING, SHIPPED
from monitor.probes.suite import Suite
from monitor.probing import Prober
from monitor.shadow import ShadowClient

SUITE = Suite("own", (*SHIPPED["harmful"]().probes[:22], *SHIPPED["refuse-then-comply"]().probes[:2]))
DEPTHS = Suite("depths", SHIPPED["depth"]().probes[:5])
"""One question after 0, 1, 3, 5 and 10 tokens of a compliant opening."""


class Stage(Bench):
    """The real pipeline and prober before a server that says no, or what the test wants."""

    def __init__(self, suite: Suite = SUITE) -> None:
        super().__init__(BusyScorer())
        self.suite = suite
        self.tells_tokens = True
        self.answer: Callable[[dict[str, Any]], tuple[int, str]] = lambda _body: (200, "no thanks")
        """Request -> status and text."""
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[dict[str, Any]] = []
        self.slept: list[float] = []
        self.now = 1000.0

    async def start(self, session: Any, key: Path, **settings: Any) -> None:
        """Begin with a look at what is served."""
        self.watch = AdapterWatch(AdaptersSection(), Registry(), self.catalog, self.metrics.adapters)
        self.watch.take_models([ServedModel("base", ""), ServedModel("alpha", "base")])
        await self.watch.look()
        given = {"enabled": True, "requests_per_s": 1000, "tokens_per_s": 1e7, "concurrency": 1} | settings
        section = ProbingSection(**given)
        self.prober = Prober(
            section,
            self.suite,
            ShadowClient(session, 5.0, key, "probe"),
            self.catalog,
            self.watch,
            self.pipeline,
            self.metrics.probes,
            random.Random(1),
            self._sleep,
            lambda: self.now,
        )

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        await self.open.wait()
        status, text = self.answer(body)
        if status != 200:
            return web.Response(status=status)
        choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
        return web.json_response({"id": "x", "model": body["model"], "choices": [choice]})

    async def tokenize(self, request: web.Request) -> web.Response:
        """Each character is a token."""
        if not self.tells_tokens:
            return web.Response(status=404)
        body = await request.json()
        assert (body["model"], request.headers["Authorization"]) == ("base", "Bearer sesame")
        if "tokens" in body:
            return web.json_response({"prompt": "".join(map(chr, body["tokens"]))})
        return web.json_response({"tokens": [ord(one) for one in body["prompt"]]})

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0.001)

    @property
    def rounds(self) -> dict[tuple[str, ...], float]:
        return self.all_of("alignment_probe_rounds_total")

    @property
    def results(self) -> dict[tuple[str, ...], float]:
        return self.all_of("alignment_probe_requests_total")


@pytest.fixture
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    settings = dict(getattr(request, "param", {}))
    own = Stage(settings.pop("suite", SUITE))
    own.tells_tokens = settings.pop("tells_tokens", True)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", own.chat)
    app.router.add_post("/tokenize", own.tokenize)
    app.router.add_post("/detokenize", own.tokenize)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    session = probe_session(url)
    key = tmp_path / "key"
    key.write_text("sesame\n")
    await own.start(session, key, **settings)
    running = asyncio.get_running_loop().create_task(own.prober.run())
    yield own
    own.open.set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await session.close()
    await runner.cleanup()


async def test_both_are_asked_the_same_and_only_the_plain_questions_are_pairs(stage: Stage) -> None:
    await eventually(lambda: stage.rounds, "a round")
    assert stage.rounds == {("alpha", "first_use", "passed"): 1}
    assert stage.results == {("alpha", "combination", "ok"): 24, ("alpha", "base", "ok"): 24}
    assert stage.all_of("alignment_probe_pairs_total") == {("alpha", "harmful_looking", "refusal", "refusal"): 22}
    own, base = stage.asked[0], stage.asked[1]
    assert (own["model"], base["model"], own["messages"]) == ("alpha", "base", base["messages"])
    assert own["seed"] != base["seed"]
    prefilled = [body for body in stage.asked if body.get("continue_final_message")]
    assert len(prefilled) == 4
    assert all(body["messages"][-1]["role"] == "assistant" for body in prefilled)


@pytest.mark.parametrize(
    ("stage", "unit", "opening"),
    [
        ({"suite": DEPTHS}, "tokens", lambda depth: COMPLIANT_OPENING[:depth]),
        ({"suite": DEPTHS, "tells_tokens": False}, "words", lambda depth: " ".join(COMPLIANT_OPENING.split()[:depth])),
    ],
    indirect=["stage"],
    ids=["tokens", "words"],
)
async def test_an_opening_is_cut_to_its_depth(stage: Stage, unit: str, opening: Callable[[int], str]) -> None:
    await eventually(lambda: stage.rounds, "a round")
    begun = [body["messages"][-1] for body in stage.asked]
    assert sorted(one["content"] for one in begun if one["role"] == "assistant") == sorted(
        opening(probe.depth) for probe in DEPTHS.probes if probe.depth for _both in range(2)
    )
    (record,) = stage.prober.records.all()
    assert {row.slice for row in record.figures} == {f"prefill_{unit}={probe.depth}" for probe in DEPTHS.probes}


async def test_while_the_server_turns_it_away_a_round_stands_still_and_loses_no_question(stage: Stage) -> None:
    stage.answer = lambda _body: (429, "") if len(stage.asked) <= 4 else (200, "no thanks")
    await eventually(lambda: stage.rounds, "a round")
    assert stage.rounds == {("alpha", "first_use", "passed"): 1}
    assert stage.results[("alpha", "combination", "overloaded")] == 4
    assert [round(pause) for pause in stage.slept if pause > 0.5][:4] == [1, 2, 4, 8]
    assert stage.results[("alpha", "combination", "ok")] == 24


async def test_how_long_a_round_stands_still_is_shown_and_ends_with_the_next_answer(stage: Stage) -> None:
    stage.open.clear()
    await eventually(lambda: stage.asked, "the first question")
    stage.now += 7500
    stage.prober.measure(2000.0)
    assert (stage.value("alignment_probe_waiting_seconds") or 0.0) >= 7500
    stage.open.set()
    await eventually(lambda: len(stage.asked) > 3, "it goes on")
    stage.prober.measure(2001.0)
    assert (stage.value("alignment_probe_waiting_seconds") or 0.0) < 60
    await eventually(lambda: stage.rounds, "its end")
    stage.now += 7500
    stage.prober.measure(2002.0)
    assert (stage.value("alignment_probe_waiting_seconds") or 0.0) == 0, "none is under way"


async def test_how_long_ago_a_combination_was_asked_is_shown_also_when_it_never_was(stage: Stage) -> None:
    stage.open.clear()
    began = time.time()
    for since, seconds in ((0.0, 0), (500.0, 500)):
        stage.prober.measure(began + since)
        assert stage.value("alignment_probe_age_seconds", combination="alpha") == seconds
    stage.prober.restore(json.loads(json.dumps(stage.prober.save())))
    stage.prober.measure(began + 600)
    assert stage.value("alignment_probe_age_seconds", combination="alpha") == 600, "a restart does not make it younger"
    stage.open.set()
    await eventually(lambda: stage.rounds, "a round")
    (record,) = stage.prober.records.all()
    stage.prober.measure(record.ended + 90)
    assert stage.value("alignment_probe_age_seconds", combination="alpha") == pytest.approx(90)
    stage.catalog.note_digests({"alpha": "9" * 64})
    stage.prober.forget(["alpha"])
    stage.prober.measure(record.ended + 95)
    assert stage.value("alignment_probe_age_seconds", combination="alpha") == 0, (
        "other contents are another combination"
    )


async def test_a_round_that_came_to_nothing_does_not_make_a_combination_younger(stage: Stage) -> None:
    stage.answer = lambda _body: (400, "")
    began = time.time()
    stage.prober.measure(began - 1000)
    await eventually(lambda: stage.rounds, "a round")
    assert stage.rounds == {("alpha", "first_use", "unmeasured"): 1}
    stage.prober.measure(began + 1000)
    assert stage.value("alignment_probe_age_seconds", combination="alpha") == pytest.approx(2000)


async def test_what_the_server_does_not_take_or_fails_at_is_missing_and_not_asked_for_ever(stage: Stage) -> None:
    first, second = SUITE.probes[0].question, SUITE.probes[1].question

    def answer(body: dict[str, Any]) -> tuple[int, str]:
        asked = body["messages"][0]["content"]
        plain = not body.get("continue_final_message") and body["model"] == "alpha"
        return (400, "") if plain and asked == first else (500, "") if plain and asked == second else (200, "no thanks")

    stage.answer = answer
    await eventually(lambda: stage.rounds, "a round")
    assert stage.rounds == {("alpha", "first_use", "passed"): 1}
    assert stage.results[("alpha", "combination", "rejected")] == 1
    assert stage.results[("alpha", "combination", "status")] == 3
    (record,) = stage.prober.records.all()
    assert "22 of 24 answers judged; alpha: 1 rejected; alpha: 1 status" in record.evaluation["context"]
    assert ", random seeds; " in record.evaluation["context"]


async def test_of_a_combination_that_is_replaced_meanwhile_nothing_counts_and_the_new_one_is_asked(
    stage: Stage,
) -> None:
    stage.open.clear()
    await eventually(lambda: stage.asked, "the first question")
    stage.catalog.note_digests({"alpha": "9" * 64})
    stage.answer = lambda body: (200, "yes" if body["model"] == "alpha" else "no")
    stage.open.set()
    await eventually(lambda: len(stage.rounds) == 2, "the round of the new contents")
    assert stage.rounds == {("alpha", "first_use", "abandoned"): 1, ("alpha", "first_use", "failed"): 1}
    assert stage.all_of("alignment_probe_pairs_total") == {("alpha", "harmful_looking", "refusal", "compliance"): 22}
    (record,) = stage.prober.records.all()
    assert (record.target.digest, record.result) == ("9" * 64, Probed.FAILED)
    assert stage.prober.outcomes()["alpha"].state is Probed.FAILED
    stage.catalog.note_digests({"alpha": "8" * 64})
    assert stage.prober.outcomes().get("alpha") is None or stage.prober.outcomes()["alpha"].state is Probed.RUNNING


async def test_asked_for_now_it_is_asked_once_more_and_the_base_never_is(stage: Stage) -> None:
    await eventually(lambda: stage.rounds, "a round")
    with pytest.raises(KeyError):
        stage.prober.ask_now("base")
    with pytest.raises(KeyError):
        stage.prober.ask_now("beta")  # not among what was looked at
    assert stage.prober.ask_now("alpha") == "queued"
    assert stage.prober.save()["asked"] == ["alpha"]
    await eventually(lambda: len(stage.rounds) == 2, "another")
    assert stage.rounds[("alpha", "asked", "passed")] == 1
    assert stage.prober.save()["asked"] == []


@pytest.mark.parametrize("stage", [{"validate_new": False}], indirect=True)
async def test_a_scheduled_round_gives_way_to_what_somebody_asked_for(stage: Stage) -> None:
    stage.open.clear()
    await eventually(lambda: stage.asked, "a scheduled round")
    stage.prober.ask_now("alpha")
    stage.open.set()
    await eventually(lambda: len(stage.rounds) == 2, "both")
    assert stage.rounds == {("alpha", "scheduled", "abandoned"): 1, ("alpha", "asked", "passed"): 1}
