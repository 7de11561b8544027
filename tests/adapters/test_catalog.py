from __future__ import annotations

from typing import Any

import pytest

from monitor.adapters import OTHER, UNLISTED, Catalog, Registry, ServedModel
from monitor.adapters.catalog import MAX_NAME

BASE = ServedModel("base", "", "/models/base")


def adapter(name: str) -> ServedModel:
    return ServedModel(name, "base", f"/adapters/{name}")


def catalog(cap: int = 10, grace_s: float = 60.0, **registry: Any) -> Catalog:
    return Catalog(Registry.model_validate(registry), cap, grace_s)


def declared(served_name: str, *parts: str, **more: Any) -> dict[str, Any]:
    return {"served_name": served_name, "parts": [{"adapter": part} for part in parts], **more}


def labels(of: Catalog) -> list[str]:
    return [one.label for one in of.identities()]


def test_the_responses_model_decides_and_the_base_comes_first() -> None:
    known = catalog()
    known.update([adapter("alpha"), BASE])
    assert labels(known) == ["base", "alpha"]
    assert known.identify("alpha", "base").label == "alpha"
    assert known.identify("base", "").is_base


@pytest.mark.parametrize(
    ("answered", "requested", "label"),
    [
        ("", "", "base"),
        ("", "alpha", "alpha"),
        ("", "typed by a client", UNLISTED),
        ("never listed", "alpha", UNLISTED),
        ("base", "typed by a client", "base"),
    ],
)
def test_no_label_comes_from_a_client(answered: str, requested: str, label: str) -> None:
    known = catalog()
    known.update([BASE, adapter("alpha")])
    assert known.identify(answered, requested).label == label
    assert labels(known) == ["base", "alpha"]


def test_without_the_servers_list_the_responses_name_it_within_the_cap() -> None:
    known = catalog(cap=2)
    assert known.identify("", "alpha").label == UNLISTED
    assert [known.identify(name, "").label for name in ("a", "b", "c", "a")] == ["a", "b", OTHER, "a"]


def test_the_servers_list_replaces_what_responses_had_named() -> None:
    known = catalog(cap=2, grace_s=5)
    known.identify("echoed by a careless server", "")
    known.update([BASE])
    assert known.identify("echoed by a careless server", "").label == UNLISTED
    assert known.expire(0) == []
    assert known.expire(10) == ["echoed by a careless server"]


def test_what_is_beyond_the_cap_is_other_until_there_is_room() -> None:
    known = catalog(cap=2, grace_s=5)
    known.update([BASE, adapter("a"), adapter("b")])
    assert (labels(known), known.identify("b", "").label) == (["base", "a"], OTHER)
    known.update([BASE, adapter("b")])
    known.expire(0)
    assert known.identify("b", "").label == OTHER, "the series of a are still there"
    assert known.expire(6) == ["a"]
    assert [one.label for one in known.update([BASE, adapter("b")])] == ["b"]


def test_the_base_never_falls_beyond_the_cap() -> None:
    known = catalog(cap=2)
    known.update([*(adapter(name) for name in "abcdef"), BASE])
    assert known.identify("base", "").is_base


def test_an_unloaded_combination_goes_after_the_grace_and_not_before() -> None:
    known = catalog(grace_s=60)
    known.update([BASE, adapter("alpha")])
    assert known.expire(0) == []
    known.update([BASE])
    assert known.expire(60) == []
    assert known.identify("alpha", "").label == "alpha"
    assert known.expire(61) == ["alpha"]
    assert known.identify("alpha", "").label == UNLISTED
    assert (labels(known), known.find("alpha")) == (["base"], None)


def test_loading_again_within_the_grace_keeps_the_series() -> None:
    known = catalog(grace_s=60)
    for now, listed in enumerate(([BASE, adapter("alpha")], [BASE], [BASE, adapter("alpha")])):
        known.update(listed)
        assert known.expire(now * 50) == []
    assert known.expire(190) == []


def test_nothing_expires_while_the_list_has_never_been_read() -> None:
    known = catalog(grace_s=1)
    known.identify("alpha", "")
    assert [known.expire(now) for now in (0, 10, 100)] == [[], [], []]


def test_labels_of_a_snapshot_expire_unless_they_are_listed_again() -> None:
    known = catalog(grace_s=60)
    known.remember(["alpha", "gone", OTHER, UNLISTED])
    known.update([BASE, adapter("alpha")])
    assert known.expire(0) == []
    assert known.expire(61) == ["gone"]
    assert labels(known) == ["base", "alpha"]


def test_a_renamed_base_stays_the_base_of_all() -> None:
    known = catalog(grace_s=60)
    known.update([BASE, adapter("alpha")])
    known.expire(0)
    changed = known.update([ServedModel("base-2", "", "/models/base"), ServedModel("alpha", "base-2")])
    assert {one.label for one in changed} == {"base-2", "alpha"}
    assert known.identify("base-2", "").is_base
    assert known.identify("", "").label == "base-2"
    assert known.find("alpha").base == "base-2"
    assert known.expire(61) == ["base"]


def test_all_names_of_one_base_model_are_the_base() -> None:
    known = catalog()
    known.update([BASE, ServedModel("alias", "", "/models/base"), adapter("alpha")])
    assert known.identify("alias", "") == known.identify("base", "")
    assert labels(known) == ["base", "alpha"]
    assert known.same("alias", "base")
    assert known.same("", "alias")


def test_the_registry_says_which_name_the_base_is_shown_by() -> None:
    known = catalog(base="alias")
    known.update([BASE, ServedModel("alias", "", "/models/base")])
    assert labels(known) == ["alias"]


def test_another_model_without_parent_is_not_the_base() -> None:
    known = catalog()
    known.update([BASE, ServedModel("stranger", "", "/models/stranger")])
    assert not known.identify("stranger", "").is_base


def test_a_declared_merge_into_the_base_is_not_the_base() -> None:
    known = catalog(combinations=[declared("merged", "a", "b", merge="linear")])
    known.update([ServedModel("merged", "", "/models/base"), BASE])
    assert known.identify("", "").label == "base"
    assert known.identify("merged", "").label == "a+b"


@pytest.mark.parametrize(
    ("requested", "answered", "same"),
    [("alpha", "alpha", True), ("base", "alpha", False), ("", "alpha", False), ("", "base", True), ("alpha", "", True),
     ("typed", "base", False)],
)  # fmt: skip
def test_an_answer_of_another_model_is_noticed(requested: str, answered: str, same: bool) -> None:
    known = catalog()
    known.update([BASE, adapter("alpha")])
    assert known.same(requested, answered) is same


@pytest.mark.parametrize("order", [1, -1])
def test_names_that_collide_get_the_same_labels_in_every_order(order: int) -> None:
    known = catalog(combinations=[declared("one", "a", "b", merge="cat"), declared("two", "a", "b", merge="svd")])
    for name in ["one", "two", "a+b", "*", "other", "unlisted"][::order]:
        known.update(
            [BASE, *(adapter(each) for each in ["one", "two", "a+b", "*", "other", "unlisted"] if each <= name)]
        )
    known.update([BASE, *(adapter(name) for name in ["one", "two", "a+b", "*", "other", "unlisted"])])
    found = {name: known.identify(name, "") for name in ["one", "two", "a+b", "*", "other", "unlisted"]}
    assert all(one.label == f"{one.combination.name}#{one.combination.id}" for one in found.values())
    assert len({one.label for one in found.values()}) == len(found)


def test_two_names_of_one_composition_share_a_label() -> None:
    known = catalog(combinations=[declared("v1", "a", "b", merge="cat"), declared("v2", "a", "b", merge="cat")])
    known.update([BASE, adapter("v1"), adapter("v2")])
    assert known.identify("v1", "") == known.identify("v2", "")
    assert known.update([BASE, adapter("v1"), adapter("v2")]) == []
    assert labels(known) == ["base", "a+b"]


@pytest.mark.parametrize("name", ["x" * (MAX_NAME + 1), "line\nbreak", "\x00", "\ud800", ""])
def test_a_name_that_cannot_be_a_label_is_other(name: str) -> None:
    known = catalog()
    known.update([BASE, adapter(name)])
    assert labels(known) == ["base"]
    assert known.identify(name, "base").label == (OTHER if name else "base")


def test_a_name_of_the_greatest_length_is_a_label() -> None:
    known = catalog()
    known.update([BASE, adapter("x" * MAX_NAME)])
    assert labels(known) == ["base", "x" * MAX_NAME]


def test_only_changes_are_told() -> None:
    known = catalog()
    assert [one.label for one in known.update([BASE, adapter("alpha")])] == ["base", "alpha"]
    assert known.update([BASE, adapter("alpha")]) == []
    assert [one.label for one in known.update([BASE, adapter("alpha"), adapter("beta")])] == ["beta"]


@pytest.mark.parametrize("name", ["text", "image", "audio", "video", "input", "file"])
def test_an_adapter_named_like_a_kind_of_content_is_noticed_while_it_is_listed(name: str) -> None:
    known = catalog()
    assert known.reserved_names() == []
    known.update([BASE, adapter(name), adapter("texts")])
    assert known.reserved_names() == [name]
    known.update([BASE, adapter("texts")])
    assert known.reserved_names() == []


def test_a_base_model_may_have_any_name() -> None:
    known = catalog()
    known.update([ServedModel("text", "", "/models/base"), adapter("alpha")])
    assert known.reserved_names() == []


def test_another_registry_renames_what_is_served_and_keeps_what_it_says_nothing_of() -> None:
    served = [ServedModel("base", ""), ServedModel("x", "base"), ServedModel("ab", "base")]
    catalog = Catalog(Registry.model_validate({}), 10, 60)
    catalog.update(served)
    catalog.note_digests({"x": "e" * 64})
    before = catalog.identify("x", "").combination
    content = {"combinations": [{"served_name": "ab", "parts": [{"adapter": "a"}, {"adapter": "b"}]}]}
    changed = catalog.take_registry(Registry.model_validate(content))
    assert [one.label for one in changed] == ["a+b"]
    assert catalog.identify("ab", "").label == "a+b"
    assert catalog.identify("x", "").combination == before
    assert catalog.identify("base", "").is_base
    catalog.take_registry(Registry.model_validate({"base_digest": "f" * 64}))
    assert catalog.identify("ab", "").label == "ab"
    found = catalog.identify("ab", "").combination
    assert found is not None
    assert found.base_digest == "f" * 64


def test_another_registry_names_the_base_before_the_servers_list_was_read() -> None:
    catalog = Catalog(Registry.model_validate({"base": "llama"}), 10, 60)
    assert catalog.identify("llama", "").is_base
    catalog.take_registry(Registry.model_validate({"base": "mistral"}))
    assert catalog.identify("mistral", "").is_base
    assert not catalog.identify("llama", "").is_base
