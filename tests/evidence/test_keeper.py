"""Which examples are kept, and what becomes of them on the way to the disk."""

from __future__ import annotations

import asyncio
import random
import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from monitor.adapters import Identity
from monitor.arrival import Arrival
from monitor.config.model import EvidenceSection
from monitor.evidence import EvidenceError, Filter, Purge
from monitor.evidence.keeper import QUEUE, Keeper
from monitor.evidence.store import FILE
from monitor.records import Choice, Combination, Dialogue, Outcome, Part, Prompt, Stratum, Verdict
from monitor.telemetry.evidence_metrics import EvidenceMetrics

ALPHA = Identity("alpha", Combination("alpha", "base", (Part("alpha"),)))
COMPLIED = Verdict(Outcome.COMPLIANCE, "s", "1", Stratum.HARMFUL_LOOKING)
REFUSED = Verdict(Outcome.REFUSAL, "s", "1", Stratum.HARMFUL_LOOKING)


class Desk:
    """A keeper with its metrics."""

    def __init__(self, place: Path, **settings: Any) -> None:
        self.registry = CollectorRegistry()
        self.metrics = EvidenceMetrics(self.registry)
        self.now = 1e9
        section = EvidenceSection(**({"enabled": True, "folder": place / "evidence", "share": 0} | settings))
        self.keeper = Keeper(section, self.metrics, random.Random(1), lambda: self.now)

    def offer(
        self, verdict: Verdict = COMPLIED, prompt: str = "how?", answer: str = "so", identity: Identity = ALPHA
    ) -> str:
        dialogue = Dialogue((Prompt(prompt),), (Choice(0, 0, answer, finish_reason="stop"),), "alpha", "alpha")
        return self.keeper.offer(
            Arrival(dialogue, "chat_completions", self.now), identity, dialogue.choices[0], verdict
        )

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"alignment_evidence_{name}", labels) or 0.0

    def wait(self, condition: Callable[[], Any], within_s: float = 20.0) -> Any:
        deadline = time.monotonic() + within_s
        while not (found := condition()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return found


@contextmanager
def desk(place: Path, **settings: Any) -> Iterator[Desk]:
    made = Desk(place, **settings)
    made.keeper.start()
    try:
        yield made
    finally:
        made.keeper.close(10)
    assert not [one for one in threading.enumerate() if one.name == "evidence"]


async def test_bad_answers_are_kept_redacted_and_the_others_by_a_share(tmp_path: Path) -> None:
    with desk(tmp_path) as made:
        kept = made.offer(prompt="I am joe@example.com", answer="pay 4111 1111 1111 1111")
        assert made.offer(REFUSED) == ""
        made.wait(lambda: made.value("stored_total"))
        found = await made.keeper.reader.find(kept)
    assert found is not None
    one = found.example
    assert (one.prompt, one.answer) == ("I am [redacted: email]", "pay [redacted: card]")
    assert (one.redacted, one.signals) == ({"email": 1, "card": 1}, ("refusal_lost",))
    assert (one.prompt_characters, one.answer_characters) == (20, 23)
    assert made.value("redactions_total", kind="card") == 1
    with desk(tmp_path, share=1) as made:
        assert made.offer(REFUSED)
        assert made.offer(COMPLIED, identity=Identity("other", None)) == "", (
            "of what has no name of its own nothing is kept"
        )


async def test_the_base_answer_and_the_finding_come_later(tmp_path: Path) -> None:
    with desk(tmp_path) as made:
        first, second = made.offer(), made.offer()
        made.wait(lambda: made.value("stored_total") == 2)
        made.keeper.add_base(first, "no, joe@example.com", Outcome.REFUSAL)
        made.keeper.add_base(second, "so", Outcome.COMPLIANCE)
        made.keeper.add_base("unknown", "x", Outcome.REFUSAL)
        made.keeper.name([first, "unknown"], "finding-1")
        made.wait(lambda: made.value("examples", kept_for="finding") == 1)
        found = await made.keeper.reader.find(first)
        other = await made.keeper.reader.find(second)
    assert found is not None
    assert other is not None
    assert (found.example.base_answer, found.example.base_outcome) == ("no, [redacted: email]", "refusal")
    assert found.example.signals == ("refusal_lost", "refusal_lost_paired")
    assert found.findings == ("finding-1",)
    assert other.example.signals == ("refusal_lost",), "the base did it too"
    assert made.value("stored_total") == 2


def test_a_budget_bounds_what_is_kept_and_leaves_half_of_it_to_bad_answers(tmp_path: Path) -> None:
    made = Desk(tmp_path, per_minute=10, share=1)
    assert sum(bool(made.offer(REFUSED)) for _ in range(20)) == 5
    assert sum(bool(made.offer(COMPLIED)) for _ in range(20)) == 5
    assert made.value("dropped_total", reason="budget") == 30
    made.now += 30
    assert sum(bool(made.offer(COMPLIED)) for _ in range(20)) == 5


def test_what_the_queue_cannot_hold_is_dropped_without_waiting(tmp_path: Path) -> None:
    made = Desk(tmp_path, per_minute=10_000)  # its thread does not run
    began = time.monotonic()
    assert sum(bool(made.offer()) for _ in range(QUEUE + 7)) == QUEUE
    assert time.monotonic() - began < 5
    assert made.value("dropped_total", reason="queue") == 7


async def test_a_disk_that_cannot_be_written_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("monitor.evidence.keeper.RETRY_S", 0.2)
    (tmp_path / "file").write_text("")
    with desk(tmp_path, folder=tmp_path / "file" / "evidence") as made:
        made.offer(prompt="quokka")
        made.wait(lambda: made.value("dropped_total", reason="unwritable") == 1)
        assert (made.value("writable"), made.keeper.problem) == (0, "Not a directory")
        with pytest.raises(EvidenceError, match="Not a directory"):
            await made.keeper.purge(Purge(everything=True))
        (tmp_path / "file").unlink()
        made.wait(lambda: made.value("writable"))
        assert made.keeper.problem == ""
        made.offer()
        made.wait(lambda: made.value("stored_total") == 1)
        assert await made.keeper.purge(Purge(combination="alpha")) == 1
        assert made.value("removed_total", reason="purged") == 1
    assert "quokka" not in caplog.text
    assert "cannot be written: Not a directory" in caplog.text


async def test_a_full_disk_stays_unwritable_however_often_small_things_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("monitor.evidence.keeper.RETRY_S", 0.1)
    monkeypatch.setattr("monitor.evidence.keeper.LOOK_S", 0.1)
    with desk(tmp_path, per_minute=10_000, characters=50_000) as made:
        for _ in range(40):
            made.offer(answer="y " * 25_000)
        made.wait(lambda: made.value("stored_total") == 40)
        # From now on files of this process may not grow, which the disk says as it does when it is full.
        size = (tmp_path / "evidence" / FILE).stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, before[1]))
        try:
            made.offer(answer="quokka " * 5_000)
            made.wait(lambda: made.value("dropped_total", reason="unwritable") == 1)
            tries = made.value("write_errors_total")
            while made.value("write_errors_total") < tries + 5:
                assert made.value("writable") == 0
                await asyncio.sleep(0.01)
            found, _ = await made.keeper.reader.page(Filter(), 9)
            assert len(found) == 9, "what was stored is still read"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        made.wait(lambda: made.value("writable"))
        made.offer(answer="z")
        made.wait(lambda: made.value("stored_total") == 41)
    assert "quokka" not in caplog.text


def test_a_defect_on_one_example_does_not_end_the_thread_or_tell_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with desk(tmp_path) as made:
        redact = made.keeper._redactor.redact

        def fails(text: str, limit: int) -> Any:
            if "quokka" in text:
                raise ValueError(text)
            return redact(text, limit)

        monkeypatch.setattr(made.keeper._redactor, "redact", fails)
        made.offer(prompt="quokka")
        made.wait(lambda: made.value("dropped_total", reason="failed") == 1)
        made.offer()
        made.wait(lambda: made.value("stored_total") == 1)
    assert "quokka" not in caplog.text


def test_what_waits_at_the_end_is_written(tmp_path: Path) -> None:
    with desk(tmp_path) as made:
        for _ in range(50):
            made.offer()
    assert made.value("stored_total") == 50


async def test_a_purge_that_was_given_up_removes_nothing_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.evidence.keeper.PURGE_S", 0.2)
    with desk(tmp_path) as made:
        made.offer()
        made.wait(lambda: made.value("stored_total") == 1)
        with closing(sqlite3.connect(tmp_path / "evidence" / FILE, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            made.offer()  # the thread waits with this
            await asyncio.sleep(0.2)
            with pytest.raises(EvidenceError, match="nothing was removed"):
                await made.keeper.purge(Purge(everything=True))
            other.execute("ROLLBACK")
        made.wait(lambda: made.value("stored_total") == 2)
        made.offer()
        made.wait(lambda: made.value("stored_total") == 3)
        found, _ = await made.keeper.reader.page(Filter(), 10)
    assert len(found) == 3
    assert made.value("dropped_total", reason="failed") == 0
