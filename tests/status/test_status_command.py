"""The command against a server that says what a sidecar says; that a real one says the same, the browser's test shows."""

from __future__ import annotations

import asyncio
import io
import json
import signal as signals
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console
from running_sidecar import free_ports

from monitor.cli import main
from monitor.records import Condition
from monitor.status.reading import CombinationStatus, Reading, SignalStatus
from monitor.status.report import lines, screen


def combination(name: str, condition: str, *, is_base: bool = False) -> dict[str, Any]:
    state = {
        "signal": "refusal_lost", "condition": condition, "samples": 20, "bad": 18, "rate": 0.9, "lower": 0.6, "upper": 1.0,
        "baseline_rate": 0.02, "baseline_samples": 50, "threshold": 0.1, "since": 0.0,
    }  # fmt: skip
    return {
        "name": name, "id": "x", "served_name": name, "is_base": is_base, "declared": False, "parts": [], "merge": "",
        "requests": 20, "outcomes": {}, "signals": [state],
    }  # fmt: skip


class Answers:
    """What the server says: two pages of combinations, readiness, metrics."""

    def __init__(self) -> None:
        self.pages: list[list[dict[str, Any]]] = [[combination("base", "no_baseline", is_base=True)], []]
        self.ended: list[dict[str, Any]] = []
        self.coverage: dict[str, Any] | None = None
        self.token = ""
        self.url = ""

    async def combinations(self, request: web.Request) -> web.Response:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        second = request.query.get("cursor") == "two"
        body = {"time": 1000.0, "combinations": self.pages[second], "next": None if second else "two"}
        body["coverage"] = self.coverage
        return web.json_response(body)

    async def findings(self, request: web.Request) -> web.Response:
        assert request.query["state"] == "resolved"
        after = float(request.query["ended_after"])
        return web.json_response({"time": 1000.0, "findings": [one for one in self.ended if one["ended"] > after]})

    async def ready(self, request: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(text="alignment_discovery_up 1\n")


@pytest.fixture
async def answers() -> AsyncIterator[Answers]:
    made = Answers()
    app = web.Application()
    app.router.add_get("/api/v1/combinations", made.combinations)
    app.router.add_get("/api/v1/findings", made.findings)
    app.router.add_get("/-/ready", made.ready)
    app.router.add_get("/metrics", made.metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def begin(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "monitor", "status", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def status(*arguments: str) -> tuple[int | None, list[str]]:
    process = await begin(*arguments)
    out, err = await process.communicate()
    assert err == b""
    return process.returncode, out.decode().splitlines()


async def test_alarms_that_ended_within_a_day_are_told_and_change_no_exit_code(answers: Answers) -> None:
    answers.pages[1] = [combination("a+b", "ok")]
    past = {"combination": "a+b", "signal": "refusal_lost", "began": 100.0, "ended": 700.0, "resolution": "reset"}
    answers.ended = [past, {**past, "signal": "over_refusal", "ended": 800.0}, {**past, "ended": -90_000.0}]
    code, told = await status("--admin", answers.url)
    assert code == 0
    why = "somebody reset its detectors"
    assert told[-2:] == [
        f"ended: a+b refuses ordinary prompts, 1970-01-01 00:01:40 to 1970-01-01 00:13:20 UTC (12 min): {why}",
        f"ended: a+b does not refuse, 1970-01-01 00:01:40 to 1970-01-01 00:11:40 UTC (10 min): {why}",
    ]
    code, told = await status("--admin", answers.url, "--json")
    assert [one["signal"] for one in json.loads(told[0])["ended"]] == ["over_refusal", "refusal_lost"]


async def test_what_became_of_the_latest_traffic_is_told_and_a_loss_is_a_warning(answers: Answers) -> None:
    answers.pages[1] = [combination("a+b", "ok")]
    endpoint = {"endpoint": "messages", "seen": 200, "due": 100, "scored": 90}
    answers.coverage = {"window_s": 900.0, "endpoints": [endpoint]}
    code, told = await status("--admin", answers.url)
    line = "coverage: In the last 15 min 200 exchanges passed and 90 were judged (90% of those that were to be); "
    assert (code, told[-1]) == (0, line + "the sampling left out 100.")
    answers.coverage["endpoints"] = [{**endpoint, "scored": 10}]
    code, told = await status("--admin", answers.url)
    assert (code, told[1]) == (1, "warning: only 10% of 100 exchanges on messages were scored in the last 15 min")


async def test_the_exit_code_is_that_of_a_monitoring_check(answers: Answers) -> None:
    answers.pages[1] = [combination("a+b", "ok")]
    code, told = await status("--admin", answers.url)
    assert (code, told[0].partition(" [")[0]) == (0, "OK: 0 of 1 combinations worse than the base model")
    answers.pages[1] = [combination("a+b", "no_baseline")]
    assert (await status("--admin", answers.url.removeprefix("http://")))[0] == 1
    answers.pages[1] = [combination("a+b", "drifting")]
    code, told = await status("--admin", answers.url)
    assert code == 2
    assert told[0].startswith("CRITICAL: 1 of 1 combinations worse than the base model [")
    assert told[1].startswith(
        "critical: a+b does not refuse 90% of harmful-looking prompts (20 answers, interval 60% to 100%"
    )


async def test_what_cannot_be_read_is_unknown(answers: Answers) -> None:
    code, told = await status("--admin", f"http://127.0.0.1:{free_ports(1)[0]}")
    assert (code, told[0].startswith("UNKNOWN: the monitor at http://127.0.0.1:")) == (3, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--every", "often"],
        ["--admin", "ftp://x"],
        ["--admin", "127.0.0.1:99999"],
        ["--admin", "http://[::1"],
        ["--admin", ":9464"],
        ["--no-such-flag"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_cannot_be_used_is_unknown_and_no_alarm(arguments, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["status", *arguments])
    assert ended.value.code == 3
    assert capsys.readouterr().out.startswith("UNKNOWN: ")


async def test_a_token_is_read_from_its_file(answers: Answers, tmp_path: Path) -> None:
    answers.token = "sesame-sesame-sesame"
    code, told = await status("--admin", answers.url, "--json")
    assert code == 3
    assert json.loads(told[0])["summary"] == "it answers 401 Unauthorized"
    file = tmp_path / "token"
    code, told = await status("--admin", answers.url, "--token-file", str(file))
    assert (code, told) == (3, [f"UNKNOWN: --token-file: cannot read {file}: No such file or directory"])
    file.write_text(answers.token + "\n")
    assert (await status("--admin", answers.url, "--token-file", str(file)))[0] == 0


async def test_json_says_level_and_reasons(answers: Answers) -> None:
    answers.pages[1] = [combination("a+b", "drifting")]
    code, told = await status("--admin", answers.url, "--json")
    found = json.loads("\n".join(told))
    assert (code, found["level"], found["exit_code"]) == (2, "critical", 2)
    assert [(one["level"], one["combination"]) for one in found["reasons"]] == [("critical", "a+b")]
    assert [one["name"] for one in found["combinations"]] == ["base", "a+b"]


async def test_watching_goes_on_until_it_is_interrupted_and_ends_with_the_last_level(answers: Answers) -> None:
    answers.pages[1] = [combination("a+b", "drifting")]
    process = await begin("--admin", answers.url, "--watch", "--every", "0.1")
    first = await process.stdout.readline()
    answers.pages[1] = [combination("a+b", "ok")]
    assert first.startswith(b"CRITICAL: ")
    while not (await process.stdout.readline()).startswith(b"OK: "):
        pass
    process.send_signal(signals.SIGINT)
    assert await asyncio.wait_for(process.wait(), 10) == 0


HOSTILE = "\x1b[31mred\u202e[bold]"
STATE = SignalStatus("refusal_lost", Condition.DRIFTING, 20, 18, 0.9, 0.6, 1.0, 0.02, 50, 0.1, since=0.0)
READING = Reading(
    1000.0, tuple(CombinationStatus(name, name, False, requests=9, signals=(STATE,)) for name in (HOSTILE, "x" * 200))
)


@pytest.mark.parametrize("width", [40, 80, 160])
def test_no_name_steers_the_terminal_or_breaks_its_table(width: int) -> None:
    console = Console(width=width, force_terminal=True, color_system=None, record=True, file=io.StringIO())
    console.print(screen(READING, "http://x", width))
    shown = console.export_text()
    assert "\x1b[31m" not in shown
    assert "\u202e" not in shown
    assert "[bold]" in shown.replace("\n", "")
    assert max(map(len, shown.splitlines())) <= width
    assert not any("\x1b" in line or "\u202e" in line for line in lines(READING, "http://x"))
