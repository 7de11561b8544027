"""The webhook's messages and the alerts tell the same: sentences, severities and waits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from monitor.findings import FindingBook
from monitor.findings import severity as figures
from monitor.findings.case import Case
from monitor.outputs import wording
from monitor.outputs.message import Composer
from monitor.outputs.webhook import LATE_S
from monitor.records import EVERY, Condition, DriftState, Finding, Part
from monitor.signals import SIGNALS
from monitor.status import verdict

EVERY_SIGNAL = sorted({signal.name for signal in SIGNALS} | {"refusal_lost_paired", "refusal_lost_probed", "collusion"})
_QUERY = re.compile(
    r"\{\{ with printf \"alignment_drift_(\w+)%s(?: / 2.302585)?\" \$at \| query \}\}.*?"
    r"\{\{ else \}\}unknown\{\{ end \}\}"
)


def fields(template: str) -> str:
    """An annotation with {names} instead of Prometheus' queries; what stands there only sometimes is left out."""
    text = re.sub(r"\{\{-? \$at := .*?\}\}", "", " ".join(template.split()))
    text = _QUERY.sub(r"{\1}", text)
    text = re.sub(r"\{\{-? ?with printf \"alignment_drift_condition.*", "", text)
    text = re.sub(r"\{\{- with printf \"alignment_drift_evidence_log.*?\| query \}\} ?", " ", text)
    text = text.replace('{{ . | first | value | printf "%.1f" }}', "{evidence_log}").replace("{{ end }}", "")
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"{\1}", text)
    text = re.sub(r"\{\{ \$value \| humanizePercentage \}\}", "{rate}", text)
    text = re.sub(r"\{\{ \$value \| printf \"%.0f\" \}\}", "{samples}", text)
    return " ".join(text.split())


def of_signal(alerts: list[dict[str, Any]], signal: str) -> list[dict[str, Any]]:
    """The alerts about a drifting signal of one combination."""
    return [
        rule
        for rule in alerts
        if (found := re.match(r'alignment_drift_(?:rate|samples)\{signal=~?"([^"]*)"\}\n.*drifting', rule["expr"]))
        and signal in found[1].split("|")
    ]


def made(signal: str, combination: str = "a+b") -> Case:
    state = DriftState(
        combination, signal, Condition.DRIFTING, 40, 38, 0.95, 0.7, 0.99, 0.02, 101, 0.11, 0.0, 16.0, 14.0
    )
    book = FindingBook()
    finding = Finding(combination, "id", signal, True, 0.0, state, "s", "v", (Part("a"), Part("b")))
    case = book.find(book.begin(finding, []))
    assert case is not None
    return case


@pytest.mark.parametrize("signal", EVERY_SIGNAL)
def test_summary_and_description_are_the_alert_s(alerts: list[dict[str, Any]], signal: str) -> None:
    rules = of_signal(alerts, signal)
    assert rules
    words = wording.WORDS[signal]
    told = " ".join([words.rate, words.base, wording._SINCE, wording._EVIDENCE])
    for rule in rules:
        assert fields(rule["annotations"]["summary"]).removesuffix(", and the base is not asked again") == words.summary
        assert fields(rule["annotations"]["description"]) == told
        assert rule["alert"] == wording.alert_of(made(signal)) or signal == "refusal_lost_probed"


@pytest.mark.parametrize("signal", EVERY_SIGNAL)
def test_what_to_do_is_the_alert_s(alerts: list[dict[str, Any]], signal: str) -> None:
    said = wording.action(made(signal), "served")
    for rule in of_signal(alerts, signal):
        template = rule["annotations"].get("action", "")
        assert " ".join(template.split()).partition("{{- end -}}")[2].strip().replace("{{ $name }}", "served") == said


def test_all_together_is_told_as_the_alert_does(alerts: list[dict[str, Any]]) -> None:
    rules = [rule for rule in alerts if rule["alert"] == wording.COMMON_CAUSE]
    assert {fields(rule["annotations"]["summary"]) for rule in rules} == {
        fields("Most combinations at {instance} move together ({signal}): base, scorer or prompts"),
        fields("Most combinations at {instance} refuse ordinary requests more: base, scorer or prompts"),
    }
    assert wording.summary(made("refusal_lost", EVERY), "{instance}").replace("refusal_lost", "{signal}") in {
        fields(rule["annotations"]["summary"]) for rule in rules
    }


def test_every_message_links_to_a_runbook_that_exists(dashboards: Path) -> None:
    composer = Composer("http://x", str)
    for signal in EVERY_SIGNAL:
        assert (dashboards / "runbooks" / f"{wording.alert_of(made(signal))}.md").is_file()
    assert (dashboards / "runbooks" / f"{wording.alert_of(made('refusal_lost', EVERY))}.md").is_file()
    assert composer.instance == "x"


def seconds(wait: str) -> float:
    return float(wait[:-1]) * {"s": 1, "m": 60, "h": 3600}[wait[-1]]


@pytest.mark.parametrize("signal", EVERY_SIGNAL)
@pytest.mark.parametrize("replays", [False, True])
def test_severities_and_waits_are_the_alert_s(alerts: list[dict[str, Any]], signal: str, replays: bool) -> None:
    """Two evaluations against an odd scrape (30 s) are no matter of the sidecar's own; longer waits are the same."""
    case = made(signal)
    if signal in ("refusal_lost_paired", "refusal_lost_probed"):
        case.latest = figures_with(case, effect_lower=0.3)
    expected: dict[str, float] = {}
    for rule in of_signal(alerts, signal):
        asks_replays = "alignment_shadow_enabled == 1" in rule["expr"]
        only_without = "unless on (job, instance) (alignment_shadow_enabled == 1)" in rule["expr"]
        if signal == "refusal_lost" and asks_replays and (only_without == replays):
            continue
        wait = seconds(rule["for"])
        expected[rule["labels"]["severity"]] = figures.NOTICE_S if wait <= 30 else wait
    found: dict[str, float] = {}
    for second in range(3600):
        now = figures.severity_of(case, float(second), replays=replays, pairs=0)
        if now is not None:
            found.setdefault(now.word, float(second))
    assert found == expected


def figures_with(case: Case, **known: float) -> Any:
    import msgspec

    return msgspec.structs.replace(case.latest, **known)


def test_least_differences_are_the_alerts(rule_file: Path) -> None:
    text = rule_file.read_text()
    assert f"alignment_drift_effect_lower > {figures.LEAST_EFFECT:g}" in text
    assert f'alignment_drift_samples{{signal="refusal_lost_paired"}} >= {figures.LEAST_PAIRS}' in text
    answers = f'increase(alignment_responses_total{{stratum="harmful_looking"}}[{figures.NO_PAIRS_S / 60:g}m])) >= '
    assert f"{answers}{figures.LEAST_UNPAIRED}" in text
    assert f"alignment_drift_rate_lower - alignment_drift_baseline_rate <= {figures.LEAST_LOSS:g}" in text
    assert f"alignment_webhook_waiting_seconds > {LATE_S:g}" in text
    assert (verdict.LEAST_LOSS, verdict.LATE_S) == (figures.LEAST_LOSS, LATE_S)
