"""What the sidecar says of the combinations now, and which alerts began or ended since it was asked before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import aiohttp
import msgspec

from monitor.records import Condition

REFUSAL_LOST = "refusal_lost"
REFUSE_THEN_COMPLY = "refuse_then_comply"
OVER_REFUSAL = "over_refusal"


class PartStatus(msgspec.Struct, frozen=True):
    """One adapter in a combination."""

    adapter: str
    scale: float = 1.0


class SignalStatus(msgspec.Struct, frozen=True):
    """One detector's state for one combination; numbers are null while unknown."""

    signal: str
    condition: Condition
    samples: int = 0
    bad: int = 0
    rate: float | None = None
    lower: float | None = None
    upper: float | None = None
    baseline_rate: float | None = None
    baseline_samples: int = 0
    threshold: float | None = None
    since: float | None = None


class CombinationStatus(msgspec.Struct, frozen=True):
    """One combination as GET /api/v1/combinations shows it."""

    name: str
    served_name: str
    is_base: bool
    parts: tuple[PartStatus, ...] = ()
    merge: str | None = None
    requests: int = 0
    outcomes: dict[str, int] = {}
    signals: tuple[SignalStatus, ...] = ()

    def signal(self, name: str) -> SignalStatus | None:
        """The state of one signal, None when the sidecar has none."""
        return next((signal for signal in self.signals if signal.signal == name), None)

    @property
    def drifting(self) -> tuple[SignalStatus, ...]:
        """The signals that raise an alert now."""
        return tuple(signal for signal in self.signals if signal.condition is Condition.DRIFTING)


class _Answer(msgspec.Struct, frozen=True):
    time: float
    combinations: tuple[CombinationStatus, ...]


async def ask_sidecar(session: aiohttp.ClientSession) -> tuple[CombinationStatus, ...]:
    """The state of all combinations, the base first, then single adapters, then combinations of several.

    Raises aiohttp.ClientError or TimeoutError when there is no answer, msgspec.DecodeError when it has another form.
    """
    async with session.get("/api/v1/combinations") as response:
        response.raise_for_status()
        answer = msgspec.json.decode(await response.read(), type=_Answer)
    return tuple(sorted(answer.combinations, key=lambda row: (not row.is_base, len(row.parts) > 1, row.name)))


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
