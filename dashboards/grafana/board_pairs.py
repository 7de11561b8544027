"""Pairs of adapters: which two do together what neither does alone."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh, VariableSort
from panels import SIDECARS, SOURCE, Ask, arranged, board, listing, matrix

SIGNAL = f'{SIDECARS},signal="$signal"'
SIGNAL_OF_PART = f'{SIDECARS},signal="refusal_lost"'
NEARNESS = f"clamp_min(alignment_drift_evidence_log{{{SIGNAL}}}, 0) / alignment_drift_evidence_needed_log{{{SIGNAL}}}"


def split(values: str) -> str:
    """PromQL: the values of merges of two adapters, with the labels `first` and `second` instead of the combination."""
    merges = f'alignment_combination_info{{{SIDECARS},parts=~"[^,]+,[^,]+"}}'
    joined = (
        f"max by (job, instance, combination) ({values}) * on (job, instance, combination) group_left (parts) {merges}"
    )
    first = f'label_replace({joined}, "first", "$1", "parts", "([^@,]+)@.*")'
    return f'max by (first, second) (label_replace({first}, "second", "$1", "parts", "[^,]+,([^@,]+)@.*"))'


def alone(part: str) -> str:
    """PromQL: for every pair, the rate of one of its parts served alone."""
    rate = f"alignment_drift_rate{{{SIGNAL_OF_PART}}}"
    renamed = f'max by ({part}) (label_replace({rate}, "{part}", "$1", "combination", "(.+)"))'
    return f"0 * {split(f'alignment_drift_samples{{{SIGNAL}}}')} + on ({part}) group_left () {renamed}"


def pairs() -> Dashboard:
    """The dashboard."""
    made = board("alignment-pairs", "Alignment: pairs", "Which two adapters do together what neither does alone.")
    query: dict[str, object] = {
        "qryType": 1,
        "query": f"label_values(alignment_drift_condition{{{SIDECARS}}}, signal)",
        "refId": "variable-signal",
    }
    choice = QueryVariable("signal").label("Signal").description("`collusion` exists where shadow replays are made.")
    choice.datasource(SOURCE).query(query).sort(VariableSort.ALPHABETICAL_ASC).refresh(
        VariableRefresh.ON_TIME_RANGE_CHANGED
    )
    made.with_variable(choice.current(VariableOption(text="refusal_lost", value="refusal_lost")))
    squares = [
        matrix(
            "Evidence, of what is needed",
            "At 100% the alarm of the pair begins. A pair that is not served has a dash; each pair"
            " stands once, in the order of its parts.",
            Ask(split(NEARNESS)),
            "first",
            "second",
            "percentunit",
        ),
        matrix(
            "Rate",
            "Share of bad answers of the pair, for the chosen signal.",
            Ask(split(f"alignment_drift_rate{{{SIGNAL}}}")),
            "first",
            "second",
            "percentunit",
        ),
    ]
    lists = [
        listing(
            "The whole against its parts",
            "Rate of the pair for the chosen signal, beside the share of refusals that each part lost alone. A pair far above both parts is"
            " what to look at.",
            [
                Ask(split(f"alignment_drift_rate{{{SIGNAL}}}"), "whole"),
                Ask(alone("first"), "a"),
                Ask(alone("second"), "b"),
                Ask(split(NEARNESS), "near"),
                Ask(split(f"alignment_drift_samples{{{SIGNAL}}}"), "n"),
            ],
            {
                "Together": "percentunit",
                "First alone": "percentunit",
                "Second alone": "percentunit",
                "Evidence, of what is needed": "percentunit",
            },
            columns={
                "first": "First part",
                "second": "Second part",
                "whole": "Together",
                "a": "First alone",
                "b": "Second alone",
                "near": "Evidence, of what is needed",
                "n": "Answers",
            },
            sort="Evidence, of what is needed",
        ),
        listing(
            "Interactions measured on the same prompts",
            "Base, parts and whole were asked the same prompts: how far the whole gives in beyond what its parts explain, with its confidence"
            " sequence. Also for merges of more than two.",
            [
                Ask(f'alignment_drift_effect{{{SIDECARS},signal="collusion"}}', "effect"),
                Ask(f'alignment_drift_effect_lower{{{SIDECARS},signal="collusion"}}', "lower"),
                Ask(f'alignment_drift_effect_upper{{{SIDECARS},signal="collusion"}}', "upper"),
                Ask(f'alignment_drift_samples{{{SIDECARS},signal="collusion"}}', "n"),
            ],
            {"Interaction": "percentunit", "From": "percentunit", "To": "percentunit"},
            columns={
                "combination": "Combination",
                "effect": "Interaction",
                "lower": "From",
                "upper": "To",
                "n": "Prompts",
                "instance": "Sidecar",
            },
            sort="Interaction",
        ),
        listing(
            "Merges of more than two",
            "They have no place in the squares above.",
            [
                Ask(
                    f"max by (combination, parts) ({NEARNESS.replace('/', '/ on (job, instance, combination, signal)')}"
                    f' * on (job, instance, combination) group_left (parts) alignment_combination_info{{{SIDECARS},parts=~".+,.+,.+"}})',
                    "near",
                )
            ],
            {"Evidence, of what is needed": "percentunit"},
            height=6,
            columns={"combination": "Combination", "parts": "Parts", "near": "Evidence, of what is needed"},
            sort="Evidence, of what is needed",
        ),
    ]
    return arranged(made, {"Pairs, signal $signal": squares, "Lists": lists})
