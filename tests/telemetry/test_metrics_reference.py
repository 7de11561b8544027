from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from monitor.records import Combination, Condition, DriftState, Outcome, Part, Stratum
from monitor.telemetry.counts import WorkerReport
from monitor.telemetry.metrics import Metrics
from monitor.telemetry.reference import reference
from monitor.telemetry.workers import WorkerMetrics

PROMISED = {
    "alignment_build_info": "version",
    "alignment_scorer_info": "scorer, version, risk_version",
    "alignment_exchanges_seen_total": "endpoint",
    "alignment_exchanges_sampled_total": "endpoint",
    "alignment_exchanges_parsed_total": "endpoint",
    "alignment_exchanges_scored_total": "endpoint",
    "alignment_exchanges_skipped_total": "endpoint, reason",
    "alignment_exchanges_dropped_total": "reason",
    "alignment_responses_total": "combination, stratum, outcome",
    "alignment_responses_weighted_total": "combination, stratum, outcome",
    "alignment_requests_total": "combination, ending",
    "alignment_tokens_total": "combination, kind",
    "alignment_finish_reasons_total": "combination, reason",
    "alignment_request_duration_seconds": "combination",
    "alignment_first_byte_seconds": "combination",
    "alignment_last_sample_timestamp_seconds": "combination",
    "alignment_combination_info": "combination, id, served_name, base, parts, merge, declared",
    "alignment_hidden_text_total": "combination, where, kind",
    "alignment_model_mismatch_total": "requested, answered",
    "alignment_proxy_added_latency_seconds": "–",
    "alignment_proxy_endings_total": "ending",
    "alignment_proxy_responses_total": "code",
    "alignment_proxy_connections": "worker",
    "alignment_handoff_depth_exchanges": "worker",
    "alignment_handoff_depth_bytes": "worker",
    "alignment_process_restarts_total": "process",
    "alignment_analysis_last_loop_timestamp_seconds": "–",
    "alignment_discovery_up": "–",
    "alignment_discovery_last_success_timestamp_seconds": "–",
    "alignment_baseline_info": "sha256, base, scorer_version, suite",
    "alignment_baseline_void": "reason",
    "alignment_drift_samples": "combination, signal",
    "alignment_drift_bad": "combination, signal",
    "alignment_drift_rate": "combination, signal",
    "alignment_drift_rate_lower": "combination, signal",
    "alignment_drift_rate_upper": "combination, signal",
    "alignment_drift_baseline_rate": "combination, signal",
    "alignment_drift_baseline_samples": "combination, signal",
    "alignment_drift_threshold": "combination, signal",
    "alignment_drift_since_timestamp_seconds": "combination, signal",
    "alignment_drift_condition": "combination, signal, condition",
    "alignment_findings_total": "combination, signal",
}


def test_every_promised_metric_exists_with_its_labels() -> None:
    rows = [line.strip("| ").split(" | ") for line in reference().splitlines() if line.startswith("| `")]
    found = {row[0].strip("`"): row[2] for row in rows}
    assert {name: found.get(name) for name in PROMISED} == PROMISED


def test_the_committed_reference_is_what_the_registry_says() -> None:
    file = Path(__file__).parents[2] / "monitor" / "telemetry" / "METRICS.md"
    assert file.read_text(encoding="utf-8") == reference()


def filled(combinations: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = Metrics(registry, "0")
    workers = WorkerMetrics(registry, ("chat_completions",), ("complete",))
    workers.take(
        WorkerReport(
            0, 1.0, {"chat_completions": 3}, {}, {"other not_text": 2}, {}, {}, {"2xx": 3}, {}, {}, 1, 0, 0, [0] * 14, 0
        )
    )
    metrics.verdicts.scorer.labels("linear", "0", "0").set(1)
    for number in range(combinations):
        name = f'adapter-{number}"\n\\'
        metrics.verdicts.introduce(name, Combination(name, "base", (Part(name),)))
        metrics.verdicts.last_sample(name).set(1)
        metrics.traffic.requests(name, "complete").inc()
        metrics.traffic.tokens(name, "prompt").inc(5)
        metrics.traffic.finish_reasons(name, "stop").inc()
        metrics.traffic.duration(name).observe(1)
        metrics.traffic.first_byte(name).observe(1)
        for signal in ("refusal_lost", "refuse_then_comply", "over_refusal"):
            metrics.drift.show(DriftState(name, signal, Condition.OK, 9, 1, 0.1, 0.0, 0.5, 0.1, 9, 0.6, 1.0))
    return registry


@pytest.mark.prometheus
def test_promtool_has_nothing_against_the_exposition() -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(filled(2)), capture_output=True, check=False, timeout=60
    )
    assert (checked.returncode, checked.stderr.decode()) == (0, "")


def test_a_combination_has_a_bounded_number_of_series() -> None:
    one, two = (len(generate_latest(filled(count)).splitlines()) for count in (1, 2))
    assert two - one < 240
    assert two - one > len(Stratum) * len(Outcome)


def test_a_scrape_of_two_hundred_combinations_is_quick() -> None:
    registry = filled(200)
    spent = []
    for _ in range(3):
        begun = time.process_time()
        generate_latest(registry)
        spent.append(time.process_time() - begun)
    assert min(spent) < 2.5, "Prometheus gives up after 10 seconds by default"
