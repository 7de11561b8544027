"""Each alert has its page, the page ends in an action, and what it says exists."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from monitor.config import Config

RUNBOOKS = Path(__file__).parents[2] / "dashboards" / "runbooks"
PAGES = sorted(RUNBOOKS.glob("*.md"))
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "False alarms"]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a language, without the indentation of a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix(indent) for line in text.splitlines()) for indent, text in found]


def test_every_alert_has_its_page_and_every_page_its_alert(alerts):
    assert {page.stem for page in PAGES} == {rule["alert"] for rule in alerts}


@each_page
def test_page_has_its_parts_in_order_and_none_is_empty(page):
    title, *parts = re.split(r"^#+ ", page.read_text(), flags=re.MULTILINE)[1:]
    assert title.strip() == page.stem
    assert [part.split("\n", 1)[0] for part in parts] == HEADINGS
    assert all(part.split("\n", 1)[1].strip() for part in parts)


@each_page
def test_every_command_parses_and_has_its_variables(page):
    commands = blocks(page, "sh")
    assert commands
    for command in commands:
        done = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 0, command + done.stderr
    script = "\n".join(commands)
    used = set(re.findall(r"\$\{?([A-Z_]+)", script))
    set_here = set(re.findall(r"^([A-Z_]+)=", script, re.MULTILINE))
    asked_for = set(re.findall(r"\$\{([A-Z_]+):\?", script))
    assert used <= set_here | asked_for


@pytest.mark.prometheus
def test_every_query_parses(tool, tmp_path):
    queries = [query for page in PAGES for query in blocks(page, "promql")]
    assert queries
    group = {"name": "q", "rules": [{"record": f"q:{n}", "expr": query} for n, query in enumerate(queries)]}
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [group]}))
    tool("promtool", "check", "rules", file)


@each_page
def test_page_names_only_metrics_that_exist(page, metric_names, rules):
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for word in re.findall(r"[a-z_:]*alignment_[a-z_:]+", page.read_text()):
        assert word in recorded or any(name.startswith(word) for name in metric_names), word


@each_page
def test_page_names_only_configuration_that_exists(page):
    for section, key in re.findall(r"`([a-z]+)\.([a-z_]+)`", page.read_text()):
        model = Config.model_fields[section].annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        assert key in model.model_fields, f"{section}.{key}"


@each_page
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        assert (RUNBOOKS / target).is_file(), target
