"""`lab verify`: measures the rates again through a real vLLM and compares with the manifest."""

import logging
import math
from collections.abc import Sequence

from monitor.lab import measure, served, server
from monitor.lab.manifest import load_manifest
from monitor.lab.measure import GREEDY, SAMPLED_AT, Rates

log = logging.getLogger(__name__)

COMPARED = ("refusal", "refuse_then_comply")
GREEDY_TOLERANCE = 0.06
"""Greedy answers differ only where two tokens are nearly tied and the batch differs."""


def sampled_tolerance(rate: float, n: int) -> float:
    """Three standard errors of the difference of two measurements, and at least two answers."""
    spread = max(rate * (1 - rate), 0.02)
    return max(3 * math.sqrt(2 * spread / n), 2 / n)


def differences(
    name: str,
    kind: str,
    stated: Rates,
    again: Rates,
) -> list[str]:
    """One line for each rate that left its tolerance."""
    found = []
    for kind_asked, expected in stated.items():
        for outcome in COMPARED:
            old, new = float(expected[outcome]), float(again[kind_asked][outcome])  # type: ignore[literal-required]
            greedy = kind == "greedy"
            allowed = GREEDY_TOLERANCE if greedy else sampled_tolerance(old, expected["n"])
            if abs(new - old) > allowed:
                found.append(
                    f"{name} {kind} {kind_asked}: {outcome} {new:.3f}, the manifest says {old:.3f} "
                    f"(allowed difference {allowed:.3f})"
                )
    return found


def verify(*, port: int, names: Sequence[str] | None) -> int:
    """0 when every rate is within tolerance, 1 otherwise; prints what is not."""
    manifest = load_manifest()
    wrong: list[str] = []
    chosen = [one.name for one in served.by_name(names)]
    with server.start(port, served=chosen) as running:
        for name in chosen:
            stated = manifest.rates(name)
            replies = {"sampled": measure.put(running.url, name, measure.questions(), SAMPLED_AT)}
            if "greedy" in stated:
                few = measure.questions(GREEDY)
                replies["greedy"] = measure.put(running.url, name, few, 0.0)
            for kind, answered in replies.items():
                wrong += differences(name, kind, stated[kind], measure.rates(answered))
    print("\n".join(wrong) if wrong else f"{len(chosen)} served names are as the manifest says")
    return 1 if wrong else 0
