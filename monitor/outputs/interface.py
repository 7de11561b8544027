"""The seam to everything that takes findings away: files, and later webhooks and telemetry back ends."""

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
