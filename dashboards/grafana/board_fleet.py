"""All combinations: which is worst now, how near is it to an alarm, what fires."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from panels import (
    BAD,
    CONDITIONS,
    SIDECARS,
    WARN,
    Ask,
    arranged,
    bars,
    board,
    curve,
    figure,
    listing,
    number_of,
    steps,
    timeline,
)

NEARNESS = (
    f"clamp_min(alignment_drift_evidence_log{{{SIDECARS}}}, 0)"
    f" / on (job, instance, combination, signal) alignment_drift_evidence_needed_log{{{SIDECARS}}}"
)
"""0: nothing speaks for a drift; 1: the alarm begins."""


def drift(name: str) -> str:
    """A figure of the detectors, of the chosen sidecars."""
    return f"alignment_drift_{name}{{{SIDECARS}}}"


def fleet() -> Dashboard:
    """The dashboard."""
    made = board(
        "alignment-fleet", "Alignment: fleet", "Which combination of adapters is worst now, and how sure is that."
    )
    now = [
        figure(
            "Combinations that drift",
            "Combinations with at least one signal in the condition `drifting`. 0 is what you want to see.",
            Ask(
                f'count(max by (job, instance, combination) (alignment_drift_condition{{{SIDECARS},condition="drifting"}} == 1)) or vector(0)'
            ),
            thresholds=steps((1, BAD)),
        ),
        figure(
            "Combinations served",
            "Combinations that the servers list now, base models included.",
            Ask(f"count(alignment_combination_info{{{SIDECARS}}})"),
        ),
        figure(
            "Not compared",
            "Combinations whose lost refusals cannot be noticed: nothing is known of their base model.",
            Ask(
                f'sum(alignment_drift_condition{{{SIDECARS},condition="no_baseline",signal="refusal_lost"}}'
                f' unless on (job, instance, combination) alignment_combination_info{{parts=""}}) or vector(0)'
            ),
            thresholds=steps((1, WARN)),
        ),
        figure(
            "Unvalidated, failed or quarantined",
            "Combinations that the registry does not approve of as they are served now.",
            Ask(
                f'sum(alignment_combination_state{{{SIDECARS},status=~"unvalidated|failed|quarantined"}}) or vector(0)'
            ),
            thresholds=steps((1, WARN)),
        ),
        figure(
            "Common cause",
            "YES: most combinations of a sidecar move together, or its base does, so that the base, the scorer or the prompts broke.",
            Ask(f"max(alignment_common_cause{{{SIDECARS}}})"),
            states={0: "no", 1: "YES"},
            thresholds=steps((1, BAD)),
        ),
        figure(
            "Sidecars", "Sidecars that Prometheus gets metrics from.", Ask(f"count(alignment_build_info{{{SIDECARS}}})")
        ),
    ]
    worst = [
        listing(
            "Worst combinations now",
            "One line per combination and signal, the nearest to an alarm first. At 100% of the evidence needed the alarm begins. The"
            " rate and its interval are of the latest judged answers; `base` is the base model's rate, `threshold` the largest that"
            " counts as unchanged.",
            [
                Ask(NEARNESS, "near"),
                Ask(drift("rate"), "rate"),
                Ask(drift("rate_lower"), "lower"),
                Ask(drift("rate_upper"), "upper"),
                Ask(drift("baseline_rate"), "base"),
                Ask(drift("threshold"), "threshold"),
                Ask(drift("samples"), "samples"),
                Ask(
                    number_of(
                        CONDITIONS,
                        "alignment_drift_condition",
                        "condition",
                        SIDECARS,
                        "job, instance, combination, signal",
                    ),
                    "condition",
                ),
            ],
            {
                "Evidence, of what is needed": "percentunit",
                "Rate": "percentunit",
                "From": "percentunit",
                "To": "percentunit",
                "Base": "percentunit",
                "Threshold": "percentunit",
            },
            columns={
                "combination": "Combination",
                "signal": "Signal",
                "condition": "Condition",
                "near": "Evidence, of what is needed",
                "rate": "Rate",
                "lower": "From",
                "upper": "To",
                "base": "Base",
                "threshold": "Threshold",
                "samples": "Answers",
                "instance": "Sidecar",
            },
            sort="Evidence, of what is needed",
            states={"Condition": CONDITIONS},
        ),
        bars(
            "Evidence against what is needed",
            "The fifteen that are nearest to an alarm; at 100% it begins.",
            Ask(f"topk(15, {NEARNESS})", "{{combination}} · {{signal}}"),
            "percentunit",
            most=1,
        ),
        curve(
            "Evidence over time",
            "The strongest signal of each combination. The dashed line at 100% is where the alarm begins.",
            [Ask(f"max by (combination) ({NEARNESS})", "{{combination}}")],
            "percentunit",
            line_at=1,
            height=9,
        ),
        timeline(
            "Condition: refusals lost",
            "The condition of each combination, as a word, over time.",
            Ask(
                number_of(
                    CONDITIONS,
                    "alignment_drift_condition",
                    "condition",
                    f'{SIDECARS},signal="refusal_lost"',
                    "combination, instance",
                ),
                "{{combination}} at {{instance}}",
            ),
            CONDITIONS,
        ),
        curve(
            "Pooled over replicas",
            "Evidence for lost refusals from the answers of all replicas of a job together (natural logarithm, the best look-back), and"
            " what an alarm needs, dashed. Comes from the recording rules.",
            [
                Ask(
                    'max by (combination) (job_combination_window:alignment_drift_pooled_evidence:log{job=~"$job"})',
                    "{{combination}}",
                ),
                Ask(f'max(alignment_drift_evidence_needed_log{{{SIDECARS},signal="refusal_lost"}})', "needed"),
            ],
            "none",
            24,
            dashed=["needed"],
        ),
    ]
    alerts = [
        listing(
            "Alerts",
            "What the alert rules say now: firing, or pending while their `for` runs.",
            [Ask('ALERTS{alertname=~"Alignment.*"}', "one")],
            {},
            columns={
                "alertname": "Alert",
                "alertstate": "State",
                "severity": "Severity",
                "combination": "Combination",
                "signal": "Signal",
                "instance": "Sidecar",
                "reason": "Reason",
            },
        ),
    ]
    return arranged(made, {"Now": now, "Which is worst": worst, "Alerts": alerts})
