"""A book with findings as a detector would have begun them."""

from __future__ import annotations

import math
from typing import Any

from monitor.findings import FindingBook
from monitor.records import Condition, DriftState, Finding, Part

BEGAN = 1_700_000_000.0


def state(combination: str = "alpha+beta", signal: str = "refusal_lost", **known: Any) -> DriftState:
    """A drifting state; `known` replaces figures."""
    figures: dict[str, Any] = {
        "samples": 40, "bad": 38, "rate": 0.95, "lower": 0.7, "upper": 0.99, "baseline_rate": 0.02, "baseline_samples": 101,
        "threshold": 0.11, "since": BEGAN, "evidence_log": math.log(1e7), "evidence_needed_log": math.log(1e6),
    }  # fmt: skip
    if signal in ("refusal_lost_paired", "refusal_lost_probed", "collusion"):
        figures |= {"effect": 0.6, "effect_lower": 0.4, "effect_upper": 0.8}
    return DriftState(combination, signal, Condition.DRIFTING, **(figures | known))


def begin(
    book: FindingBook, combination: str = "alpha+beta", signal: str = "refusal_lost", time: float = BEGAN, **known: Any
) -> str:
    """A finding begins; its id."""
    parts = tuple(Part(name) for name in combination.split("+"))
    finding = Finding(
        combination, "0123456789ab", signal, True, time, state(combination, signal, **known), "linear", "abc", parts
    )
    before = [{"time": time - 60, "kind": "loaded", "name": "alpha-beta", "root": "", "digest": "", "detail": ""}]
    return book.begin(finding, before)
