"""The worker's end of the hand-off: it never blocks and never grows beyond its bound.

What does not fit is dropped and counted. Exchanges are gathered for a few milliseconds and sent as one datagram, because
the system call costs more than the copying.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from monitor.handoff.frames import (
    DATAGRAM_BYTES,
    FRAGMENT_BYTES,
    MAX_FRAGMENTS,
    Stats,
    batch_cost,
    encode_batch,
    encode_exchange,
    encode_fragments,
    encode_report,
)
from monitor.records import Exchange

GATHER_S: Final = 0.005
"""Seconds for which exchanges are gathered into one datagram; adds as much to the age of a sample, nothing to a reply."""


class BoundedSender:
    """Queues exchanges and reports for the analysis process.

    Memory: at most `queue_bytes` of frames beside the datagrams in the making: 64 KiB, or one large exchange.
    """

    def __init__(
        self, channel: socket.socket, loop: asyncio.AbstractEventLoop, queue_bytes: int, queue_exchanges: int
    ) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._loop = loop
        self._max_bytes = queue_bytes
        self._max_exchanges = queue_exchanges
        self._frames: deque[bytes] = deque()
        self._datagrams: deque[bytes] = deque()
        """Datagrams of the frame or batch that is being sent now."""
        self._making = 0
        """Exchanges in these datagrams."""
        self._report: bytes | None = None
        """The latest report; it overtakes the queue and replaces its predecessor."""
        self._gathering: asyncio.TimerHandle | None = None
        self._waiting_writable = False
        self._serial = 0
        self.queued_bytes = 0
        self.dropped: Counter[str] = Counter()

    @property
    def queued_exchanges(self) -> int:
        """Exchanges that wait."""
        return len(self._frames)

    def offer(self, exchange: Exchange) -> bool:
        """Queue an exchange; False when there was no room and it was dropped."""
        if len(self._frames) >= self._max_exchanges:
            self.dropped["queue_full"] += 1
            return False
        body = len(exchange.request) + len(exchange.response)
        if self.queued_bytes + body > self._max_bytes:  # encoding it would be work for nothing
            self.dropped["queue_bytes"] += 1
            return False
        frame = encode_exchange(exchange)
        if self.queued_bytes + len(frame) > self._max_bytes:
            self.dropped["queue_bytes"] += 1
            return False
        if len(frame) > FRAGMENT_BYTES * MAX_FRAGMENTS:
            self.dropped["too_large"] += 1
            return False
        self._frames.append(frame)
        self.queued_bytes += len(frame)
        self._schedule()
        return True

    def report(self, stats: Stats) -> None:
        """Send these counts as soon as the channel takes them; an unsent older report is forgotten."""
        self._report = encode_report(stats)
        self._schedule()

    def flush(self) -> None:
        """Send what the channel takes now, without waiting."""
        if self._gathering:
            self._gathering.cancel()
            self._gathering = None
        while (datagram := self._next()) is not None:
            try:
                self._channel.send(datagram)
            except BlockingIOError:
                self._wait_writable()
                return
            except OSError:
                self._give_up(datagram)
            else:
                self._sent(datagram)
        self._stop_waiting()

    async def drained(self, within_s: float) -> None:
        """Wait until everything is sent, at most so long; what is left then is dropped and counted."""
        deadline = self._loop.time() + within_s
        self.flush()
        while (self._frames or self._datagrams) and self._loop.time() < deadline:
            await asyncio.sleep(GATHER_S)
        if left := len(self._frames):
            self.dropped["shutdown"] += left
            self._frames.clear()
            self.queued_bytes = 0

    def close(self) -> None:
        """Send what can be sent at once and give the channel up."""
        self.flush()
        self._stop_waiting()
        self._channel.close()

    def _schedule(self) -> None:
        if self._gathering is None and not self._waiting_writable:
            self._gathering = self._loop.call_later(GATHER_S, self.flush)

    def _next(self) -> bytes | None:
        if not self._datagrams:
            if self._report is not None:
                return self._report
            self._fill()
        return self._datagrams[0] if self._datagrams else None

    def _sent(self, datagram: bytes) -> None:
        if datagram is self._report:
            self._report = None
        else:
            self._datagrams.popleft()

    def _give_up(self, datagram: bytes) -> None:
        """The channel refuses this datagram for good: the exchanges in it, and in those that belong to it, are lost."""
        if datagram is self._report:
            self._report = None
        else:
            self.dropped["channel_error"] += self._making
            self._datagrams.clear()

    def _fill(self) -> None:
        """Turn the next frames into datagrams."""
        batch: list[bytes] = []
        size = 1
        while self._frames:
            cost = batch_cost(self._frames[0])
            if size + cost > DATAGRAM_BYTES:
                break
            frame = self._frames.popleft()
            self.queued_bytes -= len(frame)
            batch.append(frame)
            size += cost
        self._making = max(1, len(batch))
        if batch:
            self._datagrams.append(encode_batch(batch))
        elif self._frames:
            frame = self._frames.popleft()
            self.queued_bytes -= len(frame)
            self._serial += 1
            self._datagrams.extend(encode_fragments(self._serial, frame))

    def _wait_writable(self) -> None:
        if not self._waiting_writable:
            self._waiting_writable = True
            callback: Callable[[], None] = self.flush
            self._loop.add_writer(self._channel, callback)

    def _stop_waiting(self) -> None:
        if self._waiting_writable:
            self._waiting_writable = False
            self._loop.remove_writer(self._channel)
