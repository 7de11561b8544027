"""Benchmarks that a user brings, as suites: told by their columns, read from CSV, JSON or JSON lines.

Nothing of these benchmarks is shipped here. Their columns, as their authors publish them:

    xstest          prompt, type[, label, id]                   `contrast_...` types (label unsafe) should be refused
    advbench        goal, target
    harmbench       Behavior, SemanticCategory, BehaviorID[, ContextString]
    strongreject    forbidden_prompt, category
    jailbreakbench  Goal, Behavior, Category[, Index]           its benign file has the same columns: give --stratum

Categories stay what their authors call them.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monitor.probes.suite import MAX_FILE_BYTES, Probe, ProbeStratum, Suite, SuiteError

Record = Mapping[str, str]
"""A row, its columns in lower case."""

csv.field_size_limit(1024 * 1024)


@dataclass(frozen=True, slots=True)
class Layout:
    """How one benchmark's rows are read."""

    columns: frozenset[str]
    """Those that tell it, in lower case."""
    prompt: Callable[[Record], str]
    category: Callable[[Record], str]
    stratum: Callable[[Record], ProbeStratum]
    id: str = ""
    """Column with an id of its own, where there is one."""


def _harmful(_row: Record) -> ProbeStratum:
    return ProbeStratum.HARMFUL_LOOKING


def _of_xstest(row: Record) -> ProbeStratum:
    """Its contrasts are unsafe; all others only sound so."""
    unsafe = row["label"].lower() == "unsafe" if row.get("label") else row["type"].startswith("contrast_")
    return ProbeStratum.HARMFUL_LOOKING if unsafe else ProbeStratum.BORDERLINE


def _of_harmbench(row: Record) -> str:
    """A contextual behavior is asked about the text that comes with it."""
    context = row.get("contextstring", "")
    return f"{context}\n\n{row['behavior']}" if context else row["behavior"]


LAYOUTS: Final[dict[str, Layout]] = {
    "jailbreakbench": Layout(
        frozenset({"goal", "behavior", "category"}),
        lambda row: row["goal"],
        lambda row: row["category"],
        _harmful,
        "index",
    ),
    "harmbench": Layout(
        frozenset({"behavior", "semanticcategory", "behaviorid"}),
        _of_harmbench,
        lambda row: row["semanticcategory"],
        _harmful,
        "behaviorid",
    ),
    "strongreject": Layout(
        frozenset({"forbidden_prompt", "category"}),
        lambda row: row["forbidden_prompt"],
        lambda row: row["category"],
        _harmful,
    ),
    "advbench": Layout(frozenset({"goal", "target"}), lambda row: row["goal"], lambda row: "", _harmful),
    "xstest": Layout(
        frozenset({"prompt", "type"}), lambda row: row["prompt"], lambda row: row["type"], _of_xstest, "id"
    ),
}
"""Name -> layout, the ones with more telling columns first."""


def import_suite(file: Path, layout: str = "auto", stratum: ProbeStratum | None = None) -> tuple[Suite, str]:
    """The file's rows as a suite, and the layout that they have. stratum: of all rows, in place of what the layout says.

    Raises SuiteError, and OSError when the file cannot be read.
    """
    rows = list(_rows(file))
    if not rows:
        raise SuiteError(f"{file}: holds no rows")
    name = _recognise(rows[0][1], file) if layout == "auto" else layout
    found = LAYOUTS[name]
    probes: dict[str, Probe] = {}
    for place, row in rows:
        missing = sorted(found.columns - row.keys())
        if missing:
            raise SuiteError(f"{file}:{place}: has no {', '.join(missing)}, which {name} has")
        prompt = found.prompt(row).strip()
        if not prompt:
            raise SuiteError(f"{file}:{place}: its prompt is empty")
        own = row.get(found.id, "").strip() if found.id else ""
        probe_id = f"{name}-{own or place}"
        if probe_id in probes:
            raise SuiteError(f"{file}:{place}: the id {own!r} stands there twice")
        kind = stratum or found.stratum(row)
        probes[probe_id] = Probe(
            id=probe_id,
            stratum=kind,
            prompt=prompt,
            category=_slug(found.category(row)) if kind is ProbeStratum.HARMFUL_LOOKING else "",
            expected="refuse" if kind is ProbeStratum.HARMFUL_LOOKING else "comply",
        )
    return Suite(file.stem, tuple(probes.values())), name


def _recognise(row: Record, file: Path) -> str:
    for name, layout in LAYOUTS.items():
        if layout.columns <= row.keys():
            return name
    raise SuiteError(
        f"{file}: its columns ({', '.join(sorted(row))}) are of no known layout; known are "
        + "; ".join(f"{name}: {', '.join(sorted(layout.columns))}" for name, layout in LAYOUTS.items())
    )


def _rows(file: Path) -> Iterator[tuple[int, Record]]:
    """Line (of CSV and JSON lines) or number (of a JSON list), and row."""
    if file.stat().st_size > MAX_FILE_BYTES:
        raise SuiteError(f"{file}: larger than {MAX_FILE_BYTES // 2**20} MiB, which is not a suite of probes")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SuiteError(f"{file}: not UTF-8 text (byte {error.start})") from error
    begins = text.lstrip()[:1]
    if begins == "[":
        yield from _of_json(text, file)
    elif begins == "{":
        yield from _of_json_lines(text, file)
    else:
        yield from _of_csv(text, file)


def _of_csv(text: str, file: Path) -> Iterator[tuple[int, Record]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row:
                raise SuiteError(f"{file}:{reader.line_num}: more columns than the first line names")
            yield reader.line_num, _lower(row)
    except csv.Error as error:
        raise SuiteError(f"{file}:{reader.line_num + 1}: not CSV: {error}") from error


def _of_json(text: str, file: Path) -> Iterator[tuple[int, Record]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SuiteError(f"{file}: not JSON: {error}") from error
    yield from _checked(list(enumerate(rows, 1)), file)


def _of_json_lines(text: str, file: Path) -> Iterator[tuple[int, Record]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise SuiteError(f"{file}:{number}: not a JSON object on one line: {error}") from error
            yield from _checked([(number, row)], file)


def _checked(rows: Sequence[tuple[int, Any]], file: Path) -> Iterator[tuple[int, Record]]:
    for place, row in rows:
        if not isinstance(row, dict):
            raise SuiteError(f"{file}:{place}: not an object")
        yield place, _lower(row)


def _lower(row: Mapping[Any, Any]) -> Record:
    return {str(key).strip().lower(): "" if value is None else str(value) for key, value in row.items()}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
