"""Events come from the server's list and from admin calls, in the right kind and once."""

from __future__ import annotations

import json

import pytest

from monitor.adapters import ServedModel
from monitor.adapters.timeline import CALL_S, MAX_EVENTS, Event, Timeline
from monitor.records import AdapterEvent

BASE = ServedModel("base", "", "/m/base")
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


def adapter(name: str, root: str = "") -> ServedModel:
    return ServedModel(name, "base", root or f"/a/{name}")


def seen(timeline: Timeline) -> list[tuple[str, str]]:
    return [(event.kind.value, event.name) for event in timeline.events]


@pytest.fixture
def timeline() -> Timeline:
    made = Timeline()
    made.take_models([BASE, adapter("a")], 0)
    return made


def test_what_is_there_at_the_first_look_was_loaded_before(timeline: Timeline) -> None:
    assert seen(timeline) == [("loaded", "base"), ("loaded", "a")]
    timeline.take_models([BASE, adapter("a")], 10)
    assert len(timeline.events) == 2


def test_a_name_without_an_admin_call_appears_unannounced_and_one_with_is_loaded_once(timeline: Timeline) -> None:
    assert timeline.note_admin_call("POST", LOAD, 200, "called", 5)
    timeline.take_models([BASE, adapter("a"), adapter("called"), adapter("uncalled")], 10)
    assert seen(timeline)[2:] == [("loaded", "called"), ("appeared_unannounced", "uncalled")]


def test_a_call_that_comes_in_after_the_list_showed_its_adapter_loaded_it_and_did_not_reload_it(
    timeline: Timeline,
) -> None:
    timeline.take_models([BASE, adapter("a"), adapter("quick")], 10.2)
    timeline.note_digest("quick", "d1", 10.3)
    assert timeline.note_admin_call("POST", LOAD, 200, "quick", 10.1)
    assert seen(timeline)[2:] == [("appeared_unannounced", "quick"), ("digested", "quick"), ("loaded", "quick")]
    timeline.note_admin_call("POST", LOAD, 200, "quick", 60)
    assert seen(timeline)[-1] == ("reloaded_in_place", "quick")


def test_an_old_call_explains_nothing(timeline: Timeline) -> None:
    timeline.note_admin_call("POST", LOAD, 200, "late", 5)
    timeline.take_models([BASE, adapter("a")], 5 + CALL_S + 1)
    timeline.take_models([BASE, adapter("a"), adapter("late")], 5 + CALL_S + 2)
    assert seen(timeline)[-1] == ("appeared_unannounced", "late")


@pytest.mark.parametrize(
    ("method", "target", "name"),
    [
        ("POST", UNLOAD, "a"),
        ("POST", f"/prefix{UNLOAD}?x=1", "a"),
        ("DELETE", "/adapters/a", ""),
        ("DELETE", "/adapters/%61/", ""),
    ],
)
def test_an_unload_is_told_with_or_without_its_call(timeline: Timeline, method: str, target: str, name: str) -> None:
    assert timeline.note_admin_call(method, target, 200, name, 5)
    timeline.take_models([BASE], 10)
    assert (timeline.events[-1].kind, timeline.events[-1].detail) == (AdapterEvent.UNLOADED, "")
    timeline.take_models([BASE, adapter("b")], 20)
    timeline.take_models([BASE], 30)
    assert timeline.events[-1].detail == "no admin call was seen"


def test_a_load_of_a_name_that_is_there_is_a_reload_in_place(timeline: Timeline) -> None:
    timeline.note_admin_call("POST", LOAD, 200, "a", 5)
    timeline.take_models([BASE, adapter("a", "/a/other")], 10)
    assert seen(timeline)[2:] == [("reloaded_in_place", "a"), ("reloaded_in_place", "a")]
    assert timeline.events[-1].detail == "before from /a/a"


def test_a_reload_after_an_unload_that_no_look_saw_is_a_load(timeline: Timeline) -> None:
    timeline.note_admin_call("POST", UNLOAD, 200, "a", 5)
    timeline.note_admin_call("POST", "/adapters", 200, "a", 6)
    assert seen(timeline)[-1] == ("loaded", "a")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("POST", LOAD, 404), ("POST", LOAD, 0), ("GET", LOAD, 200), ("POST", "/v1/chat/completions", 200), ("GET", "/adapters", 200)],
)  # fmt: skip
def test_what_failed_or_asks_for_nothing_makes_no_event(
    timeline: Timeline, method: str, target: str, status: int
) -> None:
    assert not timeline.note_admin_call(method, target, status, "a", 5)
    assert len(timeline.events) == 2


def test_new_weights_for_the_base_and_another_base_are_told(timeline: Timeline) -> None:
    timeline.note_admin_call("POST", "/update_weights", 200, "", 5)
    timeline.take_models([ServedModel("base", "", "/m/other"), adapter("a")], 10)
    timeline.take_models([ServedModel("base2", "", "/m/base2"), adapter("a")], 20)
    assert [kind for kind, _ in seen(timeline)[2:]] == ["base_changed"] * 4


def test_a_digest_that_changes_under_a_name_is_told_and_the_first_one_is_not_a_change(timeline: Timeline) -> None:
    assert not timeline.note_digest("a", "1" * 64, 1)
    assert not timeline.note_digest("a", "1" * 64, 2)
    assert not timeline.note_digest("a", "", 3)
    assert timeline.note_digest("a", "2" * 64, 4)
    assert not timeline.note_digest("never listed", "2" * 64, 4)
    assert seen(timeline)[2:] == [("digested", "a"), ("digest_changed", "a")]
    assert timeline.events[-1].detail == f"before {'1' * 64}"


def test_a_successor_notices_what_changed_meanwhile(timeline: Timeline) -> None:
    timeline.note_digest("a", "1" * 64, 1)
    saved = json.loads(json.dumps(timeline.save()))
    successor = Timeline()
    successor.restore(saved)
    assert successor.events == timeline.events
    assert successor.counts == timeline.counts
    successor.take_models([BASE, adapter("a"), adapter("new")], 10)
    assert successor.note_digest("a", "2" * 64, 11)
    assert seen(successor)[3:] == [("loaded", "new"), ("digest_changed", "a")]


def test_events_that_were_written_down_are_as_good_as_a_snapshot(timeline: Timeline) -> None:
    timeline.note_digest("a", "1" * 64, 1)
    timeline.take_models([BASE], 2)
    timeline.take_models([BASE, adapter("b")], 3)
    timeline.note_digest("b", "3" * 64, 4)
    successor = Timeline()
    successor.replay([Event(**(event.as_json() | {"kind": event.kind})) for event in timeline.events])
    successor.take_models([BASE, adapter("b")], 10)
    assert successor.digest("a") == ""
    assert successor.note_digest("b", "4" * 64, 11)
    assert len(successor.events) == len(timeline.events) + 1


@pytest.mark.parametrize("state", [None, {}, {"known": 3, "events": [], "counts": {}}, []])
def test_what_is_no_saved_timeline_is_refused_and_changes_nothing(timeline: Timeline, state: object) -> None:
    before = timeline.events
    with pytest.raises(ValueError):
        timeline.restore(state)
    assert timeline.events == before


def test_the_number_of_events_is_bounded(timeline: Timeline) -> None:
    for number in range(MAX_EVENTS):
        timeline.note_admin_call("POST", "/update_weights", 200, "", number)
    assert len(timeline.events) == MAX_EVENTS
    assert timeline.counts[AdapterEvent.BASE_CHANGED] == MAX_EVENTS
