"""What the other processes count and report to the analysis process, which alone exports metrics."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_BLOCKED: Final = 2048
"""Combinations and reasons whose refused requests are counted apart; what comes beyond counts as `other`."""
MAX_BLOCKED_BYTES: Final = 32 * 1024
"""Bytes of their names: with 12 more for each, a report must stay below the 64 KiB of a datagram."""


class WorkerReport(msgspec.Struct, frozen=True):
    """What one worker counted since its start; cumulative, so that a lost report loses nothing."""

    worker: int
    """Index of the worker, from 0."""
    epoch: float
    """When the worker started, Unix seconds: a new epoch begins its counts at zero."""
    seen: dict[str, int]
    """Endpoint -> exchanges ended."""
    sampled: dict[str, int]
    """Endpoint -> exchanges chosen for scoring."""
    skipped: dict[str, int]
    """"endpoint reason" -> exchanges not chosen."""
    dropped: dict[str, int]
    """Reason -> chosen exchanges that were lost before the analysis process could read them."""
    endings: dict[str, int]
    """Ending -> exchanges."""
    responses: dict[str, int]
    """Class of the status ("2xx") -> responses."""
    rejected: dict[str, int]
    """Reason -> requests refused by the proxy itself."""
    denied: dict[str, int]
    """Route, or `unlisted` -> requests that its being closed refused."""
    connections: int
    """Client connections open now."""
    queue_exchanges: int
    """Exchanges that wait for the analysis process now."""
    queue_bytes: int
    latency_buckets: list[int]
    """Observations of added latency per bucket (not cumulated), one more than there are bounds."""
    latency_sum: float
    """Sum of the added latency in seconds."""
    blocked: dict[str, int] = msgspec.field(default_factory=dict)
    """"reason combination" -> requests that the policy kept from the server."""


class SupervisorReport(msgspec.Struct, frozen=True):
    """What the supervisor counted since its start."""

    worker_restarts: int
    analysis_restarts: int
