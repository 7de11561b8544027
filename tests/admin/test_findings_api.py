from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_bench import ApiBench

from monitor.adapters import ServedModel
from monitor.config.model import AdminSection

READ, ADMIN = "read-0123456789abcdef", "admin-0123456789abcdef"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ApiBench]:
    (tmp_path / "admin").write_text(ADMIN)
    (tmp_path / "read").write_text(READ)
    section = AdminSection(
        admin_token_file=tmp_path / "admin", read_token_file=tmp_path / "read", audit_file=tmp_path / "audit.jsonl"
    )
    made = ApiBench(section)
    made.pipeline.drifts.history = lambda combination: [
        {"time": 1.0, "kind": "loaded", "name": combination.served_name}
    ]
    runner = await made.start()
    yield made
    await runner.cleanup()


async def drifting(bench: ApiBench) -> dict[str, Any]:
    bench.say("base", "no", 20)
    bench.say("org/ab", "no", 12, at=1000.0)
    bench.say("org/ab", "yes", 12, at=1100.0)
    found = (await bench.ask("/api/v1/findings", token=READ))[1]["findings"]
    assert len(found) == 1
    one: dict[str, Any] = found[0]
    return one


def audit(bench: ApiBench) -> list[dict[str, Any]]:
    file = bench.section.audit_file
    assert file is not None
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_a_finding_says_what_since_when_how_much_and_what_came_before(bench: ApiBench) -> None:
    found = await drifting(bench)
    assert (found["combination"], found["signal"], found["state"]) == ("a+b", "refusal_lost", "open")
    assert found["changed"] == 1100.0, "the first of the bad answers, not the one at which the evidence sufficed"
    assert found["began"] > found["changed"]
    assert not found["changed_before"]
    assert found["first"]["baseline_rate"] == 0
    assert found["effect"]["lower"] < found["effect"]["difference"] == 1 <= found["effect"]["upper"]
    assert found["categories"] == {"weapons": 12}
    assert [one["kind"] for one in found["before"]] == ["loaded"]
    assert found["latest"]["samples"] >= found["first"]["samples"]
    assert (await bench.ask(f"/api/v1/findings/{found['id']}", token=READ))[1] == found


@pytest.mark.parametrize(
    ("query", "count"), [("state=open", 1), ("state=resolved", 0), ("combination=a%2Bb", 1), ("signal=over_refusal", 0)]
)
async def test_findings_can_be_chosen(bench: ApiBench, query: str, count: int) -> None:
    await drifting(bench)
    assert len((await bench.ask(f"/api/v1/findings?{query}", token=READ))[1]["findings"]) == count


async def test_an_acknowledgement_has_a_name_and_is_audited_and_shown(bench: ApiBench) -> None:
    found = await drifting(bench)
    path = f"/api/v1/findings/{found['id']}/acknowledge"
    assert (await bench.ask(path, "POST", {"by": "kim", "note": "on it"}))[0] == 401
    assert (await bench.ask(path, "POST", {"by": "kim"}, READ))[0] == 403
    assert (await bench.ask(path, "POST", {"note": "on it"}, ADMIN))[0] == 400
    status, answered, _ = await bench.ask(path, "POST", {"by": "kim\nroot", "note": "on it"}, ADMIN)
    assert (status, answered["state"], answered["acknowledged"]["by"]) == (200, "acknowledged", "kim\nroot")
    shown = {"combination": "a+b", "signal": "refusal_lost"}
    value = bench.registry.get_sample_value
    assert value("alignment_findings_open", {**shown, "state": "acknowledged"}) == 1
    assert value("alignment_findings_open", {**shown, "state": "open"}) == 0
    (line,) = audit(bench)
    assert (line["action"], line["subject"], line["by"], line["note"], line["remote"]) == (
        "acknowledge", found["id"], "kim\nroot", "on it", "127.0.0.1",
    )  # fmt: skip
    assert bench.kept == 1
    assert bench.section.audit_file is not None
    assert stat.S_IMODE(bench.section.audit_file.stat().st_mode) == 0o600
    assert (await bench.ask("/api/v1/findings/x/acknowledge", "POST", {"by": "kim"}, ADMIN))[0] == 404


async def test_a_reset_begins_anew_and_ends_what_stood(bench: ApiBench) -> None:
    found = await drifting(bench)
    path = "/api/v1/combinations/org%2Fab/reset"
    assert (await bench.ask(path, "POST", {"by": "kim"}, ADMIN))[0] == 400, "without a reason"
    status, answered, _ = await bench.ask(path, "POST", {"by": "kim", "reason": "new adapter"}, ADMIN)
    assert (status, answered) == (200, {"combination": "a+b", "ended": [found["id"]]})
    after = (await bench.ask(f"/api/v1/findings/{found['id']}", token=READ))[1]
    assert (after["state"], after["resolution"], after["ended"]) == ("resolved", "reset", 1500.0)
    assert (found["lasted"], after["lasted"]) == (None, 1500.0 - found["began"])
    for moment, ids in ((1499, [found["id"]]), (1500, [])):
        past = (await bench.ask(f"/api/v1/findings?state=resolved&ended_after={moment}", token=READ))[1]["findings"]
        assert [one["id"] for one in past] == ids
    assert (await bench.ask("/api/v1/combinations/a+b", token=READ))[1]["signals"] == []
    assert audit(bench)[0]["note"] == "new adapter"
    acknowledge = f"/api/v1/findings/{found['id']}/acknowledge"
    assert (await bench.ask(acknowledge, "POST", {"by": "kim"}, ADMIN))[0] == 409
    assert (await bench.ask("/api/v1/combinations/x/reset", "POST", {"by": "k", "reason": "r"}, ADMIN))[0] == 404
    bench.say("org/ab", "yes", 12, at=2000.0)
    again = (await bench.ask("/api/v1/findings?state=open", token=READ))[1]["findings"]
    assert [one["changed"] for one in again] == [2000.0]


async def test_what_cannot_be_audited_is_not_done(bench: ApiBench) -> None:
    found = await drifting(bench)
    assert bench.section.audit_file is not None
    bench.section.audit_file.mkdir()
    path = f"/api/v1/findings/{found['id']}/acknowledge"
    status, answered, _ = await bench.ask(path, "POST", {"by": "kim"}, ADMIN)
    assert (status, answered["title"]) == (503, "Service Unavailable")
    assert (await bench.ask(f"/api/v1/findings/{found['id']}", token=READ))[1]["state"] == "open"
    assert bench.kept == 0


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"{", "application/json", 400), (b"{}", "text/plain", 415), (b"x" * 70_000, "application/json", 413)],
)
async def test_a_body_that_cannot_be_used_is_a_problem(bench: ApiBench, body: bytes, kind: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": kind}
    url = f"{bench.url}/api/v1/combinations/a+b/reset"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        assert (response.status, (await response.json(content_type=None))["status"]) == (status, status)


async def test_an_unloaded_combination_ends_its_findings(bench: ApiBench) -> None:
    found = await drifting(bench)
    bench.catalog.update([ServedModel("base", "")])
    bench.pipeline.forget(["a+b"], 1700.0, "unloaded")
    after = (await bench.ask(f"/api/v1/findings/{found['id']}", token=READ))[1]
    assert (after["state"], after["resolution"], after["ended"]) == ("resolved", "unloaded", 1700.0)
    assert 'alignment_findings_open{combination="a+b"' not in (await bench.ask("/metrics"))[1]
