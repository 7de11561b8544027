"""The seam between what the scorer said and what the monitor claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from monitor.records import DriftState, Observation


@dataclass(frozen=True, slots=True)
class Reference:
    """What was measured of the base model for one signal."""

    bad: int
    samples: int
    null: float
    """Rate that counts as unchanged, before the tolerance."""


class Detector(Protocol):
    """Keeps, per combination and signal, what the answers so far say.

    A detector is a pure state machine: time comes in with the observations, it has no clock and does no I/O. The caller
    bounds the number of combinations and forgets those that are gone.
    """

    def update(self, observation: Observation) -> Sequence[DriftState]:
        """Take in one answer; the states that it touched, as they are now."""
        ...

    def states(self) -> Sequence[DriftState]:
        """Every state, combinations in the order in which they were first seen."""
        ...

    def common_causes(self) -> Sequence[str]:
        """Names of the signals in which all combinations have moved together, rather than one of them."""
        ...

    def all_together(self, name: str) -> DriftState:
        """Figures of all combinations together, under the signal of this name."""
        ...

    def hold_against(self, references: Mapping[str, Reference], *, traffic: bool, time: float) -> Sequence[DriftState]:
        """From now on these are the references, by signal; `traffic`: for the other signals the base's own answers are.

        Evidence against another reference is dropped, and what is still known of the latest answers is held against the new
        one. Returns the states that it changed; the same references again change nothing.
        """
        ...

    def forget(self, combination: str) -> None:
        """Drop what is known of a combination that was unloaded or replaced; unknown names are no error."""
        ...

    def save(self) -> dict[str, Any]:
        """Everything that `restore` needs to carry on, as plain JSON values."""
        ...

    def restore(self, data: dict[str, Any]) -> None:
        """Carry on from what `save` gave. Raises ValueError, and changes nothing, when `data` is not that."""
        ...
