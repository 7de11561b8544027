"""Stored examples of what was asked and answered: off by default, redacted, bounded, and behind a token of their own."""

from monitor.evidence.example import Example, Filter, Kept, Purge
from monitor.evidence.reader import EvidenceError, Reader

__all__ = ["EvidenceError", "Example", "Filter", "Kept", "Purge", "Reader"]
