"""The table of decisions crosses from the analysis process to the workers, and survives both."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from monitor.enforcement import SLOT_BYTES, Decision, Policy, PolicyStore


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = os.memfd_create("test-policy")
    yield descriptor
    os.close(descriptor)


def test_a_reader_sees_what_was_published_last_and_a_late_one_too(memory: int) -> None:
    reader, writer = PolicyStore(memory), PolicyStore(memory)
    assert reader.policy is None
    for reason in ("unvalidated", "", "quarantined"):
        policy = Policy({"ab": Decision("alpha+beta", reason, "why")}, unlisted=Decision("unlisted", "unlisted"))
        assert writer.publish(policy)
        assert not writer.publish(policy), "nothing changed"
        reader.refresh()
        assert reader.policy == policy
        assert PolicyStore(memory).policy == policy


def test_damaged_memory_leaves_the_decisions_in_force(memory: int) -> None:
    reader, writer = PolicyStore(memory), PolicyStore(memory)
    policy = Policy({"ab": Decision("ab", "quarantined")})
    writer.publish(policy)
    reader.refresh()
    writer.publish(Policy({}))
    for slot in (0, 1):
        os.pwrite(memory, b"\xff" * 4, slot * SLOT_BYTES + 16)
    reader.refresh()
    assert reader.policy == policy


def test_a_table_that_is_too_large_is_not_published(memory: int, caplog: pytest.LogCaptureFixture) -> None:
    store = PolicyStore(memory)
    kept = Policy({"ab": Decision("ab", "quarantined")})
    store.publish(kept)
    assert not store.publish(Policy({str(number): Decision("x" * 4096) for number in range(1100)}))
    assert "too large" in caplog.text
    assert PolicyStore(memory).policy == store.policy == kept
