"""What travels from a worker to the analysis process arrives whole or not at all."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.handoff.frames import (
    FRAGMENT_BYTES,
    Assembler,
    decode_exchange,
    decode_report,
    encode_batch,
    encode_exchange,
    encode_fragments,
    encode_report,
    split_batch,
)
from monitor.handoff.frames import Stats as Report
from monitor.records import Ending, Exchange
from monitor.telemetry.counts import SupervisorReport

TEXT = st.text(max_size=20)
EXCHANGES = st.builds(
    Exchange,
    started=st.floats(0, 2e9),
    method=TEXT,
    target=TEXT,
    status=st.integers(0, 599),
    ending=st.sampled_from(Ending),
    inclusion=st.floats(0.001, 1),
    request=st.binary(max_size=200),
    response=st.binary(max_size=200),
    request_bytes=st.integers(0, 1 << 40),
    response_bytes=st.integers(0, 1 << 40),
    request_encoding=TEXT,
    response_type=TEXT,
    response_encoding=TEXT,
    first_byte_s=st.floats(-1, 1e6),
    duration_s=st.floats(0, 1e6),
    request_id=TEXT,
    adapter_header=TEXT,
)


@given(exchange=EXCHANGES)
def test_an_exchange_comes_back_as_it_was(exchange: Exchange) -> None:
    assert decode_exchange(encode_exchange(exchange)) == exchange


@given(frames=st.lists(st.binary(max_size=300), max_size=20))
def test_a_batch_is_split_into_the_frames_it_was_made_of(frames: list[bytes]) -> None:
    assert [bytes(frame) for frame in split_batch(encode_batch(frames))] == frames


@given(frames=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), cut=st.integers(1, 1000))
def test_a_batch_that_is_cut_never_gives_a_frame_that_was_not_in_it(frames: list[bytes], cut: int) -> None:
    datagram = encode_batch(frames)[:-cut] or b"B"
    found = []
    try:
        for frame in split_batch(datagram):
            found.append(bytes(frame))
    except ValueError:
        pass
    assert found == frames[: len(found)]


def test_a_report_comes_back_as_it_was() -> None:
    report = Report(supervisor=SupervisorReport(2, 3))
    assert decode_report(encode_report(report)) == report


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    lost=st.sets(st.integers(0, 39), max_size=10),
    restarted_at=st.integers(0, 8),
)
@settings(deadline=None)
def test_an_exchange_is_put_together_from_all_its_fragments_or_counted_as_lost(
    sizes: list[int], lost: set[int], restarted_at: int
) -> None:
    """Losing fragments happens when an analysis process dies with what it had read; a worker that dies numbers anew."""
    frames = [bytes([number]) * (size * FRAGMENT_BYTES - 7) for number, size in enumerate(sizes)]
    assembler, whole, expected, touched = Assembler(), [], [], 0
    position = 0
    for number, frame in enumerate(frames):
        serial = number if number < restarted_at else number - restarted_at
        fragments = encode_fragments(serial, frame)
        arriving = [fragment for at, fragment in enumerate(fragments, position) if at not in lost]
        position += len(fragments)
        if len(arriving) == len(fragments):
            expected.append(frame)
        elif arriving:
            touched += 1
        whole += [found for fragment in arriving if (found := assembler.add(fragment)) is not None]
    assert whole == expected
    assert assembler.lost <= touched


def test_losses_inside_a_frame_are_counted_once_each() -> None:
    first, second, third = encode_fragments(1, bytes(3 * FRAGMENT_BYTES))
    assembler = Assembler()
    for fragment in (second, third):  # its beginning went to a process that died
        assert assembler.add(fragment) is None
    for fragment in (first, third):
        assert assembler.add(fragment) is None
    assert [assembler.add(fragment) for fragment in (first, second, third)] == [None, None, bytes(3 * FRAGMENT_BYTES)]
    assert assembler.lost == 2


def test_damaged_bytes_raise_what_the_receiver_expects() -> None:
    with pytest.raises(struct.error):
        Assembler().add(b"F12")
    with pytest.raises(msgspec.DecodeError):
        decode_exchange(b"\x93\x01")
    with pytest.raises(msgspec.DecodeError):
        decode_report(b"Rxx")
