"""Messages to a receiver of the operator's own: a bounded queue, one sender, and patience.

Nothing waits for it but its own tasks. What was told and what still waits are in the snapshot, which is written as soon as a
message was taken: a restart neither loses nor repeats one. Between the receiver's yes and that moment lie microseconds; a
process that dies just then, or a receiver that takes a message without saying so in time, sees the same id again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from monitor.findings import Case
from monitor.outputs.incidents import Incidents
from monitor.outputs.message import Message, plain
from monitor.outputs.receiver import REJECTED, Receiver, ReceiverError
from monitor.telemetry.logs import Repeats, where_it_failed
from monitor.telemetry.webhook_metrics import WebhookMetrics

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Seconds between two looks at the findings."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 300.0
LATE_S: Final = 300.0
"""Seconds that a message may wait before the status page says so; as in the alert AlignmentWebhookUndelivered."""

Sleep = Callable[[float], Awaitable[None]]


class Webhook:
    """Looks at the findings, and sends what has to be told."""

    def __init__(
        self,
        receiver: Receiver,
        incidents: Incidents,
        cases: Callable[[], Sequence[Case]],
        metrics: WebhookMetrics,
        chance: random.Random,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """cases: all findings. clock: Unix seconds."""
        self._receiver = receiver
        self._incidents = incidents
        self._cases = cases
        self._metrics = metrics
        self._random = chance
        self._sleep = sleep
        self._clock = clock
        self._waiting: deque[Message] = deque()
        """In the order in which they are sent."""
        self._sent: Message | None = None
        """On its way now."""
        self._wanted = asyncio.Event()
        self._failures = 0
        """Attempts that failed, one after the other."""
        self._trouble = ""
        """Why the latest attempt failed, "" when it did not."""
        self._repeats = Repeats()
        self.on_taken: Callable[[], None] = lambda: None
        """Called when a message was taken, or will never be: a successor must know."""

    @property
    def waiting(self) -> int:
        """Messages that wait."""
        return len(self._waiting)

    async def run(self) -> None:
        """Look and send for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_for_ever(), name="webhook look")
            group.create_task(self._send_for_ever(), name="webhook sender")

    def look(self) -> None:
        """Queue what has to be told now."""
        for message in self._incidents.look(self._cases(), self._clock()):
            self._queue(message)
        self._measure()

    def note(self) -> str:
        """What has to be said of it on the status page, "" for nothing."""
        late = self._late_s()
        if late <= LATE_S:
            return ""
        minutes = f"{late / 60:.0f} minutes"
        return f"{self.waiting} messages to the webhook's receiver wait, the oldest for {minutes}: {self._trouble or 'it is slow'}."

    def stop(self) -> None:
        """The process ends."""
        if self._waiting:
            log.warning("%d messages to the webhook's receiver were not sent yet", self.waiting)

    def save(self) -> dict[str, Any]:
        """What a successor needs, as plain JSON values."""
        return {"told": self._incidents.save(), "waiting": [plain(message) for message in self._waiting]}

    def restore(self, saved: object) -> None:
        """Carry on from what `save` gave. Raises ValueError when it is not that."""
        if not isinstance(saved, dict):
            raise ValueError("it has no messages")
        waiting = msgspec.convert(saved.get("waiting"), list[Message])
        self._incidents.restore(saved.get("told"))
        self._waiting.extend(waiting)
        self._measure()
        if self._waiting:
            self._wanted.set()

    async def _look_for_ever(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001  # a defect on one finding must not end all messages
                self._complain("internal", f"looking at the findings failed: {where_it_failed(error)}")
                self._metrics.errors.labels("internal").inc()
            await self._sleep(LOOK_S)

    async def _send_for_ever(self) -> None:
        while True:
            while not self._waiting:
                self._wanted.clear()
                await self._wanted.wait()
            pause = await self._send(self._waiting[0])
            if pause:
                await self._sleep(pause)

    async def _send(self, message: Message) -> float:
        """One attempt; the seconds to wait before the next."""
        self._sent = message
        try:
            await self._receiver.send(message)
        except ReceiverError as error:
            return self._failed(message, str(error), error.retry_after_s)
        except Exception as error:  # noqa: BLE001  # a defect must not end the sender
            log.error("a message could not be sent: %s", where_it_failed(error))
            return self._failed(message, "internal", 0.0)
        finally:
            self._sent = None
        self._failures, self._trouble = 0, ""
        self._metrics.messages.labels(message.event.value, message.severity).inc()
        log.info("told the webhook's receiver: %s %s of %s", message.severity, message.event, message.combination)
        self._done(message)
        return 0.0

    def _failed(self, message: Message, reason: str, wanted_s: float) -> float:
        self._metrics.errors.labels(reason).inc()
        self._trouble = reason
        self._complain(reason, f"a message was not taken by the webhook's receiver: {reason}")
        if reason == REJECTED:
            self._metrics.dropped.labels(REJECTED).inc()
            self._done(message)
            return FIRST_PAUSE_S
        grown = min(FIRST_PAUSE_S * 2.0 ** min(self._failures, 10), LONGEST_PAUSE_S)
        self._failures += 1
        return max(grown * self._random.uniform(0.5, 1.0), wanted_s)

    def _done(self, message: Message) -> None:
        if message in self._waiting:
            self._waiting.remove(message)
        self._measure()
        self.on_taken()

    def _queue(self, message: Message) -> None:
        self._waiting.append(message)
        if len(self._waiting) > self._receiver.section.queue:
            others = [one for one in self._waiting if one is not self._sent and one is not message] or [message]
            gone = next((one for one in others if one.combination == message.combination), others[0])
            self._waiting.remove(gone)
            self._metrics.dropped.labels("queue").inc()
            self._complain("queue", "a message is not sent: too many wait for the webhook's receiver")
        self._wanted.set()

    def _late_s(self) -> float:
        return max(0.0, self._clock() - self._waiting[0].time) if self._waiting else 0.0

    def _measure(self) -> None:
        self._metrics.waiting.set(self.waiting)
        self._metrics.waiting_s.set(self._late_s())

    def _complain(self, kind: str, text: str) -> None:
        left_out = self._repeats.allow(kind, time.monotonic())
        if left_out is not None:
            log.warning("%s (%d more before)", text, left_out)
