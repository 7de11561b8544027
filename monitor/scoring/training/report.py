"""How good the weights are on labelled rows: one plain dictionary, and its text."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.config.model import ScoringSection
from monitor.records import Item, Outcome, Verdict
from monitor.scoring.interface import Scorer
from monitor.scoring.linear import LinearScorer
from monitor.scoring.risk import load_risk
from monitor.scoring.training.corpus import Row
from monitor.scoring.training.fit import Recipe, fit
from monitor.scoring.training.metrics import (
    REFUSING,
    calibration_bins,
    calibration_error,
    confusion,
    groups,
    score_event,
)
from monitor.scoring.weights import CLASSES
from monitor.stats.binomial import clopper_pearson

_TURNED = CLASSES.index(Outcome.REFUSE_THEN_COMPLY)
_PARTIAL = CLASSES.index(Outcome.PARTIAL)
_COMPLIED = CLASSES.index(Outcome.COMPLIANCE)


def evaluate(scorer: Scorer, rows: Sequence[Row]) -> dict[str, Any]:
    """Confusion, scores per source with intervals, calibration and speed of a scorer on rows."""
    items = [Item(row.prompt, row.response) for row in rows]
    began = time.process_time()
    verdicts = scorer.score(items)
    seconds = max(
        time.process_time() - began, 1e-9
    )  # one thread computes: what else runs on the machine does not count
    true = np.array([row.label for row in rows])
    predicted = predictions(verdicts)
    chance = np.array([verdict.refusal_probability or 0.0 for verdict in verdicts])
    masks = groups([row.source for row in rows])
    human = np.array([row.human for row in rows])
    if human.any():
        masks["labelled by people"] = human
    return {
        "scorer": scorer.name,
        "scorer_version": scorer.version,
        "rows": len(rows),
        "texts_per_s": round(len(rows) / seconds, 1),
        "mean_characters": round(float(np.mean([len(item.response) for item in items])), 1),
        "expected_calibration_error": round(calibration_error(chance, true < REFUSING), 4),
        "classes": [outcome.value for outcome in CLASSES],
        "confusion": confusion(true, predicted).tolist(),
        "specificity": specificity(true, predicted),
        "tiers": dict(Counter(verdict.tier for verdict in verdicts)),
        "calibration": calibration_bins(chance, true < REFUSING),
        "sources": {name: scores(true[mask], predicted[mask]) for name, mask in masks.items()},
    }


def specificity(true: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """Of compliant answers, how many were called something rarer, and what share surely was not.

    The bound is the one-sided 95% one of Clopper and Pearson: one end of their two-sided 90% interval.
    """
    complied = predicted[true == _COMPLIED]
    false = {"refusal": int((complied < REFUSING).sum()), "refuse_then_comply": int((complied == _TURNED).sum())}
    return {
        event: {
            "false": count,
            "compliant": len(complied),
            "at_least": round(1 - clopper_pearson(count, len(complied), 0.9).upper, 5),
        }
        for event, count in false.items()
    }


def sources_of(rows: Sequence[Row]) -> list[str]:
    """The sources of real rows."""
    return sorted({row.source for row in rows if not row.source.startswith("derived")})


def others_than(source: str, rows: Sequence[Row]) -> list[Row]:
    """All rows but a source's, and but the joined ones, which may be made of its."""
    return [row for row in rows if row.source != source and not row.source.startswith("derived")]


def leave_one_source_out(rows: Sequence[Row], recipe: Recipe) -> dict[str, Any]:
    """Scores on every source of weights that were trained without it, and without what was derived from it."""
    result = {}
    risk = load_risk()
    for source in sources_of(rows):
        others = others_than(source, rows)
        weights = fit([row for row in others if not row.valid], [row for row in others if row.valid], recipe)
        held = [row for row in rows if row.source == source]
        verdicts = LinearScorer(ScoringSection(), weights, risk).score([Item(row.prompt, row.response) for row in held])
        result[source] = scores(np.array([row.label for row in held]), predictions(verdicts))
    return result


def predictions(verdicts: Sequence[Verdict]) -> NDArray[np.int64]:
    """The verdicts' places in `CLASSES`; an answer that was not judged counts as compliance."""
    places = {outcome: place for place, outcome in enumerate(CLASSES)}
    return np.array([places.get(verdict.outcome, _COMPLIED) for verdict in verdicts])


def scores(true: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, Any]:
    """Scores of the three events that matter, and the false alarms among compliant answers."""
    complied = predicted[true == _COMPLIED]
    return {
        "rows": len(true),
        "refusal": asdict(score_event(predicted < REFUSING, true < REFUSING)),
        "refuse_then_comply": asdict(score_event(predicted == _TURNED, true == _TURNED)),
        "partial": asdict(score_event(predicted == _PARTIAL, true == _PARTIAL)),
        "compliant_called_refusal": round(float((complied < REFUSING).mean()), 4) if len(complied) else None,
        "compliant_called_refuse_then_comply": round(float((complied == _TURNED).mean()), 4) if len(complied) else None,
    }


def as_text(report: dict[str, Any]) -> str:
    """The report of `evaluate` for reading."""
    width = max(len(name) for name in report["classes"]) + 2
    lines = [
        f"scorer {report['scorer']} {report['scorer_version']}: {report['rows']} texts, mean "
        f"{report['mean_characters']:.0f} characters, {report['texts_per_s']:.0f} texts/s of one core",
        "decided by: " + ", ".join(f"{tier} {count}" for tier, count in sorted(report["tiers"].items())),
        f"expected calibration error of the refusal probability: {report['expected_calibration_error']:.4f}",
        *(
            f"{found['false']} of {found['compliant']} compliant answers called {event}: specificity at least "
            f"{found['at_least']:.4f} (95%, one-sided Clopper-Pearson)"
            for event, found in report["specificity"].items()
        ),
        "",
        "true \\ predicted".ljust(20) + "".join(name.rjust(width) for name in report["classes"]),
        *(
            name.ljust(20) + "".join(str(count).rjust(width) for count in row)
            for name, row in zip(report["classes"], report["confusion"], strict=True)
        ),
        "",
        *table(report["sources"]),
    ]
    return "\n".join(lines)


def table(sources: dict[str, Any]) -> list[str]:
    """One line per source; an event that a source has none of is shown as a dash."""
    heads = ("refusal P/R/F1 [95%]", "refuse-then-comply", "partial", "false refusals")
    lines = [f"{'source':24}{'rows':>6}  {heads[0]:30}{heads[1]:30}{heads[2]:30}{heads[3]}"]
    for name, found in sources.items():
        events = "".join(_event(found[event]).ljust(30) for event in ("refusal", "refuse_then_comply", "partial"))
        false = found["compliant_called_refusal"]
        lines.append(f"{name:24}{found['rows']:6d}  {events}{'-' if false is None else f'{false:.4f}'}")
    return lines


def _event(score: dict[str, Any]) -> str:
    if not score["positives"]:
        return "-"
    interval = f"[{score['lower']:.2f} {score['upper']:.2f}]"
    return f"{score['precision']:.3f}/{score['recall']:.3f}/{score['f1']:.3f} {interval}"
