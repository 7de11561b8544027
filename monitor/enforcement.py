"""What the workers need to know to keep a combination from answering: a small table in memory that the supervisor owns.

The analysis process decides and writes; the workers look for a new version on their timer and never wait. When the analysis
dies, its last decisions stand.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from monitor.snapshot import Snapshot

log = logging.getLogger(__name__)

SLOT_BYTES: Final = 4 * 1024 * 1024
"""Room for one table: over ten thousand names; pages are only taken for what is written."""


class Decision(msgspec.Struct, frozen=True):
    """Whether requests for one served name pass."""

    combination: str
    """Its label in metrics."""
    reason: str = ""
    """Why not, in one word of a bounded set; "" when they pass."""
    why: str = ""
    """The same in a sentence."""


class Policy(msgspec.Struct, frozen=True):
    """All decisions of one moment."""

    names: dict[str, Decision]
    """Served name -> its decision."""
    unlisted: Decision | None = None
    """For every other name; None: they pass, and the server answers that it does not know them."""
    base: Decision | None = None
    """For requests that name no model, which the base model answers; None: they pass."""

    paths: dict[str, Decision] = msgspec.field(default_factory=dict)
    """Path of an adapter's folder -> whether it may be loaded."""
    unknown_path: Decision | None = None
    """For every other path; None: they may be."""
    never_loaded: dict[str, Decision] = msgspec.field(default_factory=dict)
    """Names under which nothing may be loaded."""

    def decision(self, name: str) -> Decision | None:
        """The decision that stops requests for this model ("" for none named); None when they pass."""
        found = self.names.get(name, self.unlisted) if name else self.base
        return found if found is not None and found.reason else None

    def load_decision(self, name: str, path: str) -> Decision | None:
        """The decision that keeps an adapter from being loaded under this name from this path; None when it may be."""
        for found in (self.never_loaded.get(name), self.paths.get(path, self.unknown_path)):
            if found is not None and found.reason:
                return found
        return None


class PolicyStore:
    """Writes or reads the table through a file descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._memory = Snapshot(descriptor, slot_bytes=SLOT_BYTES)
        self._read = 0
        self.policy: Policy | None = None
        """The latest that was written or read here, None before the first."""
        self.refresh()

    def publish(self, policy: Policy) -> bool:
        """Write it unless it says what stands there already; True when something was written."""
        if policy == self.policy:
            return False
        if not self._memory.save(policy):
            log.error("the policy of %d names is too large to be enforced; the one before it stands", len(policy.names))
            return False
        self.policy = policy
        return True

    def refresh(self) -> None:
        """Take what was written since; what cannot be read leaves the present one in force."""
        latest = self._memory.latest()
        if latest == self._read:
            return
        try:
            state = self._memory.restore()
            if (
                state is not None and self._memory.latest() == latest
            ):  # else it was written meanwhile: the next look reads it
                self.policy, self._read = msgspec.convert(state, Policy), latest
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.error("the policy cannot be read: %s", error)
