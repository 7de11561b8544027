"""The analysis process's end of the hand-off."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter, deque

import msgspec

from monitor.handoff.frames import (
    BATCH,
    DATAGRAM_BYTES,
    FRAGMENT,
    REPORT,
    Assembler,
    Stats,
    decode_exchange,
    decode_report,
    split_batch,
)
from monitor.records import Exchange


class Inbox:
    """Exchanges and reports received from all channels, in order of arrival.

    Reading stops while `limit` exchanges or `limit_bytes` of their bodies wait, so a slow analysis
    fills the kernel's buffer and then the workers' bounded
    queues, where what is too much is dropped and counted.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int, limit_bytes: int) -> None:
        self._loop = loop
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._exchanges: deque[Exchange] = deque()
        self._stats: deque[Stats] = deque()
        self._channels: dict[socket.socket, Assembler] = {}
        self._ended: set[socket.socket] = set()
        self._paused = False
        self._arrived = asyncio.Event()
        self.damaged: Counter[str] = Counter()
        self.received = 0
        """Exchanges that came in whole."""

    def add_channel(self, channel: socket.socket) -> None:
        """Read from this channel from now on."""
        channel.setblocking(False)
        self._channels[channel] = Assembler()
        self._listen()

    @property
    def waiting(self) -> int:
        """Exchanges received and not yet taken."""
        return len(self._exchanges)

    @property
    def lost(self) -> int:
        """Exchanges of which only a part arrived, because an analysis process died while it read them."""
        return sum(assembler.lost for assembler in self._channels.values())

    async def wait(self, timeout_s: float) -> None:
        """Return when something waits, at the latest after the time given."""
        if self._exchanges or self._stats:
            return
        self._arrived.clear()
        try:
            await asyncio.wait_for(self._arrived.wait(), timeout_s)
        except TimeoutError:
            return

    def take(self, most: int) -> list[Exchange]:
        """The oldest exchanges, at most so many."""
        taken = [self._exchanges.popleft() for _ in range(min(most, len(self._exchanges)))]
        self._bytes -= sum(_weight(exchange) for exchange in taken)
        if self._paused and len(self._exchanges) <= self._limit // 2 and self._bytes <= self._limit_bytes // 2:
            self._paused = False
            self._listen()
        return taken

    async def rest(self, seconds: float) -> None:
        """Read nothing for a while, so that more can be judged at once. What comes in stays with the kernel, from which a
        successor of this process would read it.
        """
        self._ignore()
        try:
            await asyncio.sleep(seconds)
        finally:
            if not self._paused:
                self._listen()

    def take_stats(self) -> list[Stats]:
        """All reports that wait."""
        stats = list(self._stats)
        self._stats.clear()
        return stats

    def close(self) -> None:
        """Stop reading."""
        for channel in self._channels:
            self._end(channel)
            channel.close()

    def _read(self, channel: socket.socket) -> None:
        for _ in range(16):  # then other callbacks get their turn
            try:
                datagram = channel.recv(DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except OSError:
                self._end(channel)
                self.damaged["channel_error"] += 1
                break
            if not datagram:  # the supervisor and the worker are gone
                self._end(channel)
                break
            self._accept(channel, datagram)
        self._arrived.set()
        full = len(self._exchanges) >= self._limit or self._bytes >= self._limit_bytes
        if full and not self._paused:
            self._paused = True
            self._ignore()

    def _listen(self) -> None:
        for channel in self._channels.keys() - self._ended:
            self._loop.add_reader(channel, self._read, channel)

    def _ignore(self) -> None:
        for channel in self._channels:
            self._loop.remove_reader(channel)

    def _end(self, channel: socket.socket) -> None:
        self._loop.remove_reader(channel)
        self._ended.add(channel)

    def _accept(self, channel: socket.socket, datagram: bytes) -> None:
        kind = datagram[:1]
        try:
            if kind == BATCH:
                for part in split_batch(datagram):
                    self._keep(decode_exchange(part))
            elif kind == FRAGMENT:
                frame = self._channels[channel].add(datagram)
                if frame is not None:
                    self._keep(decode_exchange(frame))
            elif kind == REPORT:
                self._stats.append(decode_report(datagram))
            else:
                self.damaged["unknown_frame"] += 1
        except (ValueError, struct.error, msgspec.DecodeError):
            self.damaged["damaged_frame"] += 1

    def _keep(self, exchange: Exchange) -> None:
        self.received += 1
        self._exchanges.append(exchange)
        self._bytes += _weight(exchange)


def _weight(exchange: Exchange) -> int:
    """Bytes of memory that a waiting exchange takes, about."""
    return len(exchange.request) + len(exchange.response) + 1024
