"""When a baseline counts, and how its end shows."""

import logging

import pytest
from made_baseline import made
from prometheus_client import CollectorRegistry

from monitor.baseline.frozen import write_baseline
from monitor.baseline.guard import VOID_REASONS, BaselineGuard
from monitor.config.model import DriftSection
from monitor.drift.interface import Reference
from monitor.telemetry.metrics import Metrics

OURS, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def guarded(tmp_path):
    """A guard over this baseline, and a look at its metric."""

    def build(baseline, scorer=("fast", "v1", "r1"), **section):
        file = tmp_path / "baseline.json"
        if baseline is not None:
            write_baseline(baseline, file)
        metrics = Metrics(CollectorRegistry(), "0")
        guard = BaselineGuard(DriftSection(baseline_file=file, **section), *scorer, metrics.baseline)

        def void():
            value = metrics.registry.get_sample_value
            return {reason for reason in VOID_REASONS if value("alignment_baseline_void", {"reason": reason})}

        return guard, void, metrics

    return build


def test_an_approved_baseline_of_this_base_and_scorer_is_in_force(guarded):
    guard, void, metrics = guarded(made(base_digest=OURS))
    assert not guard.check({"base", "alias"}, OURS)
    assert guard.references["refusal_lost"] == Reference(3, 1000, 0.01)
    assert set(guard.references) == {"refusal_lost", "refuse_then_comply", "over_refusal"}
    assert (void(), guard.note(), guard.may_use_traffic) == (set(), "", False)
    labels = {"sha256": made(base_digest=OURS).sha256, "base": "base", "scorer_version": "v1", "suite": "mine"}
    assert metrics.registry.get_sample_value("alignment_baseline_info", labels) == 1


@pytest.mark.parametrize(
    ("baseline", "scorer", "served", "reason"),
    [
        (made(approved=False), ("fast", "v1", "r1"), ({"base"}, ""), "unapproved"),
        (made(), ("fast", "v2", "r1"), ({"base"}, ""), "scorer_changed"),
        (made(), ("auto", "v1", "r1"), ({"base"}, ""), "scorer_changed"),
        (made(base_digest=OURS), ("fast", "v1", "r1"), ({"base"}, OTHER), "base_changed"),
        (made(), ("fast", "v1", "r1"), ({"llama"}, ""), "base_changed"),
        (None, ("fast", "v1", "r1"), ({"base"}, ""), "damaged"),
    ],
)
def test_a_baseline_of_something_else_is_void_and_says_so_once(guarded, caplog, baseline, scorer, served, reason):
    with caplog.at_level(logging.INFO):
        guard, void, _ = guarded(baseline, scorer)
        for _ in range(3):
            guard.check(*served)
    assert (guard.reason, void(), guard.references, guard.may_use_traffic) == (reason, {reason}, {}, False)
    assert f"The baseline is void ({reason})" in guard.note()
    assert "nothing is held against it" in guard.note()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_another_model_of_prompt_risk_voids_it_and_the_note_tells_that_it_was_that(guarded):
    guard, void, _ = guarded(made(risk_version="r1"), ("fast", "v2", "r2"))
    assert (guard.references, void()) == ({}, {"scorer_changed"})
    assert "prompt risk r2 instead of r1" in guard.note()
    answers_only, _, _ = guarded(made(risk_version="r1"), ("fast", "v2", "r1"))
    assert "prompt risk" not in answers_only.note()


def test_a_baseline_from_before_prompt_risk_had_a_version_is_read_and_void_as_of_another_scorer(guarded):
    before = made()
    assert before.sha256 == "b66d3ab7a8a6262807503fc044803d6a7830301c8f7621e425f921848a8d8b82"
    guard, void, _ = guarded(before, ("fast", "v2", "r2"))
    assert void() == {"scorer_changed"}
    assert "prompt risk" not in guard.note()


def test_the_operator_can_have_the_bases_traffic_instead(guarded):
    guard, _, _ = guarded(made(approved=False), baseline_fallback="traffic")
    assert guard.may_use_traffic
    assert "the base's own traffic is used instead" in guard.note()


def test_digests_decide_where_both_are_known_and_names_where_not(guarded):
    guard, void, _ = guarded(made(base_digest=OURS))
    assert not guard.check((), "")
    assert not guard.check({"renamed"}, OURS)
    assert guard.check({"base"}, OTHER)
    assert void() == {"base_changed"}
    assert guard.check({"base"}, OURS)
    assert (void(), guard.note()) == (set(), "")


def test_a_signature_that_is_wanted_and_not_there_voids(guarded, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = tmp_path / "key.pub"
    public.write_bytes(
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    _, void, _ = guarded(made(), baseline_public_key=public)
    assert void() == {"not_signed"}


def test_without_a_file_nothing_is_void():
    metrics = Metrics(CollectorRegistry(), "0")
    guard = BaselineGuard(DriftSection(), "fast", "v1", "r1", metrics.baseline)
    guard.check({"base"}, OURS)
    assert (guard.configured, guard.reason, guard.note(), guard.references) == (False, "", "", {})
