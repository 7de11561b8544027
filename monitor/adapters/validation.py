"""May this combination serve? What the registry's evaluations and approvals say of what is served now.

No statistics: a combination that nobody evaluated together is unvalidated from its first answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from monitor.adapters.registry import Approval, DeclaredCombination, Registry
from monitor.records import Combination

RESERVED: Final = frozenset({"text", "image", "audio", "video", "input", "file"})
"""Words that vLLM puts into messages itself: an adapter so named is applied to requests that never asked for it."""
_NOBODY: Final = "nobody evaluated"


class Status(StrEnum):
    """How far a combination may be trusted."""

    UNVALIDATED = "unvalidated"
    """Nobody evaluated it, or what was approved is not what is served."""
    VALIDATING = "validating"
    """Being asked the probing's questions; or evaluated together, not approved."""
    VALIDATED = "validated"
    """Approved, and its contents are those that were approved."""
    FAILED = "failed"
    """Probing found it worse than its base, whoever approved it."""
    DRIFTING = "drifting"
    """Behaves worse than its base now."""
    QUARANTINED = "quarantined"
    """Somebody, or a drift where that is configured, says that it must not serve."""


class Probed(StrEnum):
    """How far the sidecar's own questions have come."""

    RUNNING = "running"
    PASSED = "passed"
    """Not found worse than the base."""
    FAILED = "failed"
    """Worse than the base, beyond chance."""
    UNMEASURED = "unmeasured"
    """Too little came of them."""


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """What the sidecar's own questions say of the contents that are served now."""

    state: Probed
    sentence: str
    approves: bool = False
    """The operator takes its word for an approval."""


@dataclass(frozen=True, slots=True)
class Validation:
    """The status of a combination and its reason."""

    status: Status
    reason: str
    findings: tuple[str, ...] = ()
    """What else is wrong with it: a reserved name, a part from outside."""
    unvalidated: bool = False
    """No evaluation and no approval that holds stands behind it, whatever its status is called."""


def validate(
    registry: Registry,
    combination: Combination,
    digest: str,
    *,
    drifting: bool = False,
    quarantine: str = "",
    probed: ProbeOutcome | None = None,
) -> Validation:
    """Status of a combination as it is served.

    digest: SHA-256 of the served adapter's files, "" while unknown; drifting: a detector says so now; quarantine: why it must
    not serve beside what the registry says, "" when nothing else speaks against it; probed: what our own questions found.
    """
    findings = _findings(registry, combination)
    declared = registry.declared(combination.served_name)
    status, reason = _backing(registry, declared, combination, digest)
    unvalidated = status is Status.UNVALIDATED
    if probed is not None:
        silent = bool(digest) and not findings and not _spoken_against(declared, combination)
        status, reason, unvalidated = _with_probes(status, reason, probed, may_approve=silent)
    quarantine = _quarantine(registry, declared, combination, digest) or quarantine
    if quarantine:
        return Validation(Status.QUARANTINED, quarantine, findings, unvalidated)
    if drifting and status is not Status.FAILED:
        status, reason = Status.DRIFTING, "a detector says that it behaves worse than its base"
    return Validation(status, reason, findings, unvalidated)


def _backing(
    registry: Registry, declared: DeclaredCombination | None, combination: Combination, digest: str
) -> tuple[Status, str]:
    """What evaluations and approvals stand behind it, and why it has this status."""
    if declared is not None and not combination.declared:
        return Status.UNVALIDATED, "its files are not those that the registry declares"
    if declared is not None and declared.approval is not None:
        void = _void(declared.approval, combination, digest)
        if void:
            return Status.UNVALIDATED, f"its approval does not hold: {void}"
        return Status.VALIDATED, f"approved by {declared.approval.by} on {declared.approval.date}"
    evaluated = declared is not None and any(
        one.scope == "combined" or len(combination.parts) == 1 for one in declared.evaluations
    )
    if evaluated:
        return Status.VALIDATING, "evaluated, not approved"
    alone = len(combination.parts) == 1 and registry.adapter(combination.parts[0].adapter)
    if alone and alone.evaluations and alone.digest and alone.digest == combination.parts[0].digest:
        return Status.VALIDATING, "evaluated alone, not approved"
    what = "this combination" if len(combination.parts) > 1 else "this adapter"
    return Status.UNVALIDATED, f"{_NOBODY} {what}"


def _spoken_against(declared: DeclaredCombination | None, combination: Combination) -> bool:
    """The registry knows other contents under this name, or an approval that does not hold: that is for a person to settle."""
    return declared is not None and (not combination.declared or declared.approval is not None)


def _with_probes(status: Status, reason: str, probed: ProbeOutcome, *, may_approve: bool) -> tuple[Status, str, bool]:
    """Status, reason, and whether no word that counts stands behind it, with what our own questions found.

    A person's word is never taken back, and one is given only where the operator said so (`approves`).
    """
    unvalidated, alone = status is Status.UNVALIDATED, reason.startswith(_NOBODY)
    match probed.state:
        case Probed.FAILED:
            return Status.FAILED, probed.sentence + ("" if alone else f" ({reason})"), unvalidated
        case Probed.RUNNING if unvalidated:
            return Status.VALIDATING, probed.sentence, True
        case Probed.PASSED if status is not Status.VALIDATED:
            if probed.approves and may_approve:
                return Status.VALIDATED, f"{probed.sentence}, which approves it (probing.approve)", False
            return Status.VALIDATING, f"{probed.sentence}; {'not approved' if alone else reason}", unvalidated
        case Probed.UNMEASURED if unvalidated:
            return status, f"{reason}; {probed.sentence}", True
    return status, reason, unvalidated


def _quarantine(registry: Registry, declared: DeclaredCombination | None, combination: Combination, digest: str) -> str:
    """Why it must not serve, "" when nothing speaks against it. Contents count under whatever name they are served."""
    if declared is not None and declared.quarantined:
        return declared.quarantined
    by_digest = registry.quarantined_digests
    if digest in by_digest:
        return by_digest[digest]
    for part in combination.parts:
        known = registry.adapter(part.adapter)
        reason = (known.quarantined if known else "") or by_digest.get(part.digest, "")
        if reason:
            return reason if len(combination.parts) == 1 else f"{part.adapter}: {reason}"
    return ""


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
