"""What the documents say of the evidence store is what it does."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from monitor.cli import COMMANDS
from monitor.config import Config
from monitor.config.model import EvidenceSection

README = (Path(__file__).parents[2] / "README.md").read_text()
PART = README.partition("## Examples of what was answered")[2].partition("\n## ")[0]


def test_the_configuration_in_the_readme_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PART, re.DOTALL)
    config = Config.model_validate(yaml.safe_load(text))
    assert config.evidence.enabled
    assert config.evidence.key_file is not None


def test_the_bounds_in_the_readme_are_the_defaults() -> None:
    section = EvidenceSection()
    told = dict(re.findall(r"`(max_bytes|days|finding_days|per_minute)` \((\d+)", PART))
    assert told == {
        "max_bytes": str(section.max_bytes // 1024**2),
        "days": f"{section.days:g}",
        "finding_days": f"{section.finding_days:g}",
        "per_minute": str(section.per_minute),
    }


def test_what_is_not_redacted_is_said_where_it_is_switched_on() -> None:
    assert "Names of persons and street addresses are not" in PART
    assert "names of persons and\n    street addresses are NOT" in (EvidenceSection.__doc__ or "")


def test_the_command_in_the_readme_exists() -> None:
    assert "alignment-monitor evidence list" in PART
    assert "evidence" in COMMANDS
