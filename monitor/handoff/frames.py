"""What travels from a proxy worker to the analysis process, and how it is cut into datagrams.

The channel is a Unix SOCK_SEQPACKET pair whose two ends the supervisor keeps open: message boundaries survive the
death of the analysis process, so its successor reads on at the next datagram, with no connecting and no resynchronising.
A datagram must stay well below the socket's send buffer (208 KiB by default on Linux), so a large exchange is cut into
fragments. Fragments of one exchange follow each other on one channel; one that misses its beginning is discarded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from monitor.records import Exchange
from monitor.telemetry.counts import SupervisorReport, WorkerReport

DATAGRAM_BYTES: Final = 64 * 1024
"""Largest datagram; a receiver's buffer has this size."""

BATCH: Final = b"B"
FRAGMENT: Final = b"F"
REPORT: Final = b"R"

_LENGTH: Final = struct.Struct("!I")
_FRAGMENT_HEAD: Final = struct.Struct("!cIHH")
FRAGMENT_BYTES: Final = DATAGRAM_BYTES - _FRAGMENT_HEAD.size
MAX_FRAGMENTS: Final = 0xFFFF

_exchange_encoder = msgspec.msgpack.Encoder()
_exchange_decoder = msgspec.msgpack.Decoder(Exchange)


class Stats(msgspec.Struct, frozen=True):
    """One report, of either kind."""

    worker: WorkerReport | None = None
    supervisor: SupervisorReport | None = None


_report_encoder = msgspec.msgpack.Encoder()
_report_decoder = msgspec.msgpack.Decoder(Stats)


def encode_exchange(exchange: Exchange) -> bytes:
    """One exchange as bytes."""
    return _exchange_encoder.encode(exchange)


def decode_exchange(frame: bytes | memoryview) -> Exchange:
    """The exchange in a frame. Raises msgspec.DecodeError."""
    return _exchange_decoder.decode(frame)


def encode_report(stats: Stats) -> bytes:
    """A report as one datagram."""
    return REPORT + _report_encoder.encode(stats)


def decode_report(datagram: bytes | memoryview) -> Stats:
    """The report in a datagram. Raises msgspec.DecodeError."""
    return _report_decoder.decode(datagram[1:])


def encode_batch(frames: list[bytes]) -> bytes:
    """Several small frames as one datagram."""
    parts = [BATCH]
    for frame in frames:
        parts.append(_LENGTH.pack(len(frame)))
        parts.append(frame)
    return b"".join(parts)


def batch_cost(frame: bytes) -> int:
    """Bytes that a frame takes in a batch."""
    return _LENGTH.size + len(frame)


def split_batch(datagram: bytes) -> Iterator[memoryview]:
    """The frames of a batch. Raises ValueError when the datagram is damaged."""
    view = memoryview(datagram)
    at = 1
    while at < len(view):
        if at + _LENGTH.size > len(view):
            raise ValueError("a batch ends inside a length")
        (length,) = _LENGTH.unpack_from(view, at)
        at += _LENGTH.size
        if at + length > len(view):
            raise ValueError("a batch ends inside a frame")
        yield view[at : at + length]
        at += length


def encode_fragments(serial: int, frame: bytes) -> list[bytes]:
    """A large frame as datagrams, in order.

    Raises ValueError when the frame needs more fragments than can be numbered.
    """
    pieces = [frame[at : at + FRAGMENT_BYTES] for at in range(0, len(frame), FRAGMENT_BYTES)]
    if len(pieces) > MAX_FRAGMENTS:
        raise ValueError(f"a frame of {len(frame)} bytes is too large to hand off")
    return [
        _FRAGMENT_HEAD.pack(FRAGMENT, serial & 0xFFFFFFFF, number, len(pieces)) + piece
        for number, piece in enumerate(pieces)
    ]


class Assembler:
    """Puts the fragments of one channel together again."""

    def __init__(self) -> None:
        self.lost = 0
        """Exchanges of which a fragment was missing."""
        self._serial = -1
        self._lost_serial = -1
        """The exchange given up last, of which more may come."""
        self._pieces: list[bytes] = []

    def add(self, datagram: bytes) -> bytes | None:
        """Take the next fragment; the whole frame when it was the last one. Raises struct.error when damaged."""
        _, serial, number, total = _FRAGMENT_HEAD.unpack_from(datagram)
        if self._pieces and (serial != self._serial or number != len(self._pieces)):
            self._lose(self._serial)
        if number == 0:
            self._lost_serial = -1  # a restarted worker counts from the beginning
        elif not self._pieces:
            if number == total - 1:
                self._lose(serial)  # its beginning went to a process that died
            return None
        self._serial = serial
        self._pieces.append(datagram[_FRAGMENT_HEAD.size :])
        if len(self._pieces) < total:
            return None
        frame = b"".join(self._pieces)
        self._pieces = []
        return frame

    def _lose(self, serial: int) -> None:
        """Give up an exchange, counted once however many of its fragments still come."""
        self._pieces = []
        if serial != self._lost_serial:
            self._lost_serial = serial
            self.lost += 1
