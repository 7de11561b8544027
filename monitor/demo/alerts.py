"""Which alerts began or ended since the sidecar was asked before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.status.reading import CombinationStatus, SignalStatus


@dataclass(frozen=True, slots=True)
class Alert:
    """A signal of a combination that began to drift."""

    combination: str
    served_name: str
    state: SignalStatus
    """As it was when the alert was first seen."""

    @property
    def time(self) -> float:
        """Unix seconds when it began."""
        return self.state.since or 0.0


@dataclass(slots=True)
class AlertLog:
    """The alerts of this run, each once, in the order in which they began."""

    alerts: list[Alert] = field(default_factory=list)
    _open: set[tuple[str, str]] = field(default_factory=set)

    def update(self, rows: Iterable[CombinationStatus]) -> list[Alert]:
        """Take in the present state; returns the alerts that are new."""
        drifting = {(row.name, state.signal): (row, state) for row in rows for state in row.drifting}
        new = [
            Alert(row.name, row.served_name, state) for key, (row, state) in drifting.items() if key not in self._open
        ]
        self._open = set(drifting)
        self.alerts.extend(sorted(new, key=lambda alert: alert.time))
        return new
