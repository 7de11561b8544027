"""May this combination serve? What the registry's evaluations and approvals say of what is served now.

No statistics: a combination that nobody evaluated together is unvalidated from its first answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from monitor.adapters.registry import Approval, Registry
from monitor.records import Combination

RESERVED: Final = frozenset({"text", "image", "audio", "video", "input", "file"})
"""Words that vLLM puts into messages itself: an adapter so named is applied to requests that never asked for it."""


class Status(StrEnum):
    """How far a combination may be trusted."""

    UNVALIDATED = "unvalidated"
    """Nobody evaluated it, or what was approved is not what is served."""
    VALIDATING = "validating"
    """Evaluated together, not approved."""
    VALIDATED = "validated"
    """Approved, and its contents are those that were approved."""
    DRIFTING = "drifting"
    """Behaves worse than its base now."""
    QUARANTINED = "quarantined"
    """The registry says that it must not serve."""


@dataclass(frozen=True, slots=True)
class Validation:
    """The status of a combination and its reason."""

    status: Status
    reason: str
    findings: tuple[str, ...] = ()
    """What else is wrong with it: a reserved name, a part from outside."""


def validate(registry: Registry, combination: Combination, digest: str, *, drifting: bool = False) -> Validation:
    """Status of a combination as it is served.

    digest: SHA-256 of the served adapter's files, "" while unknown; drifting: a detector says so now.
    """
    findings = _findings(registry, combination)
    declared = registry.declared(combination.served_name)
    if declared is not None and declared.quarantined:
        return Validation(Status.QUARANTINED, declared.quarantined, findings)
    if drifting:
        return Validation(Status.DRIFTING, "a detector says that it behaves worse than its base", findings)
    if declared is not None and not combination.declared:
        return Validation(Status.UNVALIDATED, "its files are not those that the registry declares", findings)
    if declared is not None and declared.approval is not None:
        void = _void(declared.approval, combination, digest)
        if void:
            return Validation(Status.UNVALIDATED, f"its approval does not hold: {void}", findings)
        return Validation(Status.VALIDATED, f"approved by {declared.approval.by} on {declared.approval.date}", findings)
    evaluated = declared is not None and any(
        one.scope == "combined" or len(combination.parts) == 1 for one in declared.evaluations
    )
    if evaluated:
        return Validation(Status.VALIDATING, "evaluated, not approved", findings)
    alone = len(combination.parts) == 1 and registry.adapter(combination.parts[0].adapter)
    if alone and alone.evaluations and alone.digest and alone.digest == combination.parts[0].digest:
        return Validation(Status.VALIDATING, "evaluated alone, not approved", findings)
    what = "this combination" if len(combination.parts) > 1 else "this adapter"
    return Validation(Status.UNVALIDATED, f"nobody evaluated {what}", findings)


def _void(approval: Approval, combination: Combination, digest: str) -> str:
    """Why an approval does not hold, "" when it does."""
    if approval.digest and not digest:
        return "the served files cannot be read, so nobody knows what they hold"
    if approval.digest and approval.digest != digest:
        return "the served files changed since"
    if approval.id != combination.id:
        return "base, parts, scales or method are not those that were approved"
    return ""


def _findings(registry: Registry, combination: Combination) -> tuple[str, ...]:
    found = []
    if combination.served_name in RESERVED:
        found.append(
            f"the server applies an adapter named {combination.served_name} to requests that never asked for it"
        )
    for part in combination.parts:
        known = registry.adapter(part.adapter)
        if known is not None and known.external:
            found.append(f"{part.adapter} was made outside of the organisation")
        if known is not None and known.signature == "invalid":
            found.append(f"the signature of {part.adapter} is not valid")
    return tuple(found)
