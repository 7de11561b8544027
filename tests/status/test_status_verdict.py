from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from monitor.records import Condition
from monitor.status.reading import CombinationStatus, CoverageStatus, JudgedStatus, Reading, SignalStatus, health
from monitor.status.verdict import Level, headline, level_of, reasons


def signal(name: str = "refusal_lost", condition: Condition = Condition.OK) -> SignalStatus:
    return SignalStatus(name, condition, 20, 18, 0.9, 0.6, 1.0, 0.02, 50, 0.1, since=0.0)


def row(name: str, *signals: SignalStatus, is_base: bool = False, **more) -> CombinationStatus:
    return CombinationStatus(name, name, is_base, requests=20, signals=signals, **more)


def coverage(*endpoints: tuple[str, int, int]) -> CoverageStatus:
    return CoverageStatus(900.0, tuple(JudgedStatus(name, due, due, scored) for name, due, scored in endpoints))


BASE = row("base", signal(condition=Condition.NO_BASELINE), is_base=True)
FINE = Reading(1000.0, (BASE, row("a", signal())))


def told(reading: Reading) -> list[str]:
    return [f"{one.level.name} {one.subject}: {one.text}" for one in reasons(reading)]


def test_all_is_well():
    assert (told(FINE), level_of(reasons(FINE))) == ([], Level.OK)
    assert headline(FINE) == "0 of 1 combinations worse than the base model"


def test_too_few_answers_are_not_wrong_but_are_said():
    reading = Reading(0.0, (BASE, row("a", signal(condition=Condition.WARMING_UP)), row("b")))
    assert level_of(reasons(reading)) is Level.OK
    assert headline(reading).endswith("of 2 too little is known yet")


@pytest.mark.parametrize(
    "name", ["refusal_lost", "refusal_lost_paired", "collusion", "refuse_then_comply", "something_new"]
)
def test_a_combination_that_drifts_is_critical(name: str):
    reading = Reading(0.0, (BASE, row("a", signal(name, Condition.DRIFTING))))
    assert level_of(reasons(reading)) is Level.CRITICAL
    assert "90%" in told(reading)[0]
    reference = "base or a part" if name == "collusion" else "base"
    assert f"20 answers, interval 60% to 100%; {reference} 2.0%" in told(reading)[0]


def test_a_small_loss_that_harder_prompts_may_make_is_a_warning_until_the_interval_is_clear_of_it():
    def level(name: str, lower: float) -> Level:
        small = msgspec.structs.replace(signal(name, Condition.DRIFTING), rate=0.12, lower=lower, baseline_rate=0.03)
        return level_of(reasons(Reading(0.0, (BASE, row("a", small)))))

    assert (level("refusal_lost", 0.06), level("refusal_lost", 0.09)) == (Level.WARNING, Level.CRITICAL)
    assert level("refusal_lost_paired", 0.06) is Level.CRITICAL


WARNINGS = {
    "refuses too much": Reading(0.0, (BASE, row("a", signal("over_refusal", Condition.DRIFTING)))),
    "the base model is not measured, so nothing can be said of a, b, c and 1 more": Reading(
        0.0, (BASE, *(row(name, signal(condition=Condition.NO_BASELINE)) for name in "abcd"))
    ),
    "serves users and is unvalidated: nobody evaluated it": replace(
        FINE,
        combinations=(
            BASE,
            row("a", status="unvalidated", status_reason="nobody evaluated it", validation_required=True),
        ),
    ),
    "no report from proxy worker 0": replace(FINE, problems=("no report from proxy worker 0",)),
    "list of models cannot be read": replace(FINE, discovery_up=False),
    "only 25% of 100 exchanges on messages": replace(FINE, coverage=coverage(("messages", 100, 25))),
    "all combinations move together in over_refusal": replace(FINE, common_causes=("over_refusal",)),
    "the oldest has waited for 7 min": replace(FINE, undelivered_s=420.0),
    "no model is known yet": Reading(0.0, ()),
}


@pytest.mark.parametrize("words", WARNINGS)
def test_what_opens_a_ticket_is_a_warning(words: str):
    found = told(WARNINGS[words])
    assert level_of(reasons(WARNINGS[words])) is Level.WARNING
    assert len(found) == 1
    assert words in found[0] or words == "refuses too much"


@pytest.mark.parametrize(
    "reading",
    [
        replace(FINE, undelivered_s=120.0, coverage=coverage(("messages", 40, 0), ("chat_completions", 100, 51))),
        replace(
            FINE, combinations=(BASE, row("a", status="unvalidated", status_reason="x", validation_required=False))
        ),
    ],
    ids=["few exchanges", "nobody asked for validation"],
)
def test_what_alerts_nobody_is_no_warning(reading: Reading):
    assert told(reading) == []


def test_the_worst_comes_first():
    reading = replace(FINE, problems=("x",), common_causes=("refusal_lost",))
    assert [line.partition(" ")[0] for line in told(reading)] == ["CRITICAL", "WARNING"]


def test_health_is_read_from_the_metrics():
    text = """
# TYPE alignment_discovery_up gauge
alignment_discovery_up 0
# TYPE alignment_common_cause gauge
alignment_common_cause{signal="refusal_lost"} 1
alignment_common_cause{signal="over_refusal"} 0
# TYPE alignment_webhook_waiting_seconds gauge
alignment_webhook_waiting_seconds 42
"""
    assert health(text) == {"discovery_up": False, "common_causes": ("refusal_lost",), "undelivered_s": 42}
