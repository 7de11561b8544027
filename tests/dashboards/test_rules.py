"""The alert rules as a product: they parse, they fire and stay silent as tested, they say all, they use what exists."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from monitor.drift import SIGNALS
from monitor.records import AnswerEnding, Condition
from monitor.telemetry.buckets import ADDED_LATENCY_BOUNDS

RULES = Path(__file__).parents[2] / "dashboards" / "rules"
RULE_TESTS = sorted(RULES.glob("tests/*.test.yml"))
PLACEHOLDER = "https://runbooks.example.com/alignment/"


def names_in(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", text) if "alignment_" in word}


def matched(rules, label):
    """Values that the rules compare a label with."""
    found = re.findall(rf'\b{label}(?:=|=~|!=|!~)"([^"]*)"', "\n".join(rule["expr"] for rule in rules))
    return {value for pattern in found for value in pattern.split("|") if value}


@pytest.mark.prometheus
def test_rules_are_valid(tool, rule_file):
    assert "SUCCESS" in tool("promtool", "check", "rules", rule_file)


@pytest.mark.prometheus
@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.name)
def test_rules_fire_and_stay_silent_as_written(tool, file):
    tool("promtool", "test", "rules", file)


def test_every_alert_has_cases_in_which_it_fires_and_in_which_it_does_not(alerts):
    fires, silent = set(), set()
    for file in RULE_TESTS:
        for group in yaml.safe_load(file.read_text())["tests"]:
            for case in group.get("alert_rule_test", []):
                (fires if case["exp_alerts"] else silent).add(case["alertname"])
    names = {rule["alert"] for rule in alerts}
    assert fires == names
    assert silent == names


def test_every_alert_carries_what_the_person_on_call_needs(alerts):
    for rule in alerts:
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}, rule["alert"]
        assert rule["annotations"]["runbook_url"] == f"{PLACEHOLDER}{rule['alert']}.md"


def test_drift_alerts_name_combination_samples_rate_interval_base_threshold_and_beginning(alerts):
    wanted = {"samples", "rate_lower", "rate_upper", "baseline_rate", "baseline_samples", "threshold"}
    found = [rule for rule in alerts if "alignment_drift_rate{" in rule["expr"]]
    assert len(found) == len(SIGNALS)
    for rule in found:
        text = rule["annotations"]["description"]
        assert wanted <= {name.removeprefix("alignment_drift_") for name in names_in(text)}
        assert "alignment_drift_since_timestamp_seconds" in text
        assert "$labels.combination" in text
        assert "$value" in text


def test_every_alert_s_figures_are_explained_in_a_comment_above_it(rule_file, alerts):
    lines = rule_file.read_text().splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip().startswith("- alert:")]
    assert len(starts) == len(alerts)
    for number, rule in zip(starts, alerts, strict=True):
        above = []
        while lines[number - 1].strip().startswith("#"):
            number -= 1
            above.append(lines[number])
        comment = " ".join(above)
        assert comment, rule["alert"]
        wait = rule.get("for")
        assert (f"for {wait}" in comment) if wait else ("No `for`" in comment), rule["alert"]


def test_rules_use_no_metric_that_the_product_does_not_have(rules, metric_names):
    recorded = {rule["record"] for rule in rules if "record" in rule}
    known = metric_names | recorded
    for rule in rules:
        texts = [rule["expr"], *rule.get("annotations", {}).values()]
        used = {name for text in texts for name in names_in(text)}
        assert used <= known, rule.get("alert") or rule["record"]


def test_every_recorded_series_is_used(rules):
    used = {name for rule in rules for name in names_in(rule["expr"])}
    assert {rule["record"] for rule in rules if "record" in rule} <= used


def test_rules_compare_labels_with_values_that_exist(rules):
    assert matched(rules, "signal") == {signal.name for signal in SIGNALS}
    assert matched(rules, "condition") <= {condition.value for condition in Condition}
    assert matched(rules, "ending") <= {ending.value for ending in AnswerEnding}
    assert matched(rules, "le") <= {str(bound) for bound in ADDED_LATENCY_BOUNDS}


def test_both_addresses_are_set_with_the_commands_at_the_head_of_the_file(rule_file, tmp_path):
    commands = re.findall(r"^#\s+(sed -i .*)$", rule_file.read_text(), re.MULTILINE)
    assert len(commands) == 2
    (tmp_path / rule_file.name).write_text(rule_file.read_text())
    for command in commands:
        subprocess.run(["bash", "-c", command], cwd=tmp_path, timeout=10, check=True)
    lines = (tmp_path / rule_file.name).read_text().splitlines()
    changed = "\n".join(line for line in lines if not line.startswith("#"))
    assert "example.com" not in changed
    assert "http://{{ $labels.instance }}/" not in changed
