"""The analysis process's state, kept where its death cannot reach it: in an anonymous memory file of the supervisor.

No disk is needed, so it works on a read-only root file system. Two slots are written in turn, so that a process killed
while writing leaves the older one whole.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any, Final

import msgspec

SLOT_BYTES: Final = 32 * 1024 * 1024
"""Room for one state; pages are only taken for what is written."""
SMALL_SLOT_BYTES: Final = 1024 * 1024
_HEAD: Final = struct.Struct("!QII")
"""Serial, length, CRC-32."""


class Snapshot:
    """Saves and restores one JSON-able state through a file descriptor."""

    def __init__(self, descriptor: int, *, begin: int = 0, slot_bytes: int = SLOT_BYTES) -> None:
        """begin: where in the file its two slots of `slot_bytes` lie."""
        self._descriptor = descriptor
        self._begin = begin
        self._slot_bytes = slot_bytes
        self._serial = self.latest()

    def behind(self) -> Snapshot:
        """A second, smaller one, behind this one in the same file."""
        begin = self._begin + 2 * self._slot_bytes
        return Snapshot(self._descriptor, begin=begin, slot_bytes=SMALL_SLOT_BYTES)

    def save(self, state: dict[str, Any] | msgspec.Struct) -> bool:
        """Keep this state; False when it is too large for a slot."""
        payload = msgspec.json.encode(state)
        if len(payload) + _HEAD.size > self._slot_bytes:
            return False
        self._serial += 1
        at = self._begin + (self._serial % 2) * self._slot_bytes
        os.pwrite(self._descriptor, bytes(_HEAD.size), at)
        os.pwrite(self._descriptor, payload, at + _HEAD.size)
        os.pwrite(self._descriptor, _HEAD.pack(self._serial, len(payload), zlib.crc32(payload)), at)
        return True

    def latest(self) -> int:
        """Serial of what was written last, by any process; 0 before the first."""
        return max((head[0] for head in map(self._head, (0, 1)) if head), default=0)

    def restore(self) -> dict[str, Any] | None:
        """The latest whole state, None when there is none."""
        heads = sorted((head for head in map(self._head, (0, 1)) if head), reverse=True)
        for serial, length, checksum in heads:
            at = self._begin + (serial % 2) * self._slot_bytes + _HEAD.size
            payload = os.pread(self._descriptor, length, at)
            if len(payload) == length and zlib.crc32(payload) == checksum:
                state: dict[str, Any] = msgspec.json.decode(payload)
                return state
        return None

    def _head(self, slot: int) -> tuple[int, int, int] | None:
        raw = os.pread(self._descriptor, _HEAD.size, self._begin + slot * self._slot_bytes)
        if len(raw) < _HEAD.size:
            return None
        serial, length, checksum = _HEAD.unpack(raw)
        return (serial, length, checksum) if serial else None
