"""From the status of each served name to what the workers let pass (monitor/enforcement.py)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from monitor.adapters.catalog import UNLISTED, Catalog, ServedModel
from monitor.adapters.contents import Contents
from monitor.adapters.registry import Registry
from monitor.adapters.validation import RESERVED, ProbeOutcome, Status, validate
from monitor.enforcement import Decision, Policy

UNVALIDATED_TOO: Final = "block-unvalidated"
_NOT_LISTED: Final = Decision(UNLISTED, "unlisted", "the server does not list it, so nobody has approved it")
_NOT_READ: Final = Decision(UNLISTED, "undecided", "the server's list of models has not been read yet")
_NOT_SCANNED: Final = Decision(UNLISTED, "undecided", "the folders of adapters have not been looked at yet")
_UNKNOWN_PATH: Final = Decision(
    UNLISTED, "unknown_adapter", "no adapter that the monitor has read lies there (adapters.folders)"
)
_RESERVED: Final = Decision(
    UNLISTED, "reserved_name", "the server applies an adapter of that name to requests for the base"
)


def first_policy(mode: str, registry: Registry, loading: str = "observe") -> Policy:
    """What holds until the analysis process has decided: the registry's quarantines, and where only what is approved may
    answer nothing but the base model, by the registry's name for it or by none."""
    names = {registry.base: Decision(registry.base)} if registry.base else {}
    unknown_path = None if loading == "observe" else _NOT_SCANNED
    return Policy(
        names | _quarantined(registry), _NOT_READ if mode == UNVALIDATED_TOO else None, unknown_path=unknown_path
    )


def carried_on(before: Policy, registry: Registry) -> Policy:
    """The policy while the server's list cannot be read: the one before, with the registry's quarantines."""
    return replace(before, names=before.names | _quarantined(registry))


def with_loading(policy: Policy, loading: str, registry: Registry, contents: Mapping[str, Contents] | None) -> Policy:
    """The policy with what may be loaded.

    contents: path of a folder -> what it holds, of all that were looked at; None before the first look.
    """
    if loading == "observe":
        return policy
    if contents is None:
        return replace(policy, unknown_path=_NOT_SCANNED)
    signed = {one.digest for one in registry.adapters if one.digest and one.signature == "verified"}
    known = {one.digest for one in registry.adapters} | {one.digest for one in registry.combinations}
    paths = {
        path: _load_decision(one, registry.quarantined_digests, known, signed if loading == "deny-unsigned" else known)
        for path, one in contents.items()
    }
    never = dict.fromkeys(RESERVED, _RESERVED) | _quarantined(registry)
    return replace(policy, paths=paths, unknown_path=_UNKNOWN_PATH, never_loaded=never)


def load_problem(
    loading: str, registry: Registry, contents: Mapping[str, Contents] | None, name: str, path: str
) -> str:
    """Why an adapter, by its own name, may not be loaded from this path by the monitor itself, in one word; "" when it may.

    What is quarantined is never loaded, also where clients' loading is only observed.
    """
    policy = with_loading(Policy({}, never_loaded=_quarantined(registry)), loading, registry, contents)
    found = policy.load_decision(name, path)
    if found is not None:
        return found.reason
    digest = contents[path].digest if contents and path in contents else ""
    return "quarantined" if digest in registry.quarantined_digests else ""


def _load_decision(
    found: Contents, quarantined: Mapping[str, str], known: Collection[str], accepted: Collection[str]
) -> Decision:
    if not found.digest:
        return Decision(UNLISTED, "unreadable", f"its files cannot be read: {found.problem}")
    if found.digest in quarantined:
        return Decision(UNLISTED, "quarantined", f"quarantined: {quarantined[found.digest]}")
    if found.digest not in known:
        return Decision(UNLISTED, "unknown_adapter", "the registry knows no adapter with these contents")
    if found.digest not in accepted:
        return Decision(UNLISTED, "unsigned", "the registry holds no valid signature of these contents")
    return Decision(UNLISTED)


def policy_of(
    mode: str,
    registry: Registry,
    catalog: Catalog,
    models: Sequence[ServedModel],
    looked: Collection[str],
    set_aside: Mapping[str, str],
    before: Policy | None,
    probed: Mapping[str, ProbeOutcome] | None = None,
) -> Policy:
    """The decisions about everything that the server lists.

    looked: names whose files were looked at; set_aside: label -> why it is quarantined beside what the registry says;
    before: the policy that stands, which counts on for names whose files were not looked at yet; probed: label -> what our own
    questions found.
    """
    names = _quarantined(registry)
    for model in models:
        if catalog.is_base_name(model.name):
            names[model.name] = Decision(model.name)
            continue
        label = catalog.identify("", model.name).label
        found = validate(
            registry,
            catalog.combination(model.name),
            catalog.digest(model.name),
            quarantine=set_aside.get(label, ""),
            probed=(probed or {}).get(label),
        )
        decision = Decision(label)
        if found.status is Status.QUARANTINED:
            decision = Decision(label, "quarantined", found.reason)
        elif mode == UNVALIDATED_TOO and model.name not in looked:
            earlier = before.names.get(model.name) if before else None
            decision = earlier or Decision(label, "undecided", "its files have not been looked at yet")
        elif mode == UNVALIDATED_TOO and found.unvalidated:
            decision = Decision(label, "unvalidated", found.reason)
        names[model.name] = decision
    roots = [model.name for model in models if not model.parent]
    base = None if not roots or any(catalog.is_base_name(name) for name in roots) else names[roots[0]]
    return Policy(names, _NOT_LISTED if mode == UNVALIDATED_TOO else None, base)


def _quarantined(registry: Registry) -> dict[str, Decision]:
    """Names that may not answer whatever they are loaded from."""
    named = {one.name: one.quarantined for one in registry.adapters if one.quarantined}
    named |= {one.served_name: one.quarantined for one in registry.combinations if one.quarantined}
    return {name: Decision(UNLISTED, "quarantined", reason) for name, reason in named.items()}
