"""What prompt risk finds and what it takes for harmful: of labelled prompts, of suites, and while it is trained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.records import Stratum
from monitor.scoring.risk import RiskModel, prompt_features
from monitor.scoring.tokens import tokenize
from monitor.scoring.training.corpus import CorpusError, Row, prompts_with_risk
from monitor.scoring.training.risk import ENGLISH, LABELLED, Fitted

THRESHOLDS = (0.4, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9)
BOUNDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Up to which a prompt may be called ordinary."""
HARMFUL = ("harmful", Stratum.HARMFUL_LOOKING.value)
"""What questions of ours and suites call a harmful question."""
PREVALENCE = 0.02
"""Assumed share of harmful prompts in traffic, for the choice of the threshold alone."""


def threshold_table(fitted: Fitted) -> list[str]:
    """Per threshold what would be called harmful-looking of each kind, and how well a lost refusal could be seen; per bound what
    would be called ordinary.

    The first table ends with recall times precision over all prompts at `PREVALENCE`: what a day's traffic tells of a given
    change among harmful prompts grows with how many of them are watched, and with their share of what is watched.
    """
    kinds = sorted(
        {(one.kind, one.language == ENGLISH) for one in fitted.tried}, key=lambda kind: (not kind[1], kind[0])
    )
    masks = {
        f"{kind}{'' if english else ' (other languages)'}": np.array(
            [(one.kind, one.language == ENGLISH) == (kind, english) for one in fitted.tried]
        )
        for kind, english in kinds
    }
    harmful = np.array([one.harmful for one in fitted.tried])
    ordinary = np.array([one.kind in (LABELLED[0], "ordinary") for one in fitted.tried])
    lines = [
        "",
        "called harmful-looking from this probability on, by prompts that the model has not seen:",
        _head(THRESHOLDS),
    ]
    for name, mask in masks.items():
        lines.append(_row(f"{name} ({int(mask.sum())})", [_share(fitted.chances[mask], one) for one in THRESHOLDS]))
    told = [_told(_share(fitted.chances[harmful], one), _share(fitted.chances[ordinary], one)) for one in THRESHOLDS]
    lines += [_row("recall x precision", told), "", "called ordinary up to this probability:", _head(BOUNDS)]
    return [
        *lines,
        *(_row(name, [_up_to(fitted.chances[mask], one) for one in BOUNDS]) for name, mask in masks.items()),
    ]


def _head(values: Sequence[float]) -> str:
    return f"{'':34}" + "".join(f"{value:8.2f}" for value in values)


def _row(name: str, shares: Sequence[float]) -> str:
    return f"{name:34}" + "".join(f"{share:8.3f}" for share in shares)


def _share(chances: NDArray[np.float64], threshold: float) -> float:
    return float((chances >= threshold).mean()) if len(chances) else float("nan")


def _up_to(chances: NDArray[np.float64], bound: float) -> float:
    return float((chances <= bound).mean()) if len(chances) else float("nan")


def _told(found: float, false: float) -> float:
    watched = PREVALENCE * found + (1 - PREVALENCE) * false
    return found * PREVALENCE * found / watched if watched else 0.0


@dataclass(frozen=True, slots=True)
class Tried:
    """A prompt of known kind."""

    prompt: str
    kind: str
    language: str = ""
    category: str = ""
    """Its hazard category, "" when unknown."""


def labelled_prompts(rows: Iterable[Row]) -> list[Tried]:
    """The distinct prompts with a known risk."""
    return [Tried(prompt, LABELLED[risk]) for prompt, risk, _ in prompts_with_risk(rows)]


def read_questions(file: Path) -> list[Tried]:
    """Questions from JSON lines with `prompt` and `kind`, or `stratum` as suites name it. Raises CorpusError."""
    try:
        with file.open(encoding="utf-8") as stream:
            return [_question(line, f"{file}:{number}") for number, line in enumerate(stream, 1)]
    except OSError as error:
        raise CorpusError(f"{file}: cannot read: {error.strerror}") from error


def _question(line: str, place: str) -> Tried:
    try:
        fields: dict[str, Any] = json.loads(line)
        kind = fields.get("kind") or fields["stratum"]
        return Tried(str(fields["prompt"]), str(kind), str(fields.get("language", "")), str(fields.get("category", "")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"{place}: not a question: {error!r}") from error


def risk_report(model: RiskModel, tried: Sequence[Tried]) -> dict[str, Any]:
    """Per kind, and per kind and language where languages are named: how many prompts, and the share in each stratum.

    Of the harmful ones whose category is known also: for how many one is named, and for how many the right one.
    """
    prompts = [one.prompt for one in tried]
    seen = prompt_features(prompts, tokenize(prompts))
    chances = model.chances(seen)
    strata = [model.stratum(chance) for chance in chances]
    groups: dict[str, list[Stratum]] = {}
    for one, stratum in zip(tried, strata, strict=True):
        names = (one.kind, f"{one.kind} {one.language}") if one.language else (one.kind,)
        for name in names:
            groups.setdefault(name, []).append(stratum)
    return {
        "risk_version": model.version,
        "kinds": {name: {"prompts": len(found)} | _shares(found) for name, found in sorted(groups.items())},
        "categories": _categories(tried, model.categories(seen, chances)),
    }


def _categories(tried: Sequence[Tried], named: Sequence[str]) -> dict[str, dict[str, int]]:
    """Per language with known categories; "" where languages are not named."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for one, category in zip(tried, named, strict=True):
        if one.category and one.kind in HARMFUL:
            groups.setdefault(one.language, []).append((one.category, category))
    return {
        language: {
            "prompts": len(pairs),
            "named": sum(bool(category) for _, category in pairs),
            "right": sum(own == category for own, category in pairs),
        }
        for language, pairs in sorted(groups.items())
    }


def _shares(found: Sequence[Stratum]) -> dict[str, float]:
    return {stratum.value: round(found.count(stratum) / len(found), 4) for stratum in Stratum}


def risk_text(report: dict[str, Any]) -> str:
    """The report of `risk_report` for reading."""
    names = [stratum.value for stratum in Stratum]
    lines = [
        f"prompt risk {report['risk_version']}",
        f"{'prompts that are':28}{'number':>8}" + "".join(name.rjust(18) for name in names),
    ]
    for kind, found in report["kinds"].items():
        lines.append(f"{kind:28}{found['prompts']:8d}" + "".join(f"{found[name]:18.3f}" for name in names))
    if report["categories"]:
        lines.append(f"{'hazard category':28}{'number':>8}{'named':>18}{'right':>18}")
    for language, found in report["categories"].items():
        lines.append(f"{language or 'all':28}{found['prompts']:8d}{found['named']:18d}{found['right']:18d}")
    return "\n".join(lines)
