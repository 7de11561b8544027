from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from api_bench import ApiBench

from monitor.adapters import ServedModel
from monitor.records import AdapterEvent


@pytest.fixture
async def bench() -> AsyncIterator[ApiBench]:
    made = ApiBench()
    runner = await made.start()
    yield made
    await runner.cleanup()


async def test_one_combination_is_found_by_its_name_whatever_characters_it_has(bench: ApiBench) -> None:
    bench.drift()
    status, found, _ = await bench.ask("/api/v1/combinations/a+b")
    assert (status, found["served_name"], found["requests"]) == (200, "org/ab", 20)
    assert found["signals"][0]["evidence_log"] >= found["signals"][0]["evidence_needed_log"]
    assert (await bench.ask("/api/v1/combinations/org%2Fab"))[1]["name"] == "a+b", "under its served name, too"
    status, found, headers = await bench.ask("/api/v1/combinations/who%2Fever")
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert (found["status"], found["title"], found["instance"]) == (404, "Not Found", "/api/v1/combinations/who/ever")


async def test_pages_join_to_the_whole_also_when_entries_come_and_go_between_them(bench: ApiBench) -> None:
    whole = [one["name"] for one in (await bench.ask("/api/v1/combinations"))[1]["combinations"]]
    assert whole[0] == "base"
    names, cursor = [], ""
    while cursor is not None:
        status, found, _ = await bench.ask(f"/api/v1/combinations?limit=1&cursor={cursor}")
        assert status == 200
        names += [one["name"] for one in found["combinations"]]
        cursor = found["next"]
        if len(names) == 2:
            models = [ServedModel("base", ""), *(ServedModel(name, "base") for name in ("org/ab", "abc", "a", "z"))]
            bench.catalog.update(models)
    assert names == [*whole, "z"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", ">= 1"),
        ("limit=x", "int"),
        ("limit=1&limit=2", "twice"),
        ("cursor=!", "matching regex"),
        ("page=2", "unknown field `page`"),
    ],
)
async def test_a_wrong_query_is_a_problem_that_says_what_is_wrong(bench: ApiBench, query: str, said: str) -> None:
    status, found, headers = await bench.ask(f"/api/v1/pairs?{query}")
    assert (status, headers["Content-Type"], found["status"]) == (400, "application/problem+json", 400)
    assert said in found["detail"]


@pytest.mark.parametrize(
    ("cursor", "said"),
    [("abc", "none of ours"), ("WzFd", "another list"), ("Wz", "none of ours"), ("e30", "none of ours")],
)
async def test_a_cursor_that_names_no_place_finds_nothing(bench: ApiBench, cursor: str, said: str) -> None:
    status, found, _ = await bench.ask(f"/api/v1/pairs?cursor={cursor}")
    assert status == 404
    assert said in found["detail"]


@pytest.mark.parametrize(("path", "method", "status"), [("/api/v1/x", "GET", 404), ("/api/v1/pairs", "POST", 405)])
async def test_what_is_not_there_is_a_problem_too(bench: ApiBench, path: str, method: str, status: int) -> None:
    found = await bench.ask(path, method)
    assert (found[0], found[1]["status"], found[2]["Content-Type"]) == (status, status, "application/problem+json")
    assert found[2].get("Allow", "") == ("GET,HEAD" if status == 405 else "")


async def test_what_has_not_changed_is_not_sent_again(bench: ApiBench) -> None:
    _, _, headers = await bench.ask("/api/v1/combinations")
    bench.now += 60
    again = {"If-None-Match": headers["ETag"]}
    status, body, _ = await bench.ask("/api/v1/combinations", **again)
    assert (status, body) == (304, "")
    bench.say("base", "no")
    assert (await bench.ask("/api/v1/combinations", **again))[0] == 200


async def test_events_are_the_newest_first_and_can_be_chosen(bench: ApiBench) -> None:
    bench.timeline.take_models([ServedModel("base", "")], 950.0)
    found = (await bench.ask("/api/v1/events"))[1]
    assert [(one["time"], one["kind"]) for one in found["events"]] == [(950.0, "unloaded")] * 3 + [
        (900.0, "loaded")
    ] * 4
    first = (await bench.ask("/api/v1/events?limit=2"))[1]
    bench.timeline.note_admin_call("POST", "/v1/load_lora_adapter", 200, "late", 960.0)
    rest = (await bench.ask(f"/api/v1/events?cursor={first['next']}"))[1]
    assert first["events"] + rest["events"] == found["events"]
    chosen = (await bench.ask(f"/api/v1/events?name=a&kind={AdapterEvent.UNLOADED.value}"))[1]["events"]
    assert [(one["name"], one["time"]) for one in chosen] == [("a", 950.0)]


async def test_pairs_are_those_served_together_beside_what_each_does_alone(bench: ApiBench) -> None:
    bench.drift()
    bench.say("a", "no", 20)
    pairs = {(one["first"], one["second"]): one for one in (await bench.ask("/api/v1/pairs"))[1]["pairs"]}
    assert set(pairs) == {("a", "b"), ("a", "c"), ("b", "c")}
    ab = pairs["a", "b"]
    assert (ab["condition"], ab["first_alone"], ab["second_alone"]) == ("drifting", "ok", None)
    assert [one["name"] for one in ab["combinations"]] == ["a+b", "a+b+c"]
    assert pairs["b", "c"]["condition"] == "warming_up"


async def test_evaluations_are_the_registry_s(bench: ApiBench) -> None:
    found = (await bench.ask("/api/v1/evaluations"))[1]["evaluations"]
    assert [(one["subject"], one["kind"], one["suite"]) for one in found] == [
        ("a", "adapter", "s"), ("org/ab", "combination", "s"), ("org/ab", "combination", "t"),
    ]  # fmt: skip
    assert found[0]["metrics"] == [{"type": "refusal_lost", "value": 0.1, "slice": "", "lower": 0.0, "upper": 0.2}]
    assert len((await bench.ask("/api/v1/evaluations?subject=org/ab"))[1]["evaluations"]) == 2
