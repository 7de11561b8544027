"""Bucket bounds of the histograms, in seconds. Fixed, because worker and analysis process must agree on them."""

from __future__ import annotations

from typing import Final

ADDED_LATENCY_BOUNDS: Final = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0,
)  # fmt: skip
"""Time that the proxy itself adds: tens of microseconds when all is well."""

FIRST_BYTE_BOUNDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Time to the first byte of a response's body."""

DURATION_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Time of a whole exchange."""
