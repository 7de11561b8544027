"""A state survives the death of the process that was writing it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from monitor.snapshot import SLOT_BYTES, Snapshot


@pytest.fixture
def descriptor() -> Iterator[int]:
    memory = os.memfd_create("snapshot")
    yield memory
    os.close(memory)


def test_the_latest_state_is_restored_by_a_successor(descriptor: int) -> None:
    assert Snapshot(descriptor).restore() is None
    for number in range(5):
        assert Snapshot(descriptor).save({"number": number, "text": "é" * number})
        assert Snapshot(descriptor).restore() == {"number": number, "text": "é" * number}


@pytest.mark.parametrize(
    ("at", "damage"), [(0, bytes(16)), (8, b"\xff"), (12, b"\xff"), (16, b"\xff"), (20, b"\xff\xff")]
)
def test_a_state_that_was_not_written_to_its_end_leaves_the_one_before(descriptor: int, at: int, damage: bytes) -> None:
    snapshot = Snapshot(descriptor)
    for number in range(4):
        snapshot.save({"number": number})
    slot = 0 if os.pread(descriptor, 8, 0) > os.pread(descriptor, 8, SLOT_BYTES) else 1
    os.pwrite(descriptor, damage, slot * SLOT_BYTES + at)
    successor = Snapshot(descriptor)
    restored = successor.restore()
    assert restored == {"number": 2}
    assert successor.save({"number": 9})
    assert Snapshot(descriptor).restore() == {"number": 9}


def test_a_state_beyond_a_slot_is_refused_and_the_one_before_stays(descriptor: int) -> None:
    snapshot = Snapshot(descriptor)
    assert snapshot.save({"number": 1})
    assert not snapshot.save({"text": "x" * SLOT_BYTES})
    assert snapshot.restore() == {"number": 1}
