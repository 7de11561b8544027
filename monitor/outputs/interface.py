"""The seam to everything that takes every finding away as it comes: files and telemetry back ends.

The webhook is no such thing: it tells people, so it looks at what stands and says what is new of it (incidents.py).
"""

from __future__ import annotations

from typing import Protocol

from monitor.records import Finding


class Output(Protocol):
    """Takes findings. Writing never raises: what cannot be written is counted and logged once."""

    def write(self, finding: Finding) -> None:
        """Take one finding."""
        ...

    def close(self) -> None:
        """Finish."""
        ...
