"""The sidecar itself: what it costs the users, and what it does not see."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from panels import BAD, SIDECARS, WARN, Ask, arranged, board, curve, figure, steps

RATE = "$__rate_interval"


def per_second(metric: str, by: str, more: str = "") -> str:
    """PromQL: a counter's rate."""
    return f"sum by ({by}) (rate({metric}{{{SIDECARS}{more}}}[{RATE}]))"


def sidecar() -> Dashboard:
    """The dashboard."""
    made = board(
        "alignment-sidecar", "Alignment: the sidecar", "What the sidecar costs the users, and what it does not see."
    )
    added = "alignment_proxy_added_latency_seconds"

    def quantile(share: float) -> Ask:
        return Ask(
            f"histogram_quantile({share}, sum by (le) (rate({added}_bucket{{{SIDECARS}}}[{RATE}])))",
            f"{share:.0%} below",
        )

    now = [
        figure(
            "Added latency, 99% below",
            "Time that the proxy itself holds an exchange back before its first byte.",
            Ask(f"histogram_quantile(0.99, sum by (le) (rate({added}_bucket{{{SIDECARS}}}[{RATE}])))"),
            "s",
            thresholds=steps((0.01, WARN)),
        ),
        figure(
            "Coverage",
            "Share of the exchanges that were due for scoring and were scored, over 30 minutes, of the worst endpoint."
            " Comes from the recording rules.",
            Ask(f"min(instance_endpoint:alignment_exchanges_scored:ratio_rate30m{{{SIDECARS}}})"),
            "percentunit",
        ),
        figure(
            "Exchanges lost",
            "Sampled exchanges in the chosen time that were dropped before they were scored.",
            Ask(f"sum(increase(alignment_exchanges_dropped_total{{{SIDECARS}}}[$__range])) or vector(0)"),
            thresholds=steps((1, WARN)),
        ),
        figure(
            "Processes started again",
            "Restarts of workers and of the analysis in the chosen time.",
            Ask(f"sum(increase(alignment_process_restarts_total{{{SIDECARS}}}[$__range])) or vector(0)"),
            thresholds=steps((1, WARN)),
        ),
        figure(
            "Analysis",
            "Seconds since the analysis loop last turned, at the slowest sidecar. Over 60: nothing is judged.",
            Ask(f"time() - min(alignment_analysis_last_loop_timestamp_seconds{{{SIDECARS}}})"),
            "s",
            thresholds=steps((60, BAD)),
        ),
        figure(
            "Version",
            "Versions that run.",
            Ask(f"count by (version) (alignment_build_info{{{SIDECARS}}})", "{{version}}"),
            names=True,
        ),
    ]
    users = [
        curve(
            "Added latency",
            "Time that the proxy itself holds an exchange back: sending the request and passing the head.",
            [quantile(0.5), quantile(0.95), quantile(0.99)],
            "s",
            dashed=["^95"],
            dotted=["^50"],
        ),
        curve(
            "Slow exchanges",
            "Share of exchanges to which the proxy added more than 10 ms, per sidecar, over an hour; 1% is the limit,"
            " dashed. Comes from the recording rules.",
            [Ask(f"instance:alignment_proxy_slow:ratio_rate1h{{{SIDECARS}}}", "{{instance}}")],
            "percentunit",
            line_at=0.01,
        ),
        curve(
            "How exchanges ended",
            "On the wire.",
            [Ask(per_second("alignment_proxy_endings_total", "ending"), "{{ending}}")],
            "reqps",
            8,
            stacked=True,
        ),
        curve(
            "Failures against the error budget",
            "Share of exchanges that got no answer, lost it half-way or ran into a time limit, over an"
            " hour; at 1.44% (dashed) somebody is woken. Comes from the recording rules.",
            [Ask(f"instance:alignment_proxy_failures:ratio_rate1h{{{SIDECARS}}}", "{{instance}}")],
            "percentunit",
            8,
            line_at=0.0144,
        ),
        curve(
            "Responses",
            "By class of their status.",
            [Ask(per_second("alignment_proxy_responses_total", "code"), "{{code}}")],
            "reqps",
            8,
        ),
        curve(
            "Errors of the proxy itself",
            "Requests that the proxy answered with an error of its own, by kind.",
            [Ask(per_second("alignment_proxy_errors_total", "kind"), "{{kind}}")],
            "reqps",
            8,
        ),
        curve(
            "Denied routes",
            "Requests for routes that the proxy does not pass.",
            [Ask(per_second("alignment_routes_denied_total", "route"), "{{route}}")],
            "reqps",
            8,
        ),
        curve(
            "Connections",
            "Client connections open now, per worker.",
            [Ask(f"alignment_proxy_connections{{{SIDECARS}}}", "{{instance}} worker {{worker}}")],
            "none",
            8,
        ),
    ]
    account = [
        curve(
            "The account",
            "Exchanges that passed, were chosen, could be decoded, were judged. The distance between the lines is what is not seen.",
            [
                Ask(f"sum(rate(alignment_exchanges_{step}_total{{{SIDECARS}}}[{RATE}]))", step)
                for step in ("seen", "sampled", "parsed", "scored")
            ],
            "reqps",
            dashed=["seen"],
            dotted=["sampled"],
        ),
        curve(
            "Coverage by endpoint",
            "Share of the exchanges due for scoring that were scored, over 30 minutes; below 50% (dashed) a ticket."
            " Comes from the recording rules.",
            [
                Ask(
                    f"instance_endpoint:alignment_exchanges_scored:ratio_rate30m{{{SIDECARS}}}",
                    "{{endpoint}} at {{instance}}",
                )
            ],
            "percentunit",
            most=1,
            line_at=0.5,
        ),
        curve(
            "Not judged, and why",
            "Sampled exchanges without a verdict.",
            [Ask(per_second("alignment_exchanges_unscored_total", "reason"), "{{reason}}")],
            "reqps",
            8,
        ),
        curve(
            "Not chosen, and why",
            "Exchanges that were not sampled.",
            [Ask(per_second("alignment_exchanges_skipped_total", "reason"), "{{reason}}")],
            "reqps",
            8,
        ),
        curve(
            "Lost, and why",
            "Sampled exchanges that were dropped before they were scored. Replies are not affected.",
            [Ask(per_second("alignment_exchanges_dropped_total", "reason"), "{{reason}}")],
            "reqps",
            8,
        ),
        curve(
            "Queue",
            "Exchanges that wait for the analysis, per worker.",
            [Ask(f"alignment_handoff_depth_exchanges{{{SIDECARS}}}", "{{instance}} worker {{worker}}")],
            "none",
            8,
        ),
        curve(
            "Queue in bytes",
            "The same in bytes.",
            [Ask(f"alignment_handoff_depth_bytes{{{SIDECARS}}}", "{{instance}} worker {{worker}}")],
            "bytes",
            8,
        ),
        curve(
            "Restarts",
            "Processes started again, by process.",
            [
                Ask(
                    f"sum by (process) (increase(alignment_process_restarts_total{{{SIDECARS}}}[{RATE}]))",
                    "{{process}}",
                )
            ],
            "none",
            8,
            bars=True,
        ),
    ]
    verdicts = [
        curve(
            "What decided",
            "Answers by the tier that decided; over_budget: the exact tier had no time left.",
            [Ask(per_second("alignment_verdict_tiers_total", "tier"), "{{tier}}")],
            "reqps",
            8,
        ),
        curve(
            "Languages",
            "Answers by the language they open in.",
            [Ask(per_second("alignment_answer_languages_total", "language"), "{{language}}")],
            "reqps",
            8,
        ),
        curve(
            "Findings not written",
            "Findings that could not be written to the findings file.",
            [
                Ask(
                    f"sum by (instance) (increase(alignment_findings_unwritten_total{{{SIDECARS}}}[{RATE}]))",
                    "{{instance}}",
                )
            ],
            "none",
            8,
            bars=True,
        ),
        curve(
            "The judge's opinion",
            "Second opinions: the scorer's outcome and what the judge said.",
            [Ask(per_second("alignment_judge_verdicts_total", "outcome, judge"), "{{outcome}} / {{judge}}")],
            "reqps",
            8,
        ),
        curve(
            "Calls to the judge that failed",
            "And why; those that were left out, dashed.",
            [
                Ask(per_second("alignment_judge_errors_total", "reason"), "{{reason}}"),
                Ask(per_second("alignment_judge_dropped_total", "reason"), "left out: {{reason}}"),
            ],
            "reqps",
            8,
            dashed=["^left out"],
        ),
        curve(
            "Time of a call to the judge",
            "Seconds, of all calls.",
            [
                Ask(
                    f"histogram_quantile(0.95, sum by (le) (rate(alignment_judge_duration_seconds_bucket{{{SIDECARS}}}[{RATE}])))",
                    "95% below",
                )
            ],
            "s",
            8,
        ),
    ]
    examples = [
        curve(
            "Stored examples",
            "Of what was answered (evidence.enabled): those that a finding names, and the others.",
            [Ask(f"sum by (kept_for) (alignment_evidence_examples{{{SIDECARS}}})", "{{kept_for}}")],
            "none",
            8,
        ),
        curve(
            "Examples stored and left out",
            "unwritable: the disk did not take them; budget: evidence.per_minute was used up.",
            [
                Ask(f"sum(rate(alignment_evidence_stored_total{{{SIDECARS}}}[{RATE}]))", "stored"),
                Ask(per_second("alignment_evidence_dropped_total", "reason"), "left out: {{reason}}"),
            ],
            "cps",
            8,
            dashed=["^left out"],
        ),
        curve(
            "Size of the store",
            "Of each sidecar's file, and the most that it may have.",
            [
                Ask(f"alignment_evidence_bytes{{{SIDECARS}}}", "{{instance}}"),
                Ask(f"max(alignment_evidence_bytes_limit{{{SIDECARS}}})", "limit"),
            ],
            "bytes",
            8,
            dashed=["^limit"],
        ),
    ]
    messages = [
        curve(
            "Messages to the webhook",
            "Those that its receiver has taken (outputs.webhook), by what they tell.",
            [Ask(f"sum by (event) (increase(alignment_webhook_messages_total{{{SIDECARS}}}[{RATE}]))", "{{event}}")],
            "none",
            8,
            bars=True,
        ),
        curve(
            "Oldest message that waits",
            "At each sidecar; over five minutes a ticket.",
            [Ask(f"alignment_webhook_waiting_seconds{{{SIDECARS}}}", "{{instance}}")],
            "s",
            8,
        ),
        curve(
            "Messages that were not taken, and why",
            "Attempts that failed; messages that are never sent, dashed.",
            [
                Ask(per_second("alignment_webhook_errors_total", "reason"), "{{reason}}"),
                Ask(per_second("alignment_webhook_dropped_total", "reason"), "never sent: {{reason}}"),
            ],
            "reqps",
            8,
            dashed=["^never sent"],
        ),
        curve(
            "Time since the latest round of probing",
            "Of the combination that has waited longest, at each sidecar (probing.enabled); the interval, dashed.",
            [
                Ask(f"max by (instance) (alignment_probe_age_seconds{{{SIDECARS}}})", "{{instance}}"),
                Ask(f"max(alignment_probe_interval_seconds{{{SIDECARS}}})", "interval"),
            ],
            "s",
            dashed=["^interval"],
        ),
        curve(
            "Probing and replays stand still",
            "1 while the server has requests waiting or refuses ours.",
            [
                Ask(f"max by (instance) (alignment_probe_paused{{{SIDECARS}}})", "{{instance}} probing"),
                Ask(f"max by (instance) (alignment_shadow_paused{{{SIDECARS}}})", "{{instance}} replays"),
            ],
            "none",
            most=1,
        ),
    ]
    rows = {
        "Now": now,
        "What users notice": users,
        "What is seen": account,
        "Verdicts": verdicts,
        "Stored examples": examples,
        "Messages, probing, replays": messages,
    }
    return arranged(made, rows)
