"""Stored examples on the pages: for whoever shows their token, in the audit, as text and nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from api_bench import ApiBench
from evidence_desk import fill, keeper_in

from monitor.config.model import AdminSection

EVIDENCE, READ = "evidence-token-of-the-tests", "read-token-of-the-tests"


def basic(token: str, user: str = "kim") -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{token}'.encode()).decode()}"}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ApiBench]:
    """With five examples in its store, and org/ab drifting."""
    (tmp_path / "evidence").write_text(EVIDENCE)
    (tmp_path / "read").write_text(READ)
    keeper = keeper_in(tmp_path)
    section = AdminSection(evidence_token_file=tmp_path / "evidence", audit_file=tmp_path / "audit")
    made = ApiBench(section, keeper=keeper)
    await fill(keeper)
    made.drift()
    runner = await made.start()
    yield made
    await runner.cleanup()
    keeper.close(10)


def audit(folder: Path) -> list[dict[str, Any]]:
    file = folder / "audit"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


async def test_a_browser_is_asked_for_the_token_and_then_shown_everything(bench: ApiBench, tmp_path: Path) -> None:
    status, text, headers = await bench.ask("/evidence")
    assert (status, headers["WWW-Authenticate"].partition(" ")[0]) == (401, "Basic")
    assert "prompt" not in text
    status, text, headers = await bench.ask("/evidence", **basic(EVIDENCE))
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert [f"prompt {number}" in text for number in range(5)] == [True] * 5
    assert "finding f1" in text
    _, text, _ = await bench.ask("/evidence?finding=f1", **basic(EVIDENCE))
    assert [f"prompt {number}" in text for number in range(5)] == [True, False, False, False, False]
    assert "The base model, asked the same: refusal." in text
    assert [(one["action"], one["subject"], one["by"]) for one in audit(tmp_path)] == [
        ("list_evidence", "all", "kim"),
        ("list_evidence", "finding=f1", "kim"),
    ]


async def test_one_example_has_its_own_page(bench: ApiBench, tmp_path: Path) -> None:
    _, found, _ = await bench.ask("/api/v1/evidence?finding=f1", token=EVIDENCE)
    identity = found["examples"][0]["id"]
    assert (await bench.ask(f"/evidence/{identity}"))[0] == 401
    status, text, _ = await bench.ask(f"/evidence/{identity}", **basic(EVIDENCE))
    assert (status, "prompt 0" in text) == (200, True)
    assert (await bench.ask("/evidence/nothing", **basic(EVIDENCE)))[0] == 404
    assert audit(tmp_path)[-2:][0]["subject"] == identity


async def test_a_combination_shows_its_latest_with_the_token_and_a_link_without(
    bench: ApiBench, tmp_path: Path
) -> None:
    for more in ({}, basic("wrong-wrong-wrong-wrong")):
        _, text, _ = await bench.ask("/combinations/a+b", **more)
        assert "prompt" not in text.replace("prompts", "").replace("prompt&#39;s", "").replace("prompt's", "")
        assert "Examples of its answers" in text
    assert audit(tmp_path) == []
    for _ in range(3):  # it renews itself
        _, text, _ = await bench.ask("/combinations/a+b", **basic(EVIDENCE))
        assert ["prompt 3" in text, "prompt 2" in text, "prompt 1" in text, "prompt 0" in text] == [True] * 3 + [False]
    assert [(one["action"], one["subject"]) for one in audit(tmp_path)] == [("list_evidence", "combination=a+b")]
    await bench.ask("/combinations/a+b", **basic(EVIDENCE, "lee"))
    assert len(audit(tmp_path)) == 2, "somebody else read it"


async def test_who_has_the_token_of_another_scope_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text(EVIDENCE)
    (tmp_path / "read").write_text(READ)
    keeper = keeper_in(tmp_path)
    section = AdminSection(evidence_token_file=tmp_path / "evidence", read_token_file=tmp_path / "read")
    made = ApiBench(section, keeper=keeper)
    runner = await made.start()
    try:
        status, _, headers = await made.ask("/evidence", **basic(READ))
        assert (status, "WWW-Authenticate" in headers) == (401, True)
        assert (await made.ask("/", **basic(EVIDENCE)))[0] == 200
    finally:
        await runner.cleanup()
        keeper.close(10)


async def test_nothing_is_shown_that_the_audit_cannot_hold(bench: ApiBench, tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    assert (await bench.ask("/evidence", **basic(EVIDENCE)))[0] == 503
    status, text, _ = await bench.ask("/combinations/a+b", **basic(EVIDENCE))
    assert (status, "prompt 3" in text) == (200, False)
    assert "the audit file cannot be written" in text


async def test_without_a_store_there_is_no_page_and_no_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text(EVIDENCE)
    made = ApiBench(AdminSection(evidence_token_file=tmp_path / "evidence"))
    runner = await made.start()
    try:
        assert (await made.ask("/evidence", **basic(EVIDENCE)))[0] == 404
        for path in ("/", "/combinations/a+b", "/pairs"):
            assert "evidence?" not in (await made.ask(path))[1]
            assert "Examples" not in (await made.ask(path))[1]
    finally:
        await runner.cleanup()
