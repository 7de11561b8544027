"""The status of a combination follows from the registry and from what is served, and an approval from nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.adapters import Registry
from monitor.adapters.validation import RESERVED, Probed, ProbeOutcome, Status, validate

ALPHA, BETA, MERGED, BASE, OTHER = (digit * 64 for digit in "abcde")
EVALUATION = {"date": "2026-11-24", "scope": "combined", "suite": "held"}


def registry(**merge: Any) -> Registry:
    content: dict[str, Any] = {
        "base": "base",
        "base_digest": BASE,
        "adapters": [{"name": "alpha", "digest": ALPHA}, {"name": "beta", "digest": BETA, "external": True}],
        "combinations": [
            {"served_name": "ab", "parts": [{"adapter": "alpha", "scale": 0.7}, {"adapter": "beta"}], "merge": "cat",
             "digest": MERGED} | merge
        ],
    }  # fmt: skip
    return Registry.model_validate(content)


def approved() -> Registry:
    made = registry()
    identity = made.combination("ab", "base").id
    return registry(approval={"by": "me", "date": "2026-11-24", "id": identity, "digest": MERGED})


def status(of: Registry, digest: str = MERGED, base_digest: str = "", **more: Any) -> Status:
    return validate(of, of.combination("ab", "base", base_digest, digest), digest, **more).status


def test_nothing_known_is_unvalidated_and_an_evaluation_makes_it_validating() -> None:
    assert status(registry()) is Status.UNVALIDATED
    assert status(registry(evaluations=[EVALUATION])) is Status.VALIDATING
    alone = EVALUATION | {"scope": "alone"}
    assert status(registry(evaluations=[alone])) is Status.UNVALIDATED, "each alone says nothing of both"


def test_an_approval_holds_for_exactly_what_was_approved() -> None:
    assert status(approved()) is Status.VALIDATED
    assert status(approved(), base_digest=BASE) is Status.VALIDATED


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"digest": OTHER}, "not those that the registry declares"),
        ({"digest": ""}, "cannot be read"),
        ({"base_digest": OTHER}, "are not those that were approved"),
    ],
)
def test_any_change_of_what_is_served_voids_it(changed: dict[str, str], reason: str) -> None:
    known = approved()
    digest = changed.get("digest", MERGED)
    found = validate(known, known.combination("ab", "base", changed.get("base_digest", ""), digest), digest)
    assert found.status is Status.UNVALIDATED
    assert reason in found.reason


@pytest.mark.parametrize(
    "change",
    [
        {"parts": [{"adapter": "alpha", "scale": 0.8}, {"adapter": "beta"}]},
        {"parts": [{"adapter": "beta"}, {"adapter": "alpha", "scale": 0.7}]},
        {"parts": [{"adapter": "alpha", "scale": 0.7, "digest": OTHER}, {"adapter": "beta"}]},
        {"merge": "linear"},
    ],
)
def test_any_change_of_what_is_declared_voids_it(change: dict[str, Any]) -> None:
    approval = approved().combinations[0].approval
    assert approval is not None
    assert status(registry(approval=approval.model_dump(), **change)) is Status.UNVALIDATED


def test_drift_and_quarantine_stand_above_an_approval() -> None:
    assert status(approved(), drifting=True) is Status.DRIFTING
    found = registry(quarantined="lost its refusals")
    assert validate(found, found.combination("ab", "base"), "", drifting=True).status is Status.QUARANTINED


def test_an_adapter_that_was_evaluated_alone_is_validating_while_its_contents_are_the_same() -> None:
    known = Registry.model_validate(
        {"adapters": [{"name": "alpha", "digest": ALPHA, "evaluations": [EVALUATION | {"scope": "alone"}]}]}
    )
    assert validate(known, known.combination("alpha", "base", "", ALPHA), ALPHA).status is Status.VALIDATING
    assert validate(known, known.combination("alpha", "base", "", OTHER), OTHER).status is Status.UNVALIDATED
    assert validate(known, known.combination("alpha", "base"), "").status is Status.UNVALIDATED


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_names_and_parts_from_outside_are_findings(name: str) -> None:
    known = Registry.model_validate({"adapters": [{"name": name, "external": True, "signature": "invalid"}]})
    found = validate(known, known.combination(name, "base"), "")
    assert len(found.findings) == 3
    assert validate(known, known.combination("other", "base"), "").findings == ()


def test_a_registry_that_only_declares_holds_no_evaluations() -> None:
    assert not registry().holds_evaluations
    assert approved().holds_evaluations
    assert registry(evaluations=[EVALUATION]).holds_evaluations


def test_a_quarantine_holds_for_the_name_for_all_with_that_part_and_for_the_same_files_under_another_name() -> None:
    assert status(registry(quarantined="complies on weapons")) is Status.QUARANTINED
    content = approved().model_dump()
    content["adapters"][1]["quarantined"] = "poisoned data"
    known = Registry.model_validate(content)
    found = validate(known, known.combination("ab", "base", digest=MERGED), MERGED)
    assert (found.status, found.reason) == (Status.QUARANTINED, "beta: poisoned data")
    renamed = validate(known, known.combination("harmless", "base", digest=BETA), BETA)
    assert (renamed.status, renamed.reason) == (Status.QUARANTINED, "poisoned data")
    merged = registry(quarantined="complies on weapons")
    again = validate(merged, merged.combination("other", "base", digest=MERGED), MERGED)
    assert (again.status, again.reason) == (Status.QUARANTINED, "complies on weapons")


def test_what_drifts_without_an_approval_is_still_unvalidated() -> None:
    known = registry()
    found = validate(known, known.combination("ab", "base", digest=MERGED), MERGED, drifting=True)
    assert (found.status, found.unvalidated) == (Status.DRIFTING, True)
    known = approved()
    found = validate(known, known.combination("ab", "base", digest=MERGED), MERGED, drifting=True)
    assert (found.status, found.unvalidated) == (Status.DRIFTING, False)


def probed(state: Probed, *, approves: bool = False) -> ProbeOutcome:
    return ProbeOutcome(state, f"it {state.value}", approves)


def test_what_our_own_questions_find_is_a_status_and_no_approval() -> None:
    bare = registry()
    combination = bare.combination("ab", "base", "", MERGED)
    for state, expected in (
        (Probed.RUNNING, Status.VALIDATING),
        (Probed.PASSED, Status.VALIDATING),
        (Probed.FAILED, Status.FAILED),
        (Probed.UNMEASURED, Status.UNVALIDATED),
    ):
        found = validate(bare, combination, MERGED, probed=probed(state))
        assert (found.status, found.unvalidated) == (expected, True), state
        assert f"it {state.value}" in found.reason


def test_a_persons_word_stands_but_a_failure_is_said_even_of_what_drifts() -> None:
    known = approved()
    combination = known.combination("ab", "base", "", MERGED)
    found = validate(known, combination, MERGED, drifting=True, probed=probed(Probed.FAILED))
    assert (found.status, found.unvalidated) == (Status.FAILED, False)
    assert found.reason == "it failed (approved by me on 2026-11-24)"
    for state in (Probed.RUNNING, Probed.PASSED, Probed.UNMEASURED):
        assert validate(known, combination, MERGED, probed=probed(state)).status is Status.VALIDATED
    aside = validate(known, combination, MERGED, quarantine="it failed", probed=probed(Probed.FAILED))
    assert aside.status is Status.QUARANTINED


def test_a_passed_round_approves_only_where_told_to_and_where_nothing_speaks_against_it() -> None:
    word = probed(Probed.PASSED, approves=True)
    alpha = registry().combination("alpha", "base", "", ALPHA)
    found = validate(registry(), alpha, ALPHA, probed=word)
    assert (found.status, found.unvalidated) == (Status.VALIDATED, False)
    assert validate(registry(), alpha, ALPHA, probed=probed(Probed.FAILED, approves=True)).status.value != "validated"
    blind = registry().combination("alpha", "base")
    assert validate(registry(), blind, "", probed=word).unvalidated, "nobody knows what was asked"
    outside = registry().combination("ab", "base", "", MERGED)
    assert validate(registry(), outside, MERGED, probed=word).unvalidated, "a part from outside is for a person"
    known = approved()
    changed = known.combination("ab", "base", "", OTHER)
    assert validate(known, changed, OTHER, probed=word).unvalidated, "and so is an approval that does not hold"
