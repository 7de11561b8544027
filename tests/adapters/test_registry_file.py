"""The registry file while the monitor runs: changes take effect, a broken or half-written file takes nothing away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.adapters.registry_file import RegistryFile, saved
from monitor.config import ConfigError

AB = "combinations: [{served_name: ab, parts: [{adapter: a}, {adapter: b}]}]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "registry.yaml").write_text("base: llama\n")
    return tmp_path / "registry.yaml"


def put(file: Path, text: str) -> None:
    """As an editor does that writes in one step."""
    half = file.with_name("half")
    half.write_text(text)
    half.replace(file)


def test_what_is_written_into_it_counts_once_it_holds_still(file: Path) -> None:
    watched = RegistryFile(file)
    assert watched.open().base == "llama"
    assert watched.look() is None, "nothing changed"
    put(file, AB)
    assert watched.look() is None, "it may still be written"
    put(file, AB + "base: mistral\n")
    assert watched.look() is None, "it was"
    found = watched.look()
    assert found is not None
    assert (found.base, found.declares("ab")) == ("mistral", True)
    assert watched.look() is None, "it is read once"


def test_a_broken_or_missing_file_is_a_problem_until_it_is_repaired(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = RegistryFile(file)
    watched.open()
    put(file, "base: [\n")
    assert [watched.look() for _ in range(4)] == [None] * 4
    assert "not valid YAML" in watched.problem
    assert len(caplog.records) == 1, "one line, however often it is looked at"
    file.unlink()
    assert [watched.look() for _ in range(3)] == [None] * 3
    assert "cannot read" in watched.problem
    put(file, AB)
    watched.look()
    found = watched.look()
    assert found is not None
    assert found.declares("ab")
    assert watched.problem == ""


def test_a_link_that_leads_elsewhere_is_a_change(file: Path, tmp_path: Path) -> None:
    """As Kubernetes replaces a mounted ConfigMap."""
    (tmp_path / "new.yaml").write_text("base: qwen2\n")
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    watched = RegistryFile(link)
    watched.open()
    (tmp_path / "next").symlink_to(tmp_path / "new.yaml")
    os.replace(tmp_path / "next", link)
    watched.look()
    found = watched.look()
    assert found is not None
    assert found.base == "qwen2"


def test_a_successor_goes_on_with_what_was_in_use_when_the_file_broke(file: Path) -> None:
    put(file, AB)
    in_use = saved(RegistryFile(file).open())
    put(file, "combinations: [{served_name: ab}]\n")
    with pytest.raises(ConfigError, match="parts"):
        RegistryFile(file).open()
    successor = RegistryFile(file)
    assert successor.open(in_use).declares("ab")
    assert "parts" in successor.problem
    put(file, AB + "base: llama\n")
    successor.look()
    found = successor.look()
    assert found is not None
    assert found.base == "llama"


def test_without_a_file_there_is_nothing_to_look_at() -> None:
    watched = RegistryFile(None)
    assert watched.open().combinations == ()
    assert [watched.look(), watched.look()] == [None, None]
