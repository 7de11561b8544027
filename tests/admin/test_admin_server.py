from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import AsyncIterator, Sequence
from html import escape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from yarl import URL

from monitor.adapters import Catalog, Registry, ServedModel
from monitor.adapters.pairs import Pair
from monitor.adapters.timeline import Timeline
from monitor.admin import Sources, build_admin, combinations_view, reading
from monitor.admin.pages import combination, link, overview, pairs
from monitor.arrival import Arrival
from monitor.config.model import DriftSection
from monitor.drift import SequentialDetector
from monitor.findings import Acknowledgement
from monitor.pipeline import Pipeline
from monitor.records import Choice, Dialogue, Item, Outcome, Prompt, Stratum, Verdict
from monitor.telemetry.metrics import Metrics
from monitor.telemetry.recent import Coverage, Judged

NOTHING = {"scorer": {"name": "x", "version": "1", "risk_version": "r1"}, "mismatches": [], "events": []}
EVIL = "<script>alert(1)</script>"


class YesMeansCompliance:
    name = "words"
    version = "1"
    risk_version = "r1"

    def score(self, items: Sequence[Item]) -> list[Verdict]:
        outcomes = (Outcome.COMPLIANCE if item.response == "yes" else Outcome.REFUSAL for item in items)
        return [
            Verdict(outcome, self.name, self.version, Stratum.HARMFUL_LOOKING, category="weapons")
            for outcome in outcomes
        ]


class Bench:
    """The admin port of a pipeline with real parts."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        combinations = [
            {"served_name": "ab", "merge": "linear", "parts": [{"adapter": EVIL, "scale": 0.5}, {"adapter": "b"}]}
        ]
        self.catalog = Catalog(Registry.model_validate({"combinations": combinations}), 10, 60)
        self.catalog.update([ServedModel("base", ""), ServedModel("ab", "base"), ServedModel(EVIL, "base")])
        section = DriftSection(window=20, minimum_samples=10, minimum_base_samples=10, average_run_length=1000)
        self.pipeline = Pipeline(
            self.catalog, YesMeansCompliance(), SequentialDetector(section), Metrics(registry, "0"), []
        )
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.look_notes = lambda: self.notes
        self.now = 1000.0
        self.coverage: Coverage | None = None
        operations = reading(Sources(self.view, Registry, Timeline(), self.pipeline.drifts.findings))
        self.app = build_admin(
            registry,
            self.view,
            lambda: self.problems,
            lambda: self.look_notes(),
            self.pipeline.drifts.trends.of,
            operations,
            cases=lambda: self.pipeline.drifts.findings.cases,
        )
        self.url = ""

    def view(self) -> dict[str, Any]:
        return combinations_view(self.catalog, self.pipeline, self.now, coverage=self.coverage)

    def page(self) -> str:
        return overview(self.view(), self.notes, self.pipeline.drifts.trends.of)

    def say(self, model: str, answer: str, times: int = 1) -> None:
        dialogue = Dialogue((Prompt("x"),), (Choice(0, 0, answer, finish_reason="stop"),), model, model)
        self.pipeline.take([Arrival(dialogue, "chat_completions", 940.0)] * times)

    def drift(self) -> None:
        self.say("base", "no", 20)
        self.say("ab", "yes", 20)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    runner = web.AppRunner(made.app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def get(bench: Bench, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.get(bench.url + path, headers=headers) as response:
        return response.status, await response.text(), dict(response.headers)


async def test_it_lives_even_when_it_is_not_ready(bench: Bench) -> None:
    bench.problems.append("no report from proxy worker 0")
    assert (await get(bench, "/-/live"))[:2] == (200, "alive\n")
    status, body, _ = await get(bench, "/-/ready")
    assert (status, json.loads(body)) == (503, {"ready": False, "problems": ["no report from proxy worker 0"]})
    bench.problems.clear()
    status, body, _ = await get(bench, "/-/ready")
    assert (status, json.loads(body)) == (200, {"ready": True})


async def test_metrics_are_prometheus_text_compressed_on_request(bench: Bench) -> None:
    status, body, headers = await get(bench, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert 'alignment_build_info{version="0"} 1.0' in body
    ask = {"url": bench.url + "/metrics", "headers": {"Accept-Encoding": "gzip"}}
    async with aiohttp.ClientSession(auto_decompress=False) as session, session.get(**ask) as response:
        assert gzip.decompress(await response.read()).decode().startswith("# HELP")


async def test_the_api_gives_every_combination_with_null_for_what_is_not_known(bench: Bench) -> None:
    bench.drift()
    status, body, headers = await get(bench, "/api/v1/combinations")
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "application/json")
    view = json.loads(body)
    assert view["time"] == 1000.0
    base, ab, evil = sorted(view["combinations"], key=lambda one: ["base", "ab", EVIL].index(one["served_name"]))
    assert (base["is_base"], base["parts"], base["requests"], base["outcomes"]["refusal"]) == (True, [], 20, 20)
    assert set(base["outcomes"]) == {outcome.value for outcome in Outcome}
    assert (ab["name"], ab["declared"], ab["merge"]) == (f"0.5*{EVIL}+b", True, "linear")
    assert ab["parts"] == [{"adapter": EVIL, "scale": 0.5}, {"adapter": "b", "scale": 1.0}]
    assert len(ab["id"]) == 12
    signals = {signal["signal"]: signal for signal in ab["signals"]}
    lost = signals["refusal_lost"]
    assert (lost["condition"], lost["samples"], lost["bad"], lost["rate"], lost["baseline_rate"]) == (
        "drifting",
        20,
        20,
        1,
        0,
    )
    assert (signals["over_refusal"]["rate"], signals["over_refusal"]["threshold"]) == (None, None)
    assert (evil["declared"], evil["requests"], evil["last_sample"], evil["signals"]) == (False, 0, None, [])
    assert "NaN" not in body


@pytest.mark.parametrize("path", ["/x", "/api/v1/", "/-/", "/api/v1/combinations/"])
async def test_there_is_nothing_else(bench: Bench, path: str) -> None:
    assert (await get(bench, path))[0] == 404


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/combinations", "/-/ready"])
async def test_nothing_can_be_changed(bench: Bench, path: str) -> None:
    async with aiohttp.ClientSession() as session:
        for method in ("POST", "PUT", "DELETE"):
            async with session.request(method, bench.url + path) as response:
                assert response.status == 405


@pytest.mark.parametrize(
    "path", ["/", "/combinations/base", "/combinations/nobody", "/runbooks", "/runbooks/AlignmentRefusalLost", "/pairs"]
)
async def test_a_page_may_load_and_run_nothing_but_the_port_s_own_files(bench: Bench, path: str) -> None:
    status, body, headers = await get(bench, path)
    assert (status, headers["Content-Type"]) == (404 if "nobody" in path else 200, "text/html; charset=utf-8")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son\w+=|<img", body)
    depth = path.count("/") - 1
    for address in re.findall(r'<(?:link|script)[^>]*(?:href|src)="([^"]+)"', body):
        assert address.startswith("../" * depth + "static/")
        found, _, file_headers = await get(bench, "/" + address.removeprefix("../" * depth))
        assert (found, file_headers["X-Content-Type-Options"]) == (200, "nosniff")


@pytest.mark.parametrize(
    "path", ["/static/pages.py", "/static/..%2Fpages.py", "/static/", "/runbooks/..%2Fpages", "/runbooks/x"]
)
async def test_no_other_file_can_be_read(bench: Bench, path: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(URL(bench.url + path, encoded=True)) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "name", ["a+b", "0.7*a+b#0123456789ab", "org/adapter", "50% <b>", "الأمان", "a b?c=d&e", "..", "x" * 200, EVIL]
)
async def test_a_combination_of_any_name_has_a_page_of_its_own(bench: Bench, name: str) -> None:
    bench.catalog.update([ServedModel("base", ""), ServedModel(name, "base")])
    async with aiohttp.ClientSession() as session:
        for address in (link(name), f"combinations?name={quote_plus(name)}"):
            async with session.get(URL(f"{bench.url}/{address}", encoded=True)) as response:
                body = await response.text()
                assert response.status == 200, address
                assert f'<h1><bdi class="name">{escape(name)}</bdi></h1>' in body.replace("&#34;", "&quot;")
    assert f'href="{escape(link(name))}"' in bench.page()


async def test_a_name_whose_slash_was_not_escaped_is_found_and_its_page_finds_its_files(bench: Bench) -> None:
    bench.catalog.update([ServedModel("base", ""), ServedModel("org/adapter", "base")])
    status, body, _ = await get(bench, "/combinations/org/adapter")
    assert status == 200
    assert 'href="../../static/console.css"' in body


class Balance(HTMLParser):
    """Notes tags that are opened and not closed, or closed and not opened."""

    VOID = frozenset({"meta", "link", "rect", "line", "circle", "polyline", "polygon"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)


def shown(bench: Bench, name: str) -> str:
    page = combination(bench.view(), name, bench.pipeline.drifts.trends.of)
    assert page is not None
    return page


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<.*?>", " ", html))


async def test_names_cannot_break_out_of_the_page(bench: Bench) -> None:
    bench.drift()
    bench.say(EVIL, "no", 3)
    bench.notes.append(EVIL)
    pages = [bench.page(), pairs(bench.view(), ()), *(shown(bench, name) for name in (f"0.5*{EVIL}+b", EVIL, "base"))]
    assert bench.page().count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
    for page in pages:
        assert page.count("<script") == 1  # the port's own file
        balance = Balance()
        balance.feed(page)
        assert (balance.open, balance.wrong) == ([], [])


async def test_the_summary_says_who_is_worse_than_what_since_when_and_on_how_many_answers(bench: Bench) -> None:
    bench.drift()
    summary = re.search(r"<section.*?</section>", bench.page(), re.DOTALL).group()
    text = text_of(summary).strip()
    assert text.startswith("▲ 1 combination is worse than the base model")
    assert "does not refuse 100% of harmful-looking prompts (20 answers, interval 78% to 100%; base 0%)" in text
    assert ", since 1970-01-01 00:15:40 UTC (60 s ago)" in text
    assert text.endswith("cause: unknown: no answer of its parts to the same prompts has been compared")
    assert "<title>(1) Alignment monitor</title>" in bench.page()


async def test_the_worst_comes_first_then_the_base(bench: Bench) -> None:
    bench.drift()
    names = re.findall(r'<th scope="row"[^>]*><a [^>]*><bdi class="name">(.*?)</bdi>', bench.page())
    assert [name.partition("*")[0] for name in names] == ["0.5", "base", "&lt;script&gt;alert(1)&lt;/script&gt;"]


async def test_not_knowing_is_not_shown_as_good(bench: Bench) -> None:
    assert "Nothing can be said yet: too few answers" in bench.page()
    bench.say("base", "no", 20)
    bench.say("ab", "no", 5)
    assert "Nothing can be said yet: too few answers" in bench.page()
    bench.say("ab", "no", 15)
    assert "No combination is known to be worse" in bench.page()
    assert "Of 1 of 2 too little is known yet." in bench.page()


async def test_an_empty_monitor_has_a_page(bench: Bench) -> None:
    assert "No model is known yet" in overview({"time": 0.0, "combinations": []}, [], lambda _: {})


async def test_clocks_that_differ_do_not_show_the_future(bench: Bench) -> None:
    bench.now = 900.0
    bench.drift()
    assert "latest just now" in bench.page()
    assert "(just now)</li>" in bench.page()
    assert math.isfinite(bench.now)


async def test_a_combination_s_page_says_what_was_found_on_what_and_what_to_do(bench: Bench) -> None:
    bench.drift()
    text = text_of(shown(bench, f"0.5*{EVIL}+b"))
    assert "▲ Worse than the base model" in text
    assert "It does not refuse 100% of harmful-looking prompts (20 answers, interval 78% to 100%; base 0%)" in text
    assert "Stop routing requests to ab , or unload it. Runbook AlignmentRefusalLost" in text
    for term in (
        "Answers 20 of 20",
        "Base model 0% of 20",
        "Judged by the scorer words, version 1 ",
        "100% of what an alarm needs",
    ):
        assert term in text
    assert "compliance 20 100%" in text
    base = text_of(shown(bench, "base"))
    assert "● the reference" in base
    assert "Worse than" not in base
    assert "What to do" not in base


async def test_how_much_of_the_latest_traffic_was_judged_stands_on_the_first_page(bench: Bench) -> None:
    assert "were judged" not in (await get(bench, "/"))[1]
    bench.coverage = Coverage(900.0, {"messages": Judged(200, 100, 90)})
    first = (await get(bench, "/"))[1]
    assert "In the last 15 min 200 exchanges passed and 90 were judged (90% of those that were to be)" in first
    assert 'class="note"' not in first
    bench.coverage = Coverage(900.0, {"messages": Judged(200, 100, 9)})
    note = "Only 9% of 100 exchanges on messages were scored in the last 15 min."
    assert f'<p class="note">{note}</p>' in (await get(bench, "/"))[1]
    answer = json.loads((await get(bench, "/api/v1/combinations"))[1])
    endpoint = {"endpoint": "messages", "seen": 200, "due": 100, "scored": 9}
    assert answer["coverage"] == {"window_s": 900.0, "endpoints": [endpoint]}


async def test_an_alarm_that_ended_is_still_told_when_why_and_how_long(bench: Bench) -> None:
    name = f"0.5*{EVIL}+b"
    bench.drift()
    (case,) = [one for one in bench.pipeline.drifts.findings.cases if one.signal == "refusal_lost"]
    bench.pipeline.drifts.findings.acknowledge(case, Acknowledgement(1500.0, "kim <3"))
    timeline = (await get(bench, f"/combinations?name={quote_plus(name)}"))[1].partition('id="timeline"')[2]
    assert "▲" in timeline
    assert "alarm: does not refuse" in timeline
    assert "alarm acknowledged: does not refuse (by kim &lt;3)" in timeline
    bench.pipeline.reset(name, 940.0 + 3 * 3600)
    bench.now = 940.0 + 4 * 3600
    timeline = (await get(bench, f"/combinations?name={quote_plus(name)}"))[1].partition('id="timeline"')[2]
    assert "▲" not in timeline
    entries = re.findall(r"<li.*?</li>", timeline)
    assert "60 min ago" in entries[0]
    assert "alarm ended: does not refuse (somebody reset its detectors; it stood for 3 h)" in entries[0]
    assert "alarm: does not refuse" in entries[-1]
    first = (await get(bench, "/"))[1]
    assert "No combination is known to be worse" in first or "too few answers" in first
    assert "alarm ended: does not refuse (somebody reset its detectors; it stood for 3 h)" in first
    bench.now += 86_400
    assert "alarm ended" not in (await get(bench, "/"))[1], "that was more than a day ago"


async def test_what_was_found_of_a_combination_that_is_gone_stands_where_its_alert_led(bench: Bench) -> None:
    bench.drift()
    name = f"0.5*{EVIL}+b"
    bench.catalog.update([ServedModel("base", "")])
    bench.catalog.expire(0)
    bench.pipeline.forget(bench.catalog.expire(1000), 1000.0, "unloaded")
    status, page, _ = await get(bench, f"/combinations?name={quote_plus(name)}")
    assert status == 404
    assert "alarm ended: does not refuse (it is not served any more; it stood for 60 s)" in page
    assert EVIL not in page


async def test_the_page_of_a_combination_is_found_by_its_served_name_too(bench: Bench) -> None:
    status, body, _ = await get(bench, "/combinations/ab")
    found = next(one for one in bench.view()["combinations"] if one["served_name"] == "ab")
    assert status == 200
    assert f'<h1><bdi class="name">{escape(found["name"])}</bdi></h1>' in body.replace("&#34;", "&quot;")


async def test_a_combination_that_is_not_known_says_so_without_echoing_markup(bench: Bench) -> None:
    status, body, _ = await get(bench, "/combinations/%3Cscript%3Ealert(2)%3C%2Fscript%3E")
    assert status == 404
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in body
    assert "<script>" not in body


async def test_categories_stand_beside_their_outcomes(bench: Bench) -> None:
    bench.say("ab", "yes", 3)
    tally = bench.pipeline.counts.tallies[f"0.5*{EVIL}+b"]
    assert tally.categories == {"weapons": {"compliance": 3}}
    assert "weapons 0 3 0 0 0" in text_of(shown(bench, f"0.5*{EVIL}+b"))
    bench.pipeline.restore(json.loads(json.dumps(bench.pipeline.save())))
    assert bench.pipeline.counts.tallies[f"0.5*{EVIL}+b"].categories == {"weapons": {"compliance": 3}}


async def test_who_only_refuses_too_much_comes_after_who_is_a_danger(bench: Bench) -> None:
    bench.drift()
    view = bench.view()
    quality = {**view["combinations"][2], "name": "a", "id": "a", "signals": []}
    lost = next(
        signal for one in view["combinations"] for signal in one["signals"] if signal["condition"] == "drifting"
    )
    quality["signals"] = [{**lost, "signal": "over_refusal"}]
    page = overview({**view, "combinations": [quality, *view["combinations"]]}, [], lambda _: {})
    assert page.index(escape(f"0.5*{EVIL}+b")) < page.index('<bdi class="name">a</bdi>')
    assert "2 combinations are worse" in page


RANKED = (
    Pair("b", "c", 9.0, 0.25, 0.5, 0.0, None),
    Pair("b", EVIL, 4.0, 0.11, 0.2, 0.1, None),
    Pair(EVIL, "c", 1.0, -0.02, 0.0, 0.0, None),
)


async def test_a_pair_is_told_by_what_its_adapters_do_together_and_alone(bench: Bench) -> None:
    bench.drift()
    bench.say(EVIL, "no", 20)
    page = pairs(bench.view(), RANKED)
    assert "<title>(1) Pairs" in page
    row = re.search(r"<tbody role.*?</tbody>", page, re.DOTALL).group()
    text = text_of(row)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; and b" in text
    assert "▲ worse" in text
    assert "does not refuse 100% of 20, base 0%" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; : ✓ as base b : – not served alone" in text
    assert "place 2, cosine 0.11" in text
    matrix = re.search(r'<table class="matrix".*?</table>', page, re.DOTALL).group()
    assert matrix.count("▲") == 2  # either way round
    first = text_of(page[page.index('id="first"') :])
    assert first.index("1 b and c 9 0.25 50% 0%") < first.index(
        "3 &lt;script&gt;alert(1)&lt;/script&gt; and c 1 -0.02 0% 0%"
    )
    assert "2 &lt;script" not in first


async def test_what_is_not_known_of_pairs_is_said(bench: Bench) -> None:
    assert "Their weights were not compared" in pairs(bench.view(), ())
    assert "No two adapters are known to be served together" in pairs({"time": 0.0, "combinations": [], **NOTHING}, ())
    assert "All pairs of served adapters are served together" in pairs(bench.view(), RANKED[1:2])


async def test_a_matrix_of_many_adapters_shows_the_worst_and_counts_the_rest(bench: Bench) -> None:
    bench.drift()
    view = bench.view()
    ab = next(one for one in view["combinations"] if one["served_name"] == "ab")
    many = [
        {
            **ab,
            "name": f"m{i:02}",
            "id": f"{i}",
            "signals": [],
            "parts": [{"adapter": f"{x}{i:02}", "scale": 1.0} for x in "no"],
        }
        for i in range(20)
    ]
    page = pairs({**view, "combinations": [*many, *view["combinations"]]}, ())
    matrix = re.search(r'<table class="matrix".*?</table>', page, re.DOTALL).group()
    assert matrix.count('<th scope="row">') == 24
    assert "▲" in matrix
    assert "18 more adapters do not fit in here" in page


async def test_a_page_that_fails_says_where_in_the_log_and_quotes_nobody(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> list[str]:
        raise KeyError("the text of a prompt")

    bench.look_notes = fails
    status, text, _ = await get(bench, "/")
    assert (status, text) == (500, "an error of the monitor's own; its log has the place\n")
    said = "\n".join(one.getMessage() + (one.exc_text or "") for one in caplog.records)
    assert "GET / failed: KeyError at test_admin_server.py" in said
    assert "the text" not in said
