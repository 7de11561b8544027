"""What is loaded, what became of it, and what the registry says."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from panels import (
    BAD,
    SIDECARS,
    STATUSES,
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


def adapters() -> Dashboard:
    """The dashboard."""
    made = board(
        "alignment-adapters",
        "Alignment: adapters",
        "What is loaded, what changed under its name, and what the registry says.",
    )
    state = number_of(STATUSES, "alignment_combination_state", "status", SIDECARS, "job, instance, combination")
    now = [
        figure(
            "Combinations",
            "Served names, base models included.",
            Ask(f"count(alignment_combination_info{{{SIDECARS}}})"),
        ),
        figure(
            "Contents unknown",
            "Served names whose files the sidecar cannot read, so that a change of theirs is not noticed.",
            Ask(f"sum(alignment_adapters_undigested{{{SIDECARS}}})"),
            thresholds=steps((1, WARN)),
        ),
        figure(
            "Validation",
            "Whether combinations are to be validated before they serve.",
            Ask(f"max(alignment_validation_required{{{SIDECARS}}})"),
            states={0: "not asked for", 1: "asked for"},
        ),
        figure(
            "Unvalidated answers",
            "Sampled requests in the chosen time that an unvalidated or quarantined combination answered.",
            Ask(f"sum(increase(alignment_unvalidated_traffic_total{{{SIDECARS}}}[$__range]))"),
            thresholds=steps((1, WARN)),
        ),
        figure(
            "Reserved names",
            "Adapters whose name vLLM takes for a kind of content.",
            Ask(f"sum(alignment_adapter_name_reserved{{{SIDECARS}}}) or vector(0)"),
            thresholds=steps((1, BAD)),
        ),
        figure(
            "Server's list",
            "Whether the latest look at /v1/models succeeded, at the worst sidecar.",
            Ask(f"min(alignment_discovery_up{{{SIDECARS}}})"),
            states={0: "NOT READABLE", 1: "readable"},
        ),
    ]
    loaded = [
        listing(
            "Loaded now",
            "Every served name with its parts, contents and status.",
            [
                Ask(f"alignment_combination_info{{{SIDECARS}}}", "info"),
                Ask(f"alignment_adapter_info{{{SIDECARS}}}", "contents"),
                Ask(state, "state"),
            ],
            {},
            columns={
                "combination": "Combination",
                "served_name": "Served name",
                "parts": "Parts",
                "merge": "Merge",
                "declared": "Declared",
                "digest": "Digest",
                "state": "Status",
                "base": "Base",
                "instance": "Sidecar",
            },
            states={"Status": STATUSES},
        ),
        timeline(
            "Status",
            "What the registry says of each combination as it is served, as a word.",
            Ask(
                number_of(STATUSES, "alignment_combination_state", "status", SIDECARS, "combination, instance"),
                "{{combination}} at {{instance}}",
            ),
            STATUSES,
        ),
        timeline(
            "Registry file",
            "Whether the registry file can be used as it lies there; while it cannot, what was read before counts on.",
            Ask(f"1 + min by (instance) (alignment_registry_last_reload_successful{{{SIDECARS}}})", "{{instance}}"),
            {1: "NOT USABLE", 2: "in use"},
            width=24,
            height=4,
        ),
    ]
    changes = [
        curve(
            "Events",
            "Changes of what is loaded, by kind.",
            [
                Ask(
                    f"sum by (event) (increase(alignment_adapter_events_total{{{SIDECARS}}}[$__rate_interval]))",
                    "{{event}}",
                )
            ],
            "none",
            bars=True,
        ),
        listing(
            "Latest event of each kind",
            "When each kind of change was noticed last.",
            [
                Ask(
                    f"max by (event, instance) (alignment_adapter_last_event_timestamp_seconds{{{SIDECARS}}} > 0) * 1000",
                    "time",
                )
            ],
            {"Time": "dateTimeAsIso"},
            12,
            8,
            columns={"event": "Event", "time": "Time", "instance": "Sidecar"},
            sort="Time",
        ),
        curve(
            "Unvalidated answers over time",
            "Sampled requests that unvalidated or quarantined combinations answered.",
            [
                Ask(
                    f"sum by (combination) (rate(alignment_unvalidated_traffic_total{{{SIDECARS}}}[$__rate_interval])) > 0",
                    "{{combination}}",
                )
            ],
            "reqps",
        ),
        bars(
            "Unexplained share of undeclared adapters",
            "Of adapters in which known ones were found: the share of the weights that those leave unexplained.",
            Ask(f"max by (combination) (alignment_composition_residual{{{SIDECARS}}})", "{{combination}}"),
            "percentunit",
            most=1,
            height=8,
        ),
        listing(
            "Answered by another model",
            "Responses whose model is not the one that was asked for, in the chosen time.",
            [
                Ask(
                    f"sum by (requested, answered) (increase(alignment_model_mismatch_total{{{SIDECARS}}}[$__range])) > 0",
                    "n",
                )
            ],
            {},
            24,
            6,
            columns={"requested": "Asked for", "answered": "Answered by", "n": "Responses"},
            sort="Responses",
        ),
        curve(
            "Requests kept from the server",
            "Requests that got 403 because the registry does not let the combination answer, and why.",
            [
                Ask(
                    f"sum by (combination, reason) (rate(alignment_requests_blocked_total{{{SIDECARS}}}[$__rate_interval]))",
                    "{{combination}}: {{reason}}",
                )
            ],
            "reqps",
            24,
        ),
    ]
    return arranged(made, {"Now": now, "Loaded": loaded, "Changes": changes})
