"""Whom to ask about a combination's parts, among what is served."""

import pytest

from monitor.records import Combination, Part
from monitor.shadow.served_parts import ServedParts, served_parts


def of(name, *parts, merge="cat"):
    return Combination(name, "base", parts, merge if len(parts) > 1 else "")


A, B, C = Part("a"), Part("b"), Part("c")
BASE, WHOLE = of("base"), of("abc", A, B, C)


def test_every_part_and_every_merge_of_all_but_one_is_found():
    served = [BASE, WHOLE, of("x", A), of("y", B), of("z", C), of("ab", B, A), of("bc", B, C)]
    assert served_parts(WHOLE, served) == ServedParts(
        {"a": "x", "b": "y", "c": "z"}, {"a": "bc", "c": "ab"}, missing=()
    )


def test_parts_that_are_not_served_are_named():
    assert served_parts(WHOLE, [BASE, WHOLE, of("y", B)]) == ServedParts({"b": "y"}, {}, missing=("a", "c"))
    assert served_parts(WHOLE, [BASE, WHOLE]) == ServedParts(missing=("a", "b", "c"))


@pytest.mark.parametrize(
    "other", [of("ab", A, Part("b", 0.5)), of("ab", A, B, merge="ties"), of("ab", A), of("ab", A, A)]
)
def test_another_scale_or_method_is_another_merge(other):
    assert served_parts(WHOLE, [other]).rests == {}


def test_of_two_parts_all_but_one_is_the_other_and_not_asked_twice():
    whole = of("a-b", A, B)
    assert served_parts(whole, [of("x", A), of("y", B), whole]).rests == {}


def test_a_part_alone_counts_at_its_scale_before_any_larger_one():
    whole = of("a-b", Part("a", 0.7), B)
    assert served_parts(whole, [of("full", A)]).alone == {"a": "full"}
    assert served_parts(whole, [of("full", A), of("less", Part("a", 0.7))]).alone == {"a": "less"}


@pytest.mark.parametrize("scale", [1.3, -1.0])
def test_less_of_a_part_or_its_opposite_does_not_stand_for_it(scale):
    whole = of("1.3*a-b", Part("a", scale), B)
    assert served_parts(whole, [of("full", A), of("y", B)]) == ServedParts({"b": "y"}, missing=("a",))


def test_contents_count_before_names():
    whole = of("a-b", Part("a", digest="1" * 64), B)
    assert served_parts(whole, [of("a", Part("a", digest="2" * 64))]).missing == ("a", "b")
    assert served_parts(whole, [of("renamed", Part("q", digest="1" * 64))]).alone == {"a": "renamed"}


def test_a_single_adapter_has_no_parts_to_ask():
    assert served_parts(of("x", A), [of("x", A), BASE]) == ServedParts()
