from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.adapters import load_registry
from monitor.config import ConfigError
from monitor.records import Part

GOOD = """
base: base
combinations:
- served_name: combo
  merge: linear
  parts: [{adapter: a, scale: 0.7}, {adapter: b}]
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "registry.yaml"
    file.write_text(text)
    return file


def test_a_declared_combination_has_its_parts(tmp_path: Path) -> None:
    combination = load_registry(write(tmp_path, GOOD)).combination("combo", "base")
    assert (combination.name, combination.parts) == ("0.7*a+b", (Part("a", 0.7), Part("b")))
    assert (combination.declared, combination.merge, combination.base) == (True, "linear", "base")


def test_a_name_that_is_not_declared_is_one_adapter_of_unknown_composition(tmp_path: Path) -> None:
    combination = load_registry(write(tmp_path, GOOD)).combination("solo", "base")
    assert (combination.name, combination.parts, combination.declared) == ("solo", (Part("solo"),), False)


def test_without_a_file_nothing_is_declared() -> None:
    assert load_registry(None).combinations == ()


def test_json_will_do(tmp_path: Path) -> None:
    assert load_registry(write(tmp_path, json.dumps({"base": "b"}))).base == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bse: x", "bse: unknown key"),
        ("- a", "the registry file must be a mapping of keys, not list"),
        ("combinations: [{served_name: x}]", "combinations.0.parts: field required"),
        ("combinations: [{served_name: x, parts: []}]",
         "combinations.0: 'x' has no parts: a combination is made of at least one adapter"),
        ("combinations: [{served_name: '', parts: [{adapter: a}]}]",
         "combinations.0.served_name: string should have at least 1 character"),
        ("combinations: [{served_name: x, parts: [{adapter: a, scale: big}]}]",
         "combinations.0.parts.0.scale: input should be a valid number, unable to parse string as a number"),
        ("combinations: [{served_name: x, parts: [{adapter: a, scale: .nan}]}]",
         "combinations.0.parts.0.scale: input should be a finite number"),
        ("combinations: [{served_name: x, parts: [{adapter: a, digest: abc}]}]",
         "combinations.0.parts.0.digest: string should match pattern '^([0-9a-f]{64})?$'"),
        ("combinations: [{served_name: x, parts: [{adapter: a}, {adapter: a}]}]",
         "combinations.0: an adapter stands twice among the parts of 'x': give it one scale"),
        ("combinations: [{served_name: x, parts: [{adapter: a}]}, {served_name: x, parts: [{adapter: b}]}]",
         "served name 'x' is declared twice"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_registry(file)
    assert str(caught.value) == f"{file}: {message}"


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_registry(tmp_path / "none.yaml")
    assert str(caught.value) == f"{tmp_path / 'none.yaml'}: cannot read the registry file: No such file or directory"
