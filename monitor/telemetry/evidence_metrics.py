"""What is kept of examples, and whether it can be; all zero while the evidence store is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

DROPPED: Final = ("budget", "queue", "unwritable", "failed", "shutdown")
"""Why a chosen example is not stored: `evidence.per_minute` is used up, the queue is full, the disk does not take it, a defect
of ours, the end of the process."""
REMOVED: Final = ("age", "bytes", "purged")
KEPT_FOR: Final = ("finding", "sample")


class EvidenceMetrics:
    """The evidence store. Counted by its thread as well as by the event loop, which prometheus-client allows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.enabled = Gauge(
            "alignment_evidence_enabled", "1 when examples are stored (evidence.enabled).", registry=registry
        )
        self.writable = Gauge(
            "alignment_evidence_writable",
            "1 when the evidence store could be written at the latest try, at most half a minute ago; 0 when not, or off.",
            registry=registry,
        )
        self.stored = Counter("alignment_evidence_stored", "Examples written to the evidence store.", registry=registry)
        self.dropped = Counter(
            "alignment_evidence_dropped",
            "Examples that were chosen for the evidence store and are not in it, and why.",
            ["reason"],
            registry=registry,
        )
        self.removed = Counter(
            "alignment_evidence_removed",
            "Examples removed from the evidence store, and why.",
            ["reason"],
            registry=registry,
        )
        self.write_errors = Counter(
            "alignment_evidence_write_errors", "Attempts to write the evidence store that failed.", registry=registry
        )
        self.redactions = Counter(
            "alignment_evidence_redactions",
            "What was redacted in stored examples, by kind.",
            ["kind"],
            registry=registry,
        )
        self.bytes = Gauge("alignment_evidence_bytes", "Size of the evidence store's file in bytes.", registry=registry)
        self.bytes_limit = Gauge(
            "alignment_evidence_bytes_limit",
            "Its largest allowed size in bytes (evidence.max_bytes).",
            registry=registry,
        )
        self.examples = Gauge(
            "alignment_evidence_examples",
            "Examples in the evidence store: those that a finding names, and the others.",
            ["kept_for"],
            registry=registry,
        )
        self.oldest = Gauge(
            "alignment_evidence_oldest_timestamp_seconds",
            "Unix time of the oldest stored example; absent when there is none.",
            ["kept_for"],
            registry=registry,
        )
        for reason in DROPPED:
            self.dropped.labels(reason)
        for reason in REMOVED:
            self.removed.labels(reason)
        for kind in KEPT_FOR:
            self.examples.labels(kind)

    def show_size(self, size: int, examples: Mapping[str, int], oldest: Mapping[str, float]) -> None:
        """What is stored now, by what it is kept for."""
        self.bytes.set(size)
        for kind in KEPT_FOR:
            self.examples.labels(kind).set(examples.get(kind, 0))
            if kind in oldest:
                self.oldest.labels(kind).set(oldest[kind])
            else:
                self.oldest.remove(kind)
