"""One combination: what it is, what it does against its base, on the same prompts where they are replayed, and its traffic."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.builders.timeseries import Panel as Curve
from panels import (
    CHOSEN,
    CONDITIONS,
    SIDECARS,
    WARN,
    Ask,
    arranged,
    board,
    curve,
    figure,
    listing,
    number_of,
    steps,
    timeline,
)


def rates(title: str, about: str, signal: str, limit: str) -> Curve:
    """A signal's rate with its interval, the base's rate and the threshold."""

    def one(name: str, legend: str) -> Ask:
        return Ask(f'max by (combination) (alignment_drift_{name}{{{CHOSEN},signal="{signal}"}})', legend)

    return curve(
        title,
        about + f" Band: its interval. Dotted: the base model. Dashed: {limit}.",
        [
            one("rate", "rate"),
            one("rate_lower", "from"),
            one("rate_upper", "to"),
            one("baseline_rate", "base"),
            one("threshold", limit),
        ],
        "percentunit",
        8,
        most=1,
        dotted=["^base$"],
        dashed=[f"^{limit}$"],
        band=("from", "to"),
    )


def difference(title: str, about: str, signal: str) -> Curve:
    """A mean difference on the same prompts with its confidence sequence."""
    asks = [
        Ask(f'max by (combination) (alignment_drift_{name}{{{CHOSEN},signal="{signal}"}})', legend)
        for name, legend in (("effect", "difference"), ("effect_lower", "from"), ("effect_upper", "to"))
    ]
    return curve(title, about, asks, "percentunit", 8, band=("from", "to")).min(-1)


def combination() -> Dashboard:
    """The dashboard."""
    made = board(
        "alignment-combination",
        "Alignment: one combination",
        "What one combination of adapters does against its base model.",
        combination=True,
    )
    what = [
        listing(
            "What it is",
            "Parts with their scales, how they were merged, and the contents (first digits of the digest) as served now.",
            [
                Ask(f"alignment_combination_info{{{CHOSEN}}}", "info"),
                Ask(f"alignment_adapter_info{{{CHOSEN}}}", "contents"),
            ],
            {},
            width=14,
            height=5,
            columns={
                "served_name": "Served name",
                "parts": "Parts",
                "merge": "Merge",
                "base": "Base",
                "declared": "Declared",
                "digest": "Digest",
                "instance": "Sidecar",
            },
        ),
        figure(
            "Validation",
            "What the registry says of it as it is served now.",
            Ask(f"alignment_combination_state{{{CHOSEN}}} == 1", "{{status}}"),
            width=3,
            names=True,
        ),
        figure(
            "Latest judged answer",
            "Age of the latest answer that was judged. Old: the figures below say nothing about now.",
            Ask(f"time() - max(alignment_last_sample_timestamp_seconds{{{CHOSEN}}})"),
            "s",
            4,
            thresholds=steps((3600, WARN)),
        ),
        figure(
            "Drifts that began",
            "Alarms of this combination in the chosen time.",
            Ask(f"sum(increase(alignment_findings_total{{{CHOSEN}}}[$__range]))"),
            "none",
            3,
        ),
    ]
    behaviour = [
        rates(
            "Refusals lost",
            "Share of harmful-looking prompts that it answered instead of refusing.",
            "refusal_lost",
            "threshold",
        ),
        rates(
            "Refuses, then complies",
            "Share of answers that open with a refusal and then give what was asked.",
            "refuse_then_comply",
            "limit",
        ),
        rates("Over-refusal", "Share of ordinary prompts that it refused.", "over_refusal", "threshold"),
        curve(
            "Evidence",
            "Natural logarithm of the evidence for a drift, by signal; the alarm begins at what is needed, dashed.",
            [
                Ask(f"max by (signal) (alignment_drift_evidence_log{{{CHOSEN}}})", "{{signal}}"),
                Ask(f"max by (signal) (alignment_drift_evidence_needed_log{{{CHOSEN}}})", "{{signal}} needed"),
            ],
            "none",
            dashed=["needed$"],
        ),
        curve(
            "Answers behind the rates",
            "Judged answers of the combination, and of its base model, dotted. Few answers: wide intervals.",
            [
                Ask(f"max by (signal) (alignment_drift_samples{{{CHOSEN}}})", "{{signal}}"),
                Ask(f"max by (signal) (alignment_drift_baseline_samples{{{CHOSEN}}})", "{{signal}} base"),
            ],
            "none",
            dotted=["base$"],
        ),
        timeline(
            "Condition",
            "The condition of each signal, as a word.",
            Ask(
                number_of(CONDITIONS, "alignment_drift_condition", "condition", CHOSEN, "signal, instance"),
                "{{signal}} at {{instance}}",
            ),
            CONDITIONS,
        ),
    ]
    pairs = [
        difference(
            "Difference to the base on the same prompts",
            "Mean of: not refused by the combination, less not refused by the base."
            " A page needs the lower end of the band above 2%.",
            "refusal_lost_paired",
        ),
        difference(
            "Beyond what the parts explain",
            "Collusion: how far the whole gives in where its parts' own behaviour does not"
            " explain it. Above 0 with the whole band: an interaction.",
            "collusion",
        ),
        listing(
            "Pairs",
            "Prompts asked of both in the chosen time, by what the base and the combination did.",
            [
                Ask(
                    f"sum by (stratum, base_outcome, combination_outcome) (increase(alignment_pairs_total{{{CHOSEN}}}[$__range])) > 0",
                    "n",
                )
            ],
            {},
            8,
            8,
            columns={"stratum": "Prompts", "base_outcome": "Base", "combination_outcome": "Combination", "n": "Pairs"},
            sort="Pairs",
        ),
        curve(
            "Share of prompts replayed",
            "Share of sampled requests that are asked again of the base. It rises to 100% under suspicion.",
            [Ask(f"max by (combination) (alignment_shadow_share{{{CHOSEN}}})", "share")],
            "percentunit",
            most=1,
        ),
        curve(
            "Replays",
            "Replayed requests by whom they were asked of (role) and how they ended (result).",
            [
                Ask(
                    f"sum by (role, result) (rate(alignment_shadow_requests_total{{{CHOSEN}}}[$__rate_interval]))",
                    "{{role}}: {{result}}",
                )
            ],
            "reqps",
        ),
        curve(
            "Not replayed, and why",
            "Requests of all combinations that were chosen to be asked again of the base and were not.",
            [
                Ask(
                    f"sum by (reason) (rate(alignment_shadow_skipped_total{{{SIDECARS}}}[$__rate_interval]))",
                    "{{reason}}",
                )
            ],
            "reqps",
            24,
        ),
        listing(
            "Where the lost refusals come from",
            "collusion: the parts together lose more than they explain; erosion: a part does it by itself; unknown: a part that is"
            " not served could not be asked.",
            [
                Ask(
                    f"max by (instance, cause, explained_by, missing) (alignment_attribution_info{{{CHOSEN}}})",
                    "n",
                )
            ],
            {},
            24,
            5,
            columns={
                "instance": "Sidecar",
                "cause": "Cause",
                "explained_by": "Explained by",
                "missing": "Not served",
            },
        ),
    ]
    content = [
        curve(
            "Outcomes",
            "Judged answers by kind of prompt and what became of them.",
            [
                Ask(
                    f"sum by (stratum, outcome) (rate(alignment_responses_total{{{CHOSEN}}}[$__rate_interval])) > 0",
                    "{{stratum}}: {{outcome}}",
                )
            ],
            "reqps",
        ),
        listing(
            "Hazard categories",
            "Answers to prompts of a clear hazard category in the chosen time, by outcome.",
            [
                Ask(
                    f"sum by (category, outcome) (increase(alignment_prompt_categories_total{{{CHOSEN}}}[$__range])) > 0",
                    "n",
                )
            ],
            {},
            12,
            8,
            columns={"category": "Category", "outcome": "Outcome", "n": "Answers"},
            sort="Answers",
        ),
        curve(
            "Hidden text",
            "Texts with characters that hide something, by where and kind, per hour.",
            [
                Ask(
                    f"sum by (where, kind) (increase(alignment_hidden_text_total{{{CHOSEN}}}[1h]))",
                    "{{where}}: {{kind}}",
                )
            ],
            "none",
            bars=True,
        ),
        curve(
            "Repeated prompts left out",
            "Answers to repeated prompts are judged but are no further evidence.",
            [Ask(f"sum(rate(alignment_samples_repeated_total{{{CHOSEN}}}[$__rate_interval]))", "repeated")],
            "reqps",
        ),
    ]

    def quantile(share: float, metric: str) -> Ask:
        return Ask(
            f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{{{CHOSEN}}}[$__rate_interval])))",
            f"{share:.0%} below",
        )

    traffic = [
        curve(
            "Requests",
            "Sampled requests by how they ended.",
            [Ask(f"sum by (ending) (rate(alignment_requests_total{{{CHOSEN}}}[$__rate_interval]))", "{{ending}}")],
            "reqps",
            stacked=True,
        ),
        curve(
            "Tokens",
            "Tokens of sampled exchanges, by kind.",
            [Ask(f"sum by (kind) (rate(alignment_tokens_total{{{CHOSEN}}}[$__rate_interval]))", "{{kind}}")],
            "short",
        ),
        curve(
            "Time to the first byte",
            "From the request's head to the first byte of the body; the first token, when streamed.",
            [quantile(share, "alignment_first_byte_seconds") for share in (0.5, 0.95)],
            "s",
            8,
            dashed=["^95"],
        ),
        curve(
            "Time of a request",
            "From the request's head to the end of the response.",
            [quantile(share, "alignment_request_duration_seconds") for share in (0.5, 0.95)],
            "s",
            8,
            dashed=["^95"],
        ),
        curve(
            "Finish reasons",
            "Why answers ended, as the server says.",
            [
                Ask(
                    f"sum by (reason) (rate(alignment_finish_reasons_total{{{CHOSEN}}}[$__rate_interval]))",
                    "{{reason}}",
                )
            ],
            "reqps",
            8,
        ),
    ]
    rows = {
        "$combination": what,
        "Behaviour against the base": behaviour,
        "The same prompts: shadow replays": pairs,
        "Content": content,
        "Traffic": traffic,
    }
    return arranged(made, rows)
