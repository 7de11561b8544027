"""The tap: copies what was sampled, bounded, and ends each exchange exactly once.

A copy takes as much memory as the bytes it holds, however small the pieces in which they came. Nothing here waits, parses
JSON or raises into the reply path.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections import Counter
from typing import Final

import msgspec

from monitor.config.model import HandoffSection
from monitor.handoff import BoundedSender
from monitor.protocols.endpoints import ADMIN, OTHER, TAPPED
from monitor.records import Ending, Exchange
from monitor.sampling import Sampler
from monitor.telemetry.buckets import ADDED_LATENCY_BOUNDS
from monitor.telemetry.counts import MAX_BLOCKED, MAX_BLOCKED_BYTES, WorkerReport

_MODEL: Final = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.){1,1536}")')
"""A JSON string of up to 256 characters, each of which a client may have escaped."""
_PEEK_BYTES: Final = 64 * 1024
"""How far into a request its `model` is looked for, only when sampling rates differ by model."""


class Counts:
    """Everything that one worker counts, as plain integers."""

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.epoch = time.time()
        self.seen: Counter[str] = Counter()
        self.sampled: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.endings: Counter[str] = Counter()
        self.responses: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()
        self.blocked: Counter[str] = Counter()
        self._blocked_bytes = 0
        self.latency_buckets = [0] * (len(ADDED_LATENCY_BOUNDS) + 1)
        self.latency_sum = 0.0

    def add_latency(self, seconds: float) -> None:
        """Record how long the proxy itself held one exchange back."""
        self.latency_buckets[bisect_left(ADDED_LATENCY_BOUNDS, seconds)] += 1
        self.latency_sum += seconds

    def block(self, reason: str, combination: str) -> None:
        """The policy kept a request from the server."""
        key = f"{reason} {combination}"
        if key not in self.blocked:
            size = len(key.encode())
            if len(self.blocked) < MAX_BLOCKED and self._blocked_bytes + size <= MAX_BLOCKED_BYTES:
                self._blocked_bytes += size
            else:
                key = f"{reason} other"
        self.blocked[key] += 1

    def report(self, connections: int, sender: BoundedSender) -> WorkerReport:
        """All counts now."""
        return WorkerReport(
            worker=self.worker,
            epoch=self.epoch,
            seen=dict(self.seen),
            sampled=dict(self.sampled),
            skipped=dict(self.skipped),
            dropped=dict(sender.dropped),
            endings=dict(self.endings),
            responses=dict(self.responses),
            rejected=dict(self.rejected),
            denied=dict(self.denied),
            blocked=dict(self.blocked),
            connections=connections,
            queue_exchanges=sender.queued_exchanges,
            queue_bytes=sender.queued_bytes,
            latency_buckets=list(self.latency_buckets),
            latency_sum=self.latency_sum,
        )


class Tap:
    """What all recordings of one worker share."""

    def __init__(
        self, section: HandoffSection, sampler: Sampler, sender: BoundedSender, counts: Counts, opt_out: str = ""
    ) -> None:
        """opt_out: name of the header by which a client says that its request must not be asked again."""
        self.opt_out = opt_out.lower().encode("ascii")
        self.request_limit = section.request_copy_bytes
        self.response_limit = section.response_copy_bytes
        self.sampler = sampler
        self.sender = sender
        self.counts = counts


class Recording:
    """One exchange while it passes."""

    __slots__ = (
        "_begun",
        "_copying",
        "_ended",
        "_inclusion",
        "_request",
        "_response",
        "_started",
        "_tap",
        "_undecided",
        "adapter_header",
        "endpoint",
        "first_byte_s",
        "method",
        "no_replay",
        "request_bytes",
        "request_encoding",
        "request_id",
        "response_bytes",
        "response_encoding",
        "response_type",
        "status",
        "target",
    )

    def __init__(self, tap: Tap, method: str, target: str, endpoint: str) -> None:
        self._tap = tap
        self._started = time.time()
        self._begun = time.perf_counter()
        self._ended = False
        self._request = bytearray()
        self._response = bytearray()
        self._inclusion: float | None = None
        tapped = endpoint in TAPPED
        kept = endpoint == ADMIN or tap.sampler.keeps_all
        self._undecided = tapped and not kept
        """The request's model is not known yet; references are kept until it is."""
        self._copying = tapped
        if tapped and kept:
            self._inclusion = 1.0
        self.method = method
        self.target = target
        self.endpoint = endpoint
        self.status = 0
        self.request_bytes = 0
        self.response_bytes = 0
        self.request_encoding = ""
        self.response_type = ""
        self.response_encoding = ""
        self.first_byte_s = -1.0
        self.request_id = ""
        self.adapter_header = ""
        self.no_replay = False

    def request(self, data: bytes) -> None:
        """A piece of the request's body passed."""
        room = self._tap.request_limit - self.request_bytes
        if self._copying and room > 0:
            self._request += data if len(data) <= room else data[:room]
        self.request_bytes += len(data)
        if self._undecided and self.request_bytes >= _PEEK_BYTES:
            self._decide()

    def request_complete(self) -> None:
        """The request's body has passed."""
        if self._undecided:
            self._decide()

    def response(self, data: bytes) -> None:
        """A piece of the response's body passed."""
        if self.first_byte_s < 0:
            self.first_byte_s = time.perf_counter() - self._begun
        room = self._tap.response_limit - self.response_bytes
        if self._copying and room > 0:
            self._response += data if len(data) <= room else data[:room]
        self.response_bytes += len(data)

    def end(self, ending: Ending) -> None:
        """The exchange is over; later calls change nothing."""
        if self._ended:
            return
        self._ended = True
        if self._undecided:
            self._decide()
        counts = self._tap.counts
        counts.seen[self.endpoint] += 1
        counts.endings[ending] += 1
        if self.status:
            counts.responses[f"{self.status // 100}xx"] += 1
        if self._inclusion is None:
            counts.skipped[f"{self.endpoint} {self._skip_reason()}"] += 1
            return
        counts.sampled[self.endpoint] += 1
        self._tap.sender.offer(self._exchange(ending, self._inclusion))

    def _decide(self) -> None:
        self._undecided = False
        found = _MODEL.search(self._request, 0, _PEEK_BYTES)
        requested = _text(found.group(1)) if found else ""
        self._inclusion = self._tap.sampler.decide(requested, int(self._started // 3600))
        if self._inclusion is None:
            self._copying = False
            self._request.clear()
            self._response.clear()

    def _skip_reason(self) -> str:
        return "not_text" if self.endpoint == OTHER else "not_sampled"

    def _exchange(self, ending: Ending, inclusion: float) -> Exchange:
        return Exchange(
            started=self._started,
            method=self.method,
            target=self.target[:2048],
            status=self.status,
            ending=ending,
            inclusion=inclusion,
            request=bytes(self._request),
            response=bytes(self._response),
            request_bytes=self.request_bytes,
            response_bytes=self.response_bytes,
            request_encoding=self.request_encoding,
            response_type=self.response_type,
            response_encoding=self.response_encoding,
            first_byte_s=self.first_byte_s,
            duration_s=time.perf_counter() - self._begun,
            request_id=self.request_id,
            adapter_header=self.adapter_header,
            no_replay=self.no_replay,
        )


def _text(string: bytes) -> str:
    """What a JSON string says; what it says to nobody stays as it is."""
    try:
        return msgspec.json.decode(string, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return string[1:-1].decode("utf-8", "replace")
