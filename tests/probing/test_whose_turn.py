"""Who is asked next, and what is kept of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from test_rounds import TARGET

from monitor.adapters.validation import Probed
from monitor.probing.ledger import RETRY_S, Records, whose_turn
from monitor.probing.rounds import Reason, Record, Target

DAY = 86_400.0


def target(label: str, digest: str = "1" * 64) -> Target:
    """A combination of this name."""
    return replace(TARGET, label=label, digest=digest)


def record(of: Target, ended: float, result: Probed = Probed.PASSED, reason: Reason = Reason.FIRST_USE) -> Record:
    """A round that ended then."""
    return Record(of, reason, ended - 60, ended, 10, result, "because", enough=result is not Probed.UNMEASURED)


def turn(
    targets: list[Target], records: Records, now: float, *, evaluated: bool = False, **more: object
) -> tuple[str, Reason] | None:
    """Label and reason of the next round."""
    found = whose_turn(
        [(one, evaluated) for one in targets],
        more.get("asked", ()),  # type: ignore[arg-type]
        records,
        DAY,
        now,
        validate_new=bool(more.get("validate_new", True)),
    )
    return None if found is None else (found[0].label, found[1])


def test_what_somebody_asked_for_goes_first_then_what_is_new_then_who_waits_longest() -> None:
    records, everyone = Records(), [target("old"), target("older"), target("new")]
    records.add(record(target("old"), 1000.0))
    records.add(record(target("older"), 500.0))
    assert turn(everyone, records, 900.0 + DAY, asked=["gone", "old"]) == ("old", Reason.ASKED)
    assert turn(everyone, records, 900.0 + DAY) == ("new", Reason.FIRST_USE)
    records.add(record(target("new"), 900.0 + DAY))
    assert turn(everyone, records, 2000.0 + DAY) == ("older", Reason.SCHEDULED)
    records.add(record(target("older"), 2000.0 + DAY, reason=Reason.SCHEDULED))
    assert turn(everyone, records, 2000.0 + DAY) == ("old", Reason.SCHEDULED)
    records.add(record(target("old"), 2000.0 + DAY, reason=Reason.SCHEDULED))
    assert turn(everyone, records, 2000.0 + DAY) is None


def test_what_the_registry_evaluated_is_not_validated_but_probed_from_time_to_time() -> None:
    assert turn([target("a")], Records(), 0.0, evaluated=True) == ("a", Reason.SCHEDULED)
    assert turn([target("a")], Records(), 0.0, validate_new=False) == ("a", Reason.SCHEDULED)


def test_other_contents_are_a_new_combination_and_keep_nothing() -> None:
    records, before, after = Records(), target("a"), target("a", "9" * 64)
    records.add(record(before, 1000.0, Probed.FAILED))
    assert turn([after], records, 1001.0) == ("a", Reason.FIRST_USE)
    assert records.validation(after) is None
    assert records.latest(after) is None


def test_a_round_that_came_to_nothing_is_tried_again_sooner_and_a_scheduled_one_does_not_unsettle_a_result() -> None:
    records, one = Records(), target("a")
    records.add(record(one, 1000.0, Probed.UNMEASURED))
    assert turn([one], records, 999.0 + RETRY_S) is None
    assert turn([one], records, 1000.0 + RETRY_S) == ("a", Reason.FIRST_USE)
    records.add(
        replace(record(one, 2000.0, Probed.UNMEASURED), enough=True)
    )  # the base declines too little, and will again
    assert turn([one], records, 2000.0 + RETRY_S) is None
    assert turn([one], records, 2000.0 + DAY) == ("a", Reason.FIRST_USE)
    records.add(record(one, 5000.0, Probed.FAILED))
    records.add(record(one, 6000.0, Probed.PASSED, Reason.SCHEDULED))
    validation, latest = records.validation(one), records.latest(one)
    assert validation is not None
    assert latest is not None
    assert (validation.result, latest.result) == (Probed.FAILED, Probed.PASSED)


def test_records_are_saved_and_restored_and_a_damaged_state_changes_nothing() -> None:
    records, other = Records(), Records()
    records.add(record(target("a"), 1000.0))
    records.add(record(target("b"), 2000.0))
    other.restore(records.save())
    assert other.all() == records.all()
    with pytest.raises(ValueError, match="target"):
        other.restore([{"reason": "asked"}])
    assert other.all() == records.all()
    other.forget(["a"])
    assert [one.target.label for one in other.all()] == ["b"]
