"""What became of the messages to a receiver of the operator's own; all zero while none is configured."""

from __future__ import annotations

from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

ERRORS: Final = (
    "timeout",
    "connection",
    "unauthorized",
    "overloaded",
    "rejected",
    "status",
    "secret",
    "internal",
)
"""Why an attempt failed."""
DROPPED: Final = ("queue", "rejected")
"""Why a message is never sent: too many waited, or the receiver will not take it."""


class WebhookMetrics:
    """Messages, attempts that failed, and how long the oldest waits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "alignment_webhook_messages",
            "Messages that the receiver has taken, by what they tell (opened, raised or closed) and severity.",
            ["event", "severity"],
            registry=registry,
        )
        self.errors = Counter(
            "alignment_webhook_errors",
            "Attempts to send a message that failed, and why.",
            ["reason"],
            registry=registry,
        )
        self.dropped = Counter(
            "alignment_webhook_dropped",
            "Messages that are never sent: too many waited (queue), or the receiver refused their form (rejected).",
            ["reason"],
            registry=registry,
        )
        self.waiting = Gauge(
            "alignment_webhook_waiting", "Messages that wait to be taken by the receiver.", registry=registry
        )
        self.waiting_s = Gauge(
            "alignment_webhook_waiting_seconds",
            "For how long the oldest of them has waited; 0 when none waits.",
            registry=registry,
        )
        for event, severity in product(("opened", "raised", "closed"), ("page", "ticket")):
            self.messages.labels(event, severity)
        for reason in ERRORS:
            self.errors.labels(reason)
        for reason in DROPPED:
            self.dropped.labels(reason)
