"""What the admin port shows of the combinations, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from monitor import terms
from monitor.adapters import Catalog
from monitor.adapters.watch import AdapterWatch
from monitor.pipeline import Pipeline, Tally
from monitor.records import Attribution, Outcome
from monitor.telemetry.recent import Coverage


def combinations_view(
    catalog: Catalog,
    pipeline: Pipeline,
    now: float,
    adapters: AdapterWatch | None = None,
    probing: Mapping[str, dict[str, Any]] | None = None,
    coverage: Coverage | None = None,
) -> dict[str, Any]:
    """All known combinations with their composition, counts, states and validation, and the latest events of adapters;
    NaN becomes None. Times are Unix seconds, rates shares, evidence natural logarithms. probing: label -> its rounds;
    coverage: what became of the latest traffic."""
    signals: dict[str, list[dict[str, Any]]] = {}
    for state in pipeline.drifts.states():
        signals.setdefault(state.combination, []).append(
            {
                "signal": state.signal,
                "condition": state.condition.value,
                "samples": state.samples,
                "bad": state.bad,
                "rate": _known(state.rate),
                "lower": _known(state.lower),
                "upper": _known(state.upper),
                "baseline_rate": _known(state.baseline_rate),
                "baseline_samples": state.baseline_samples,
                "threshold": _known(state.threshold),
                "since": _known(state.since),
                "evidence_log": _known(state.evidence_log),
                "evidence_needed_log": _known(state.evidence_needed_log),
                "effect": _known(state.effect),
                "effect_lower": _known(state.effect_lower),
                "effect_upper": _known(state.effect_upper),
                "extras": {name: _known(value) for name, value in state.extras.items()},
            }
        )
    combinations = []
    for identity in catalog.identities():
        combination = identity.combination
        if combination is None:
            continue
        tally = pipeline.counts.tallies.get(identity.label, Tally())
        combinations.append(
            {
                "name": identity.label,
                "id": combination.id,
                "served_name": combination.served_name,
                "is_base": combination.is_base,
                "declared": combination.declared,
                "parts": [{"adapter": part.adapter, "scale": part.scale} for part in combination.parts],
                "merge": combination.merge,
                "requests": tally.requests,
                "outcomes": {outcome.value: tally.outcomes.get(outcome.value, 0) for outcome in Outcome},
                "categories": {category: dict(outcomes) for category, outcomes in sorted(tally.categories.items())},
                "last_sample": tally.last_sample,
                "signals": signals.get(identity.label, []),
                "attribution": attribution_view(pipeline.drifts.attribution(identity.label)),
                "probing": (probing or {}).get(identity.label),
                **(adapters.shown(identity.label, combination) if adapters else {}),
            }
        )
    mismatches = [
        {"requested": requested, "answered": answered, "count": count}
        for (requested, answered), count in pipeline.counts.mismatches.most_common()
    ]
    return {
        "time": now,
        "scorer": dict(
            zip(("name", "version", "risk_version"), (*pipeline.scorer, pipeline.risk_version), strict=True)
        ),
        "combinations": combinations,
        "mismatches": mismatches,
        "events": adapters.events() if adapters else [],
        "coverage": _coverage(coverage) if coverage else None,
    }


def attribution_view(found: Attribution | None) -> dict[str, Any] | None:
    """Which parts it comes from, with a sentence that says so."""
    if found is None:
        return None
    values: dict[str, Any] = msgspec.to_builtins(found)
    return values | {"sentence": terms.attribution(values)}


def _coverage(coverage: Coverage) -> dict[str, Any]:
    endpoints = [{"endpoint": name, **one._asdict()} for name, one in sorted(coverage.endpoints.items())]
    return {"window_s": coverage.window_s, "endpoints": endpoints}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
