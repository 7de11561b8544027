"""Labelled answers from JSON lines, and how much each counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.scoring.weights import CLASSES

FILES = ("dev.jsonl", "derived_rtc.jsonl")
_LABELS = {outcome.value: place for place, outcome in enumerate(CLASSES)}
_RISKS = {"harmful": 1, "benign": 0, "borderline_safe": 0}
_DOUBTFUL = {("seed_stability", "partial"): 0.7, ("speechmap_criticism", "partial"): 0.3}
"""Cells whose `partial` means hedged or evasive rather than declining: their weight."""


class CorpusError(ValueError):
    """The data cannot be read; the message names file, line and reason."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled answer."""

    source: str
    prompt: str
    response: str
    label: int
    """Place in `CLASSES`."""
    risk: int | None
    """1 harmful prompt, 0 harmless, None unknown."""
    valid: bool
    """Belongs to the validation fold."""
    human: bool = False
    """Labelled by people."""
    factor: float = 1.0
    """Weight within its source and label."""


def read_rows(file: Path) -> list[Row]:
    """All rows with a known label. Raises CorpusError."""
    rows = []
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                row = _row(line, f"{file}:{number}")
                if row is not None:
                    rows.append(row)
    except OSError as error:
        raise CorpusError(f"{file}: cannot read: {error.strerror}") from error
    return rows


def read_corpus(folder: Path) -> list[Row]:
    """The rows of all files of a data folder. Raises CorpusError."""
    return [row for name in FILES for row in read_rows(folder / name)]


def _row(line: str, place: str) -> Row | None:
    try:
        fields: dict[str, Any] = json.loads(line)
        label = fields["label"]
        if label not in _LABELS:
            return None
        return Row(
            source=str(fields["source"]),
            prompt=str(fields["prompt"]),
            response=str(fields["response"]),
            label=_LABELS[label],
            risk=_RISKS.get(fields.get("prompt_risk", "unknown")),
            valid=fields.get("fold") == "valid",
            human=fields.get("label_origin") == "human",
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"{place}: not a labelled row: {error!r}") from error


def row_weights(rows: Sequence[Row], evenness: float) -> NDArray[np.float64]:
    """Weight of each row: a source's rows of one label together weigh n^(1 - evenness), so that no source dominates."""
    cells = Counter((row.source, row.label) for row in rows)
    weights = np.array(
        [
            row.factor
            * _DOUBTFUL.get((row.source, CLASSES[row.label].value), 1.0)
            * cells[row.source, row.label] ** -evenness
            for row in rows
        ]
    )
    return np.asarray(weights * len(rows) / weights.sum(), dtype=np.float64)


def prompts_with_risk(rows: Iterable[Row]) -> list[tuple[str, int, str]]:
    """Distinct prompts with a known risk, and their sources."""
    return list({row.prompt: (row.prompt, row.risk, row.source) for row in rows if row.risk is not None}.values())
