"""The files behind served names are watched: digests, changes, compositions and statuses reach combinations and metrics."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_adapters import drawn, summed, write
from prometheus_client import CollectorRegistry
from running_sidecar import eventually

from monitor.adapters import Catalog, Registry, ServedModel
from monitor.adapters.validation import Probed, ProbeOutcome
from monitor.adapters.watch import AdapterWatch
from monitor.config.model import AdaptersSection
from monitor.records import AdapterEvent, Part
from monitor.telemetry.adapter_metrics import AdapterMetrics


class Watched:
    """A watch over real files, with the catalog that it tells."""

    def __init__(self, place: Path, registry: dict[str, Any] | None = None, **section: Any) -> None:
        self.place = place
        self.metrics = CollectorRegistry()
        content = Registry.model_validate(registry or {})
        self.catalog = Catalog(content, 20, 60)
        settings = AdaptersSection(**({"folders": (place,), "known": (place / "known",)} | section))
        metrics = AdapterMetrics(self.metrics, [one.value for one in AdapterEvent])
        self.watch = AdapterWatch(settings, content, self.catalog, metrics)
        self.changed: list[str] = []
        self.watch.on_changed = self.changed.extend

    async def serve(self, *names: str) -> None:
        """The server lists the base and these adapters."""
        models = [ServedModel("base", "", str(self.place / "base"))]
        models += [ServedModel(name, "base", str(self.place / name)) for name in names]
        self.catalog.update(models)
        self.watch.take_models(models)
        await self.watch.look()

    def id(self, name: str) -> str:
        combination = self.catalog.identify(name, "").combination
        assert combination is not None
        return combination.id

    def shown(self, name: str) -> dict[str, Any]:
        identity = self.catalog.identify(name, "")
        assert identity.combination is not None
        return self.watch.shown(identity.label, identity.combination)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.get_sample_value(name, labels)

    def events(self) -> list[tuple[str, str]]:
        return [(one["kind"], one["name"]) for one in reversed(self.watch.events())]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    for seed, name in enumerate(("alpha", "beta", "gamma")):
        write(tmp_path / "known" / name, drawn(seed))
    write(tmp_path / "single", drawn(7))
    write(tmp_path / "merged", summed([(drawn(0), 0.7), (drawn(1), 1.3)]))
    return tmp_path


async def test_other_contents_under_the_same_name_are_another_combination(place: Path) -> None:
    watched = Watched(place)
    await watched.serve("single")
    first = watched.id("single")
    await watched.serve("single")
    assert (watched.changed, watched.id("single")) == ([], first)
    write(place / "single", drawn(8))
    await watched.serve("single")
    assert watched.changed == ["single"]
    assert watched.id("single") != first
    assert watched.catalog.identify("single", "").label == "single"
    assert watched.events()[-1] == ("digest_changed", "single")
    assert watched.value("alignment_adapter_events_total", event="digest_changed") == 1
    write(place / "single", drawn(7))
    await watched.serve("single")
    assert watched.id("single") == first, "the same contents are the same combination again"


async def test_an_undeclared_merge_is_told_from_its_weights(place: Path) -> None:
    watched = Watched(place)
    await watched.serve("merged", "single")
    found = watched.shown("merged")
    assert found["composition"] == "1.3 beta + 0.7 alpha (residual 0.000)"
    assert found["composition_details"]["verdict"] == "merge"
    assert watched.shown("single")["composition"] == ""
    assert watched.value("alignment_composition_residual", combination="merged") == 0.0
    assert watched.value("alignment_composition_residual", combination="single") is None


async def test_served_adapters_know_each_other_without_a_folder_of_known_ones(place: Path) -> None:
    for name in ("alpha", "beta"):
        (place / "known" / name).rename(place / name)
    watched = Watched(place, known=())
    await watched.serve("alpha", "beta", "merged")
    assert watched.shown("merged")["composition"].startswith("1.3 beta + 0.7 alpha")


async def test_pairs_of_single_served_adapters_are_ranked_under_their_served_names(place: Path) -> None:
    near = summed([(drawn(7), 1.0), (drawn(20), 0.5)])
    write(place / "near", near)
    write(place / "other", drawn(9))
    watched = Watched(place, known=())
    await watched.serve("single")
    assert watched.watch.ranked == ()
    for name in ("alpha", "beta"):
        (place / "known" / name).rename(place / name)
    await watched.serve("single", "near", "other", "merged", "alpha", "beta", "never-there")
    ranked = [{pair.first, pair.second} for pair in watched.watch.ranked]
    assert ranked[0] == {"single", "near"}, "one is in the other, beside something that nobody knows"
    assert not any(names & {"merged", "never-there"} for names in ranked)
    before = watched.watch.ranked
    await watched.serve("single", "near", "other", "merged", "alpha", "beta", "never-there")
    assert watched.watch.ranked is before, "nothing changed, so nothing is computed again"
    await watched.serve("single", "other")
    assert [{pair.first, pair.second} for pair in watched.watch.ranked] == [{"single", "other"}]
    (place / "other/adapter_model.safetensors").unlink()
    await watched.serve("single", "other")
    assert watched.watch.ranked == ()


async def test_what_cannot_be_read_is_undigested_and_says_why(place: Path) -> None:
    watched = Watched(place)
    await watched.serve("single", "never-there")
    found = watched.shown("never-there")
    assert found["digest"] == ""
    assert "cannot be read" in found["digest_problem"]
    assert watched.value("alignment_adapters_undigested") == 1
    watched.watch.assess(())
    assert watched.value("alignment_adapter_info", combination="never-there", digest="undigested") == 1
    (place / "single/adapter_model.safetensors").unlink()
    await watched.serve("single", "never-there")
    watched.watch.assess(())
    assert watched.value("alignment_adapter_info", combination="single", digest="undigested") == 1
    assert watched.changed == [], "that a file cannot be read does not say that it changed"


async def test_without_folders_nothing_is_read(place: Path) -> None:
    watched = Watched(place, folders=())
    await watched.serve("single")
    assert watched.shown("single")["digest_problem"] == "adapters.folders names no folder that may be read"
    assert watched.value("alignment_adapters_undigested") == 2


async def test_a_base_that_changes_makes_every_combination_another_one(place: Path) -> None:
    watched = Watched(place)
    await watched.serve("single")
    before = watched.id("single"), watched.id("base")
    (place / "base/config.json").write_text('{"hidden_size": 3}')
    await watched.serve("single")
    assert watched.changed == ["base", "single"]
    assert set(before).isdisjoint({watched.id("single"), watched.id("base")})
    assert watched.events()[-1] == ("base_changed", "base")


async def test_a_declaration_of_other_contents_does_not_count(place: Path) -> None:
    from monitor.adapters.digest import adapter_digest

    parts = [{"adapter": "alpha", "scale": 0.7}, {"adapter": "beta", "scale": 1.3}]
    declared = {"served_name": "merged", "parts": parts, "digest": adapter_digest(place / "merged")}
    watched = Watched(place, {"combinations": [declared]})
    await watched.serve("merged")
    assert watched.catalog.identify("merged", "").label == "0.7*alpha+1.3*beta"
    write(place / "merged", drawn(9))
    await watched.serve("merged")
    identity = watched.catalog.identify("merged", "")
    assert identity.label == "merged"
    assert watched.watch.assess(()) == {"merged"}
    assert watched.shown("merged")["status_reason"] == "its files are not those that the registry declares"


@pytest.mark.parametrize(
    ("setting", "registry", "required"),
    [
        ("auto", {}, 0.0),
        ("auto", {"combinations": [{"served_name": "x", "parts": [{"adapter": "a"}]}]}, 0.0),
        ("auto", {"adapters": [{"name": "a", "evaluations": [{"date": "2026-11-24", "scope": "alone", "suite": "s"}]}]}, 1.0),
        ("required", {}, 1.0),
        ("off", {"adapters": [{"name": "a", "evaluations": [{"date": "2026-11-24", "scope": "alone", "suite": "s"}]}]}, 0.0),
    ],
)  # fmt: skip
async def test_nobody_is_alerted_who_registered_nothing(
    place: Path, setting: str, registry: dict[str, Any], required: float
) -> None:
    watched = Watched(place, registry, validation=setting)
    await watched.serve("single")
    assert watched.watch.assess(()) == {"single"}, "the status is shown in any case"
    assert watched.value("alignment_combination_state", combination="single", status="unvalidated") == 1
    assert watched.value("alignment_validation_required") == required


async def test_drift_is_a_status_and_its_end_is_too(place: Path) -> None:
    watched = Watched(place)
    await watched.serve("single")
    for drifting, status in ((["single"], "drifting"), ([], "unvalidated")):
        watched.watch.assess(drifting)
        assert watched.shown("single")["status"] == status
        assert watched.value("alignment_combination_state", combination="single", status=status) == 1
    assert watched.value("alignment_combination_state", combination="single", status="drifting") == 0


async def test_events_survive_in_a_snapshot_and_in_a_file(place: Path) -> None:
    file = place / "events.jsonl"
    first = Watched(place, events_file=file)
    await first.serve("single")
    saved = json.loads(json.dumps(first.watch.save()))
    write(place / "single", drawn(8))
    from_snapshot = Watched(place)
    from_snapshot.watch.restore(saved)
    await from_snapshot.serve("single")
    assert from_snapshot.changed == ["single"], "it changed while nobody watched"
    assert from_snapshot.value("alignment_adapter_events_total", event="digested") == 2
    with file.open("a") as out:
        out.write('{"half')
    from_file = Watched(place, events_file=file)
    await from_file.serve("single")
    assert from_file.changed == ["single"]
    assert from_file.events()[: len(first.events())] == first.events()


async def test_an_unwritable_events_file_is_logged_and_stops_nothing(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(place, events_file=place / "no" / "such" / "file")
    await watched.serve("single")
    assert watched.shown("single")["digest"]
    assert any("adapters.events_file" in record.message for record in caplog.records)


async def test_a_merge_is_told_once_its_parts_are_loaded_later(place: Path) -> None:
    for name in ("alpha", "beta"):
        (place / "known" / name).rename(place / name)
    watched = Watched(place, known=())
    await watched.serve("merged", "single")
    assert watched.shown("merged")["composition"] == ""
    await watched.serve("merged", "single", "alpha", "beta")
    assert watched.shown("merged")["composition"].startswith("1.3 beta + 0.7 alpha")


async def test_a_known_adapter_that_changed_is_not_taken_for_what_it_was(place: Path) -> None:
    cache = place / "cache"
    await Watched(place, cache_folder=cache).serve("merged")
    write(place / "known" / "alpha", drawn(11))
    write(place / "known" / "beta", drawn(12))
    again = Watched(place, cache_folder=cache)
    await again.serve("merged")
    assert again.shown("merged")["composition"] == ""
    assert again.shown("merged")["composition_details"]["verdict"] == "unexplained"


async def test_what_our_own_questions_found_reaches_the_status_and_where_told_to_the_policy(place: Path) -> None:
    watched = Watched(place, enforcement="block-unvalidated", registry_file=place / "registry.yaml")
    await watched.serve("single")
    for approves, reason, status in ((False, "unvalidated", "validating"), (True, "", "validated")):
        found = {"single": ProbeOutcome(Probed.PASSED, "not found worse", approves)}
        assert watched.watch.assess([], {}, found) == ({"single"} if reason else set())
        policy = watched.watch.policy(None)
        assert policy is not None
        assert policy.names["single"].reason == reason
        assert watched.shown("single")["status"] == status
        assert watched.value("alignment_combination_state", combination="single", status=status) == 1
    assert watched.watch.looked_at("single")
    single = watched.catalog.identify("single", "").combination
    assert single is not None
    assert not watched.watch.evaluated(single), "the registry has said nothing"
    await watched.serve()
    assert not watched.watch.looked_at("single"), "what is not served cannot be asked"


async def test_the_folder_of_an_adapter_is_told_by_its_contents_where_they_are_known_and_else_by_its_name(
    place: Path,
) -> None:
    watched = Watched(place, folders=(place, place / "known"))
    await watched.serve("single")
    assert watched.watch.folder_of(Part("beta")) == "", "nobody wanted to know"
    watched.watch.scans = True
    await watched.serve("single")
    assert watched.watch.folder_of(Part("beta")) == str(place / "known" / "beta")
    single = watched.catalog.digest("single")
    assert watched.watch.folder_of(Part("renamed", digest=single)) == str(place / "single")
    assert watched.watch.folder_of(Part("beta", digest="0" * 64)) == "", "other contents under that name are not it"
    assert watched.watch.load_problem(Part("beta"), str(place / "known" / "beta")) == ""


async def test_what_one_adapter_stumbles_over_keeps_nobody_from_looking_at_the_others(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = place / "cache"
    watched = Watched(place, cache_folder=cache)
    await watched.serve("merged")
    for file in cache.iterdir():  # whole files, which say of every adapter that it changes another module
        with np.load(file) as stored:
            key = stored["key"]
        nothing = np.array([], dtype=str)
        np.savez(
            file, key=key, modules=np.array(["other"]), others=nothing, products=np.zeros((0, 1)), near=nothing,
            cosines=np.zeros(0),
        )  # fmt: skip
    again = Watched(place, cache_folder=cache)
    await again.serve("merged", "single")
    assert "merged cannot be compared with the known adapters: KeyError at " in caplog.text
    assert (again.shown("merged")["composition"], len(again.shown("merged")["digest"])) == ("", 64)
    assert len(again.shown("single")["digest"]) == 64
    caplog.clear()
    await again.serve("merged", "single")
    assert "cannot be compared" not in caplog.text, "it is not tried again before something changes"


async def test_a_look_that_fails_does_not_end_those_that_come(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(place)
    looks: list[int] = []

    def looked() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("a quokka")

    watched.watch.on_looked = looked
    task = asyncio.create_task(watched.watch.run())
    try:
        models = [ServedModel("base", "", str(place / "base")), ServedModel("merged", "base", str(place / "merged"))]
        watched.catalog.update(models)
        watched.watch.take_models(models)
        await eventually(
            lambda: "looking at the adapters' files failed (0 more before): RuntimeError" in caplog.text, "the failure"
        )
        watched.watch.take_models(models)
        await eventually(lambda: watched.shown("merged")["composition"], "the composition")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "quokka" not in caplog.text


async def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "file").write_text("")
    watched = Watched(place, cache_folder=place / "file" / "cache")
    await watched.serve("merged")
    assert watched.shown("merged")["composition"].startswith("1.3 beta + 0.7 alpha")
    assert caplog.text.count("adapters.cache_folder") == 1


async def test_what_was_computed_of_adapters_that_are_gone_is_forgotten(place: Path) -> None:
    watched = Watched(place)
    for seed in range(100, 106):  # replaced in place, again and again
        write(place / "merged", summed([(drawn(0), 0.7), (drawn(seed), 1.3)]))
        await watched.serve("merged", "single")
    assert watched.shown("merged")["composition"].startswith("0.7 alpha + something unknown")
    rows = watched.watch._gram._rows
    served = {watched.shown(name)["digest"] for name in ("merged", "single")}
    assert served < rows.keys()
    assert len(rows) <= 5, "two that are served, and three that are known"
    assert all(len(row.products) <= 5 and len(row.cosines) <= 5 for row in rows.values())
    write(place / "merged", summed([(drawn(0), 0.7), (drawn(1), 1.3)]))
    await watched.serve("merged", "single")
    assert watched.shown("merged")["composition"].startswith("1.3 beta + 0.7 alpha")
