"""Which served names may answer: from statuses, from what is not known yet, and from what stood before."""

from __future__ import annotations

from typing import Any

from monitor.adapters import Catalog, Registry, ServedModel
from monitor.adapters.contents import Contents
from monitor.adapters.policy import carried_on, first_policy, load_problem, policy_of, with_loading
from monitor.adapters.validation import Probed, ProbeOutcome
from monitor.enforcement import Policy

ALPHA, BETA, MERGED, BASE = (digit * 64 for digit in "abcd")
SERVED = ("base", "alpha", "beta", "ab")
DIGESTS = {"base": BASE, "alpha": ALPHA, "beta": BETA, "ab": MERGED}


def registry(*, approve: bool = True, **of_ab: Any) -> Registry:
    parts = [{"adapter": "alpha", "digest": ALPHA}, {"adapter": "beta", "digest": BETA}]
    content: dict[str, Any] = {
        "base": "base",
        "base_digest": BASE,
        "combinations": [{"served_name": "ab", "parts": parts, "digest": MERGED}],
    }
    if approve:
        identity = Registry.model_validate(content).combination("ab", "base").id
        approval = {"by": "me", "date": "2026-11-24", "id": identity, "digest": MERGED}
        content["combinations"][0]["approval"] = approval
    content["combinations"][0] |= of_ab
    return Registry.model_validate(content)


def decide(
    known: Registry,
    mode: str = "block-unvalidated",
    served: tuple[str, ...] = SERVED,
    looked: tuple[str, ...] = SERVED,
    set_aside: dict[str, str] | None = None,
    before: Policy | None = None,
    cap: int = 20,
    probed: dict[str, ProbeOutcome] | None = None,
) -> Policy:
    models = [ServedModel(name, "" if name == "base" else "base", f"/{name}") for name in served]
    catalog = Catalog(known, cap, 60)
    catalog.update(models)
    catalog.note_digests({name: DIGESTS[name] for name in looked})
    return policy_of(mode, known, catalog, models, looked, set_aside or {}, before, probed)


def reasons(policy: Policy) -> dict[str, str]:
    return {name: one.reason for name, one in policy.names.items()}


def stopped(policy: Policy, name: str) -> str:
    found = policy.decision(name)
    return found.reason if found else ""


def test_only_the_base_and_what_is_approved_may_answer() -> None:
    policy = decide(registry())
    assert reasons(policy) == {"base": "", "ab": "", "alpha": "unvalidated", "beta": "unvalidated"}
    assert policy.names["alpha"].why == "nobody evaluated this adapter"
    assert (stopped(policy, "gone"), stopped(policy, "")) == ("unlisted", "")
    assert reasons(decide(registry(approve=False)))["ab"] == "unvalidated"


def test_our_own_questions_open_nothing_unless_they_may_approve_and_close_nothing() -> None:
    def passed(approves: bool) -> dict[str, ProbeOutcome]:
        word = ProbeOutcome(Probed.PASSED, "not found worse", approves)
        return {"alpha": word, "alpha+beta": ProbeOutcome(Probed.FAILED, "worse")}

    closed = reasons(decide(registry(), probed=passed(approves=False)))
    assert closed == {"base": "", "ab": "", "alpha": "unvalidated", "beta": "unvalidated"}
    assert reasons(decide(registry(), probed=passed(approves=True))) == closed | {"alpha": ""}


def test_quarantines_stop_whatever_else_is_asked_for() -> None:
    policy = decide(registry(quarantined="complies"), "block-quarantined")
    assert reasons(policy) == {"base": "", "ab": "quarantined", "alpha": "", "beta": ""}
    assert (policy.names["ab"].combination, policy.names["ab"].why) == ("alpha+beta", "complies")
    assert stopped(policy, "gone") == ""
    drifting = decide(registry(), set_aside={"alpha+beta": "it drifts: refusal_lost"})
    assert (drifting.names["ab"].reason, drifting.names["ab"].why) == ("quarantined", "it drifts: refusal_lost")


def test_names_beyond_the_cap_of_labels_are_decided_about_all_the_same() -> None:
    policy = decide(registry(), cap=2)
    assert reasons(policy) == {"base": "", "ab": "", "alpha": "unvalidated", "beta": "unvalidated"}
    assert policy.names["beta"].combination == "other"


def test_until_its_files_were_looked_at_a_name_keeps_the_decision_before_or_is_undecided() -> None:
    fresh = decide(registry(), looked=())
    assert reasons(fresh) == {"base": "", "ab": "undecided", "alpha": "undecided", "beta": "undecided"}
    after_a_restart = decide(registry(), looked=(), before=decide(registry(), served=("base", "alpha", "ab")))
    assert reasons(after_a_restart) == {"base": "", "ab": "", "alpha": "unvalidated", "beta": "undecided"}
    quarantined = decide(registry(quarantined="complies"), looked=(), before=decide(registry()))
    assert reasons(quarantined)["ab"] == "quarantined"
    assert reasons(decide(registry(), "block-quarantined", looked=())) == dict.fromkeys(SERVED, "")


def test_at_the_start_nothing_answers_but_the_base_where_only_what_is_approved_may() -> None:
    known = registry(quarantined="complies")
    strict = first_policy("block-unvalidated", known)
    assert [stopped(strict, name) for name in ("base", "", "ab", "alpha")] == ["", "", "quarantined", "undecided"]
    loose = first_policy("block-quarantined", known)
    assert [stopped(loose, name) for name in ("base", "", "ab", "alpha")] == ["", "", "quarantined", ""]


def test_while_the_servers_list_cannot_be_read_a_new_quarantine_counts_and_all_else_stands() -> None:
    policy = carried_on(decide(registry()), registry(quarantined="complies"))
    assert reasons(policy) == {"base": "", "ab": "quarantined", "alpha": "unvalidated", "beta": "unvalidated"}
    assert stopped(policy, "gone") == "unlisted"


def test_a_base_that_is_itself_a_declared_combination_answers_for_requests_that_name_no_model() -> None:
    content = registry().model_dump() | {"base": ""}
    content["combinations"] = [*content["combinations"], {"served_name": "base", "parts": [{"adapter": "inside"}]}]
    policy = decide(Registry.model_validate(content))
    assert reasons(policy)["base"] == "unvalidated"
    assert stopped(policy, "") == "unvalidated"


def test_only_known_contents_are_loaded_and_where_it_is_asked_for_only_signed_ones() -> None:
    adapters = [
        {"name": "alpha", "digest": ALPHA, "signature": "verified"},
        {"name": "beta", "digest": BETA},
        {"name": "bad", "digest": "f" * 64, "quarantined": "poisoned"},
    ]
    known = Registry.model_validate(registry().model_dump() | {"adapters": adapters})
    contents = {f"/a/{name}": Contents(digest) for name, digest in (("alpha", ALPHA), ("beta", BETA), ("ab", MERGED))}
    contents |= {"/a/bad": Contents("f" * 64), "/a/new": Contents("9" * 64), "/a/broken": Contents("", "a pickle")}

    def told(loading: str, name: str, path: str) -> str:
        found = with_loading(Policy({}), loading, known, contents).load_decision(name, path)
        return found.reason if found else ""

    paths = ("alpha", "beta", "ab", "bad", "new", "broken", "elsewhere")
    unknown = ["", "", "", "quarantined", "unknown_adapter", "unreadable", "unknown_adapter"]
    assert [told("deny-unknown", "x", f"/a/{path}") for path in paths] == unknown
    unsigned = ["", "unsigned", "unsigned", "quarantined", "unknown_adapter", "unreadable", "unknown_adapter"]
    assert [told("deny-unsigned", "x", f"/a/{path}") for path in paths] == unsigned
    assert [told("deny-unknown", name, "/a/alpha") for name in ("image", "bad")] == ["reserved_name", "quarantined"]
    assert told("observe", "image", "/a/elsewhere") == ""


def test_the_monitor_itself_loads_nothing_that_is_quarantined_or_that_the_policy_refuses() -> None:
    bad = {
        "adapters": [{"name": "bad", "digest": "f" * 64, "quarantined": "complies"}, {"name": "good", "digest": ALPHA}]
    }
    known = Registry.model_validate({"base": "base", **bad})
    contents = {"/a/bad": Contents("f" * 64), "/a/good": Contents(ALPHA), "/a/new": Contents("9" * 64)}

    def told(loading: str, name: str, path: str) -> str:
        return load_problem(loading, known, contents, name, path)

    assert [told("observe", "x", path) for path in contents] == ["quarantined", "", ""]
    assert told("observe", "bad", "/a/new") == "quarantined"
    assert [told("deny-unknown", "x", path) for path in contents] == ["quarantined", "", "unknown_adapter"]
    assert load_problem("deny-unknown", known, None, "good", "/a/good") == "undecided"


def test_nothing_is_loaded_before_the_folders_were_looked_at() -> None:
    for policy in (
        first_policy("observe", registry(), "deny-unknown"),
        with_loading(Policy({}), "deny-unknown", registry(), None),
    ):
        found = policy.load_decision("x", "/a/alpha")
        assert found is not None
        assert found.reason == "undecided"
