"""Stored examples through the API: behind their own token, in the audit, in pages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from api_bench import ApiBench
from evidence_desk import fill, keeper_in

from monitor.config.model import AdminSection

READ, EVIDENCE, ADMIN = (f"{scope}-token-of-the-tests" for scope in ("read", "evidence", "admin"))


def section(folder: Path) -> AdminSection:
    files = {}
    for scope, token in (("read", READ), ("evidence", EVIDENCE), ("admin", ADMIN)):
        (folder / scope).write_text(token)
        files[f"{scope}_token_file"] = folder / scope
    return AdminSection(**files, audit_file=folder / "audit")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ApiBench]:
    """With five examples in its store."""
    keeper = keeper_in(tmp_path)
    made = ApiBench(section(tmp_path), keeper=keeper)
    await fill(keeper)
    runner = await made.start()
    yield made
    await runner.cleanup()
    keeper.close(10)


def audit(folder: Path) -> list[dict[str, Any]]:
    file = folder / "audit"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


async def test_only_the_evidence_token_reads_and_only_the_admin_token_removes(bench: ApiBench, tmp_path: Path) -> None:
    body = {"by": "kim", "reason": "asked", "which": {"what": "everything"}}
    for token, status in (("", 401), ("wrong-wrong-wrong-wrong", 401), (READ, 403), (ADMIN, 403)):
        for path in ("/api/v1/evidence", "/api/v1/evidence/x"):
            assert (await bench.ask(path, token=token))[0] == status
    for token, status in (("", 401), (READ, 403), (EVIDENCE, 403)):
        assert (await bench.ask("/api/v1/evidence/purge", "POST", body, token=token))[0] == status
    assert audit(tmp_path) == [], "who was turned away did nothing"


async def test_examples_come_in_pages_by_what_was_asked_for(bench: ApiBench) -> None:
    seen, path = [], "/api/v1/evidence?limit=2"
    while path:
        status, found, headers = await bench.ask(path, token=EVIDENCE)
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        seen += [one["prompt"] for one in found["examples"]]
        path = f"/api/v1/evidence?limit=2&cursor={found['next']}" if found["next"] else ""
    assert seen == [f"prompt {number}" for number in (4, 3, 2, 1, 0)]
    for query, count in (
        ("combination=a%2Bb", 4), ("combination=base", 1), ("outcome=refusal", 1), ("signal=refusal_lost", 4),
        ("finding=f1", 1), ("finding=f2", 0), ("combination=base&outcome=compliance", 0),
    ):  # fmt: skip
        assert len((await bench.ask(f"/api/v1/evidence?{query}", token=EVIDENCE))[1]["examples"]) == count, query
    for query, status in (("outcome=odd", 400), ("limit=201", 400), ("cursor=abc", 404), ("colour=red", 400)):
        assert (await bench.ask(f"/api/v1/evidence?{query}", token=EVIDENCE))[0] == status


async def test_every_reading_and_removing_is_in_the_audit_first(bench: ApiBench, tmp_path: Path) -> None:
    _, found, _ = await bench.ask("/api/v1/evidence?combination=base&by=kim", token=EVIDENCE)
    identity = found["examples"][0]["id"]
    assert (await bench.ask(f"/api/v1/evidence/{identity}?by=kim", token=EVIDENCE))[1]["prompt"] == "prompt 4"
    status, done, _ = await bench.ask(
        "/api/v1/evidence/purge",
        "POST",
        {"by": "kim", "reason": "asked", "which": {"what": "ids", "ids": [identity]}},
        token=ADMIN,
    )
    assert (status, done) == (200, {"removed": 1})
    assert (await bench.ask(f"/api/v1/evidence/{identity}", token=EVIDENCE))[0] == 404
    lines = [(one["action"], one["subject"], one.get("by"), one.get("note")) for one in audit(tmp_path)]
    assert lines == [
        ("list_evidence", "combination=base", "kim", None),
        ("read_evidence", identity, "kim", None),
        ("purge_evidence", f"ids={identity}", "kim", "asked"),
        ("read_evidence", identity, None, None),
    ]
    (tmp_path / "audit").unlink()
    (tmp_path / "audit").mkdir()  # cannot be appended to: then nothing is shown either
    assert (await bench.ask("/api/v1/evidence", token=EVIDENCE))[0] == 503


@pytest.mark.parametrize(
    "which",
    [
        {},
        {"what": "ids", "ids": []},
        {"what": "everything", "combination": "base"},
        {"what": "older"},
        {"what": "combination", "combination": ""},
        {"ids": ["x"]},
    ],
)
async def test_a_purge_must_say_clearly_what_it_is_of(bench: ApiBench, which: dict[str, Any]) -> None:
    body = {"by": "kim", "reason": "asked", "which": which}
    assert (await bench.ask("/api/v1/evidence/purge", "POST", body, token=ADMIN))[0] == 400
    assert len((await bench.ask("/api/v1/evidence", token=EVIDENCE))[1]["examples"]) == 5


@pytest.mark.parametrize(
    ("which", "left"),
    [
        ({"what": "everything"}, 0),
        ({"what": "combination", "combination": "base"}, 4),
        ({"what": "combination", "combination": "base", "before": 1}, 5),
        ({"what": "combination", "combination": "org/ab"}, 1),
        ({"what": "older", "before": 1e10}, 0),
    ],
)
async def test_a_purge_removes_what_it_says(bench: ApiBench, which: dict[str, Any], left: int) -> None:
    body = {"by": "kim", "reason": "asked", "which": which}
    done = (await bench.ask("/api/v1/evidence/purge", "POST", body, token=ADMIN))[1]
    assert done == {"removed": 5 - left}
    assert len((await bench.ask("/api/v1/evidence", token=EVIDENCE))[1]["examples"]) == left


async def test_examples_are_listed_by_the_served_name_of_their_combination_too(bench: ApiBench) -> None:
    listed = (await bench.ask("/api/v1/evidence?combination=org/ab", token=EVIDENCE))[1]["examples"]
    assert {one["combination"] for one in listed} == {"a+b"}
    assert len(listed) == 4
    assert (await bench.ask("/api/v1/evidence?combination=nobody", token=EVIDENCE))[1]["examples"] == []


async def test_a_store_that_is_off_says_so_behind_its_token(tmp_path: Path) -> None:
    made = ApiBench(section(tmp_path))
    runner = await made.start()
    try:
        assert (await made.ask("/api/v1/evidence"))[0] == 401
        status, found, _ = await made.ask("/api/v1/evidence", token=EVIDENCE)
        assert (status, found["detail"]) == (409, "nothing is stored: the evidence store is off (evidence.enabled)")
        body = {"by": "kim", "reason": "asked", "which": {"what": "everything"}}
        assert (await made.ask("/api/v1/evidence/purge", "POST", body, token=ADMIN))[0] == 409
    finally:
        await runner.cleanup()
