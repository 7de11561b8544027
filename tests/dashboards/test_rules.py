"""The alert rules as a product: they parse, they fire and stay silent as tested, they say all, they use what exists."""

import importlib.util
import math
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from monitor.records import AdapterEvent, AnswerEnding, Condition, Outcome, Stratum
from monitor.signals import REFUSAL_LOST, SIGNALS
from monitor.telemetry.buckets import ADDED_LATENCY_BOUNDS

RULES = Path(__file__).parents[2] / "dashboards" / "rules"
MANIFEST = Path(__file__).parents[2] / "deploy" / "kubernetes" / "prometheus-rule.yaml"
RULE_TESTS = sorted(RULES.glob("tests/*.test.yml"))
DRIFT_SIGNALS = {signal.name for signal in SIGNALS} | {"refusal_lost_paired", "refusal_lost_probed", "collusion"}
DRIFT_PAGES = {"AlignmentRefusalLost", "AlignmentRefusalLostPaired", "AlignmentCollusion", "AlignmentRefuseThenComply"}
"""Alerts that wake somebody for one combination: they also say what changed before and what to do."""
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
def test_rules_fire_and_stay_silent_as_written(tool, rule_file, file, tmp_path):
    groups = yaml.load(rule_file.read_text(), yaml.BaseLoader)["groups"]
    suite = yaml.load(file.read_text(), yaml.BaseLoader)  # as text: promtool's `1x10` is no number
    for sample in samples_of(suite):
        sample["value"] = float(sample["value"])
    cases = 0
    for number, (needed, tests) in enumerate(by_needed_groups(suite["tests"], groups)):
        rules = tmp_path / f"{number}.rules.yml"
        rules.write_text(yaml.safe_dump({"groups": needed}))
        part = tmp_path / f"{number}.test.yml"
        part.write_text(yaml.safe_dump({**suite, "rule_files": [rules.name], "tests": tests}))
        cases += len(tests)
    assert cases == len(suite["tests"])
    tool("promtool", "test", "rules", *sorted(tmp_path.glob("*.test.yml")))


def samples_of(suite):
    """What its expressions are expected to give."""
    cases = [case for test in suite["tests"] for case in test.get("promql_expr_test", [])]
    return list({id(sample): sample for case in cases for sample in case["exp_samples"]}.values())


def by_needed_groups(tests, groups):
    """Tests by the groups of rules that they speak of, with those whose recorded series these read.

    promtool evaluates every rule of every file at every step, most of them of no account for a test.
    """
    defined = {rule.get("alert") or rule["record"]: group["name"] for group in groups for rule in group["rules"]}
    read = {group["name"]: {word for rule in group["rules"] for word in names_in(rule["expr"])} for group in groups}
    found = {}
    for test in tests:
        asked = {case["alertname"] for case in test.get("alert_rule_test", [])}
        assert asked <= set(defined), "a test asks for an alert that does not exist"
        words = set(asked)
        for case in test.get("promql_expr_test", []):
            known = {word for word in re.findall(r"[\w:]+", case["expr"]) if word in defined}
            words |= known or set(defined)  # one that names no alert and no recorded series is about all of them
        needed = set()
        while more := {defined[word] for word in words if word in defined} - needed:
            needed |= more
            words = set().union(*(read[name] for name in more))
        found.setdefault(tuple(group["name"] for group in groups if group["name"] in needed), []).append(test)
    return [([group for group in groups if group["name"] in needed], part) for needed, part in found.items()]


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
        wakes_for_one = rule["alert"] in DRIFT_PAGES
        more = {"changes", "action"} if wakes_for_one else set()
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"} | more, rule[
            "alert"
        ]
        assert rule["annotations"]["runbook_url"] == f"{PLACEHOLDER}{rule['alert']}.md"


def test_drift_alerts_name_combination_samples_rate_interval_base_threshold_and_beginning(alerts):
    wanted = {"rate_lower", "rate_upper", "baseline_rate", "baseline_samples"}
    found = [rule for rule in alerts if re.match(r"alignment_drift_(rate|samples)\{.*\n.*drifting", rule["expr"])]
    assert {signal for rule in found for signal in matched([rule], "signal")} == DRIFT_SIGNALS
    for rule in found:
        text = rule["annotations"]["description"]
        said = {name.removeprefix("alignment_drift_") for name in names_in(text)}
        assert wanted <= said
        assert {"threshold"} <= said or {"effect", "effect_lower", "effect_upper"} <= said
        assert {"samples", "rate"} <= said | {rule["expr"].partition("{")[0].removeprefix("alignment_drift_")}
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
    assert matched(rules, "signal") == DRIFT_SIGNALS
    assert matched(rules, "event") <= {event.value for event in AdapterEvent}
    assert matched(rules, "outcome") <= {outcome.value for outcome in Outcome}
    assert matched(rules, "stratum") <= {stratum.value for stratum in Stratum}
    assert matched(rules, "condition") <= {condition.value for condition in Condition}
    assert matched(rules, "ending") <= {ending.value for ending in AnswerEnding}
    assert matched(rules, "le") <= {str(bound) for bound in ADDED_LATENCY_BOUNDS}


def test_pooled_answers_are_bad_where_the_detector_s_are(rules):
    first = next(rule for rule in rules if rule.get("labels") == {"window": "10m"})
    bad, _, good = first["expr"].partition("or\n")
    assert matched([{"expr": bad}], "outcome") == {outcome.value for outcome in REFUSAL_LOST.bad}
    others = {outcome for outcome in Outcome if outcome.judged} - REFUSAL_LOST.bad
    assert matched([{"expr": good}], "outcome") == {outcome.value for outcome in others}
    assert matched([first], "stratum") == {REFUSAL_LOST.stratum.value}


def test_pooled_evidence_has_mean_one_at_the_threshold_and_less_below(rules):
    (rule,) = (
        rule for rule in rules if rule.get("record") == "job_combination_window:alignment_drift_pooled_evidence:log"
    )
    shares = [float(found) for found in re.findall(r"ln\(1 \+ ([\d.]+) \*", rule["expr"])]
    logs = [float(found) for found in re.findall(r"- ignoring \(kind\) ([\d.]+) \*", rule["expr"])]
    assert len(shares) == len(logs) == int(re.search(r"\) / (\d)", rule["expr"])[1])
    for share, log in zip(shares, logs, strict=True):
        for null in (0.002, 0.1, 0.5):
            gain = 1 + share * (1 - null) / null
            means = [rate * gain + (1 - rate) * math.exp(-log) for rate in (null / 2, null, min(1, 2 * null))]
            assert means[0] < 1
            assert means[1] == pytest.approx(1, abs=1e-5)
            assert means[2] > 1


def test_look_backs_of_the_pooled_evidence_double(rules):
    pooled = [rule for rule in rules if rule.get("record") == "job_combination_kind:alignment_harmful_answers:delta"]
    minutes = [
        int(hours or 0) * 60 + int(rest or 0)
        for hours, rest in (
            re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?", rule["labels"]["window"]).groups() for rule in pooled
        )
    ]
    assert minutes == [10 * 2**power for power in range(len(pooled))]
    for before, rule in pairwise(pooled):
        window = before["labels"]["window"]
        assert matched([rule], "window") == {window}
        assert f"offset {window} or" in rule["expr"]


def test_manifest_is_what_its_generator_writes_and_holds_the_same_rules(rule_file):
    spec = importlib.util.spec_from_file_location("rules_manifest", RULES / "manifest.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    text = MANIFEST.read_text()
    assert text == generator.manifest(rule_file.read_text()), "run python dashboards/rules/manifest.py"
    found = yaml.safe_load(text)
    assert found["kind"] == "PrometheusRule"
    assert found["spec"] == yaml.safe_load(rule_file.read_text())


@pytest.mark.parametrize("original", [RULES / "alignment.rules.yml", MANIFEST], ids=lambda path: path.name)
def test_both_addresses_are_set_with_the_commands_at_the_head_of_the_file(original, tmp_path):
    commands = re.findall(r"^ *#\s+(sed -i .*)$", original.read_text(), re.MULTILINE)
    assert len(commands) == 3
    (tmp_path / original.name).write_text(original.read_text())
    for command in commands:
        subprocess.run(["bash", "-c", command], cwd=tmp_path, timeout=10, check=True)
    lines = (tmp_path / original.name).read_text().splitlines()
    changed = "\n".join(line for line in lines if not line.strip().startswith("#"))
    assert "example.com" not in changed
    assert "http://{{ $labels.instance }}/" not in changed
