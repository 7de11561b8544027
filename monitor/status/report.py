"""The status as a person reads it in a terminal, as lines for a log, and as one JSON object."""

from __future__ import annotations

from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monitor import terms
from monitor.records import EVERY
from monitor.status.reading import CombinationStatus, EndedFinding, Reading, SignalStatus
from monitor.status.verdict import Level, Reason, headline, level_of, plain, reasons

STYLES: Final = {
    Level.OK: "bold green",
    Level.WARNING: "bold yellow",
    Level.CRITICAL: "bold red",
    Level.UNKNOWN: "bold magenta",
}
_KINDS: Final = {"bad": "bold red", "good": "green", "unknown": "dim"}
ENDED_SHOWN: Final = 5
"""Alarms of the last day that ended, on a screen."""
WIDE: Final = 110
"""Columns from which every signal has a column of its own."""


def first_line(reading: Reading, admin: str) -> str:
    """The level and what it is about, for tools that read one line."""
    found = reasons(reading)
    more = f"; {found[0].subject or 'the monitor'}: {found[0].text}" if found else ""
    return f"{level_of(found).name}: {headline(reading)}{more} [{admin}]"


def lines(reading: Reading, admin: str) -> list[str]:
    """Plain text: the first line says it all, the others say why, then every combination."""
    found = reasons(reading)
    told = [f"{level_of(found).name}: {headline(reading)} [{admin}, {terms.clock(reading.time)} UTC]"]
    told += [f"{reason.level.name.lower()}: {_subject(reason)}{_clean(reason.text)}" for reason in found]
    told += [f"{_clean(row.name)}: {_row_line(row)}" for row in reading.combinations]
    told += [f"coverage: {one}" for one in _coverage(reading)]
    told += [f"ended: {_ended_line(one)}" for one in reading.ended]
    return told


def unknown_line(admin: str, why: str) -> str:
    """What is told when nothing can be read."""
    return f"{Level.UNKNOWN.name}: the monitor at {admin} cannot be read: {why}"


def screen(reading: Reading, admin: str, width: int) -> RenderableType:
    """For a terminal of so many columns."""
    found = reasons(reading)
    level = level_of(found)
    head = Text.assemble((level.name, STYLES[level]), f"  {headline(reading)}")
    why = [
        Text.assemble((f"{reason.level.name.lower():9}", STYLES[reason.level]), _subject(reason), _clean(reason.text))
        for reason in found
    ]
    ended = [Text(f"ended    {_ended_line(one)}", style="dim") for one in reading.ended[:ENDED_SHOWN]]
    covered = [Text(one, style="dim") for one in _coverage(reading)]
    foot = Text(f"{admin}  {terms.clock(reading.time)} UTC", style="dim")
    return Group(head, *why, Text(), _table(reading, width), *covered, *ended, foot)


def as_json(reading: Reading, admin: str) -> dict[str, Any]:
    """Plain values: level, reasons, and what the API says of each combination."""
    found = reasons(reading)
    return {
        "level": level_of(found).name.lower(),
        "exit_code": int(level_of(found)),
        "admin": admin,
        "time": reading.time,
        "summary": headline(reading),
        "reasons": [
            {"level": one.level.name.lower(), "combination": one.subject or None, "text": one.text} for one in found
        ],
        "combinations": [plain(row) for row in reading.combinations],
        "coverage": plain(reading.coverage),
        "ended": [plain(one) for one in reading.ended],
    }


def unknown_json(admin: str, why: str) -> dict[str, Any]:
    """The same where nothing can be read."""
    level = Level.UNKNOWN
    return {"level": level.name.lower(), "exit_code": int(level), "admin": admin, "summary": why, "reasons": []}


def _table(reading: Reading, width: int) -> Table:
    signals = terms.order({signal.signal for row in reading.combinations for signal in row.signals})
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("combination", overflow="fold")
    if width < WIDE:
        table.add_column("state", overflow="fold")
    else:
        for signal in signals:
            table.add_column(terms.term(signal).title.lower(), overflow="fold")
    table.add_column("answers", justify="right")
    for row in sorted(reading.combinations, key=lambda row: not row.drifting):
        states = {signal.signal: signal for signal in row.signals}
        cells = [_cell(states.get(signal), row) for signal in signals]
        if width < WIDE:
            cells = [_worst(row, signals)]
        name = Text(_clean(row.name), style="bold" if row.drifting else "")
        table.add_row(name, *cells, str(row.requests))
    return table


def _cell(signal: SignalStatus | None, row: CombinationStatus) -> Text:
    found = terms.state(plain(signal) if signal else None, is_base=row.is_base)
    text = Text(f"{found.mark} {found.words}", style=_KINDS[found.kind])
    if signal is None or not signal.samples:
        return text
    return text.append(f"\n{_figures(signal, row)}", style="default")


def _worst(row: CombinationStatus, signals: list[str]) -> Text:
    """The signals that tell something: drifting ones, else the first."""
    shown = list(row.drifting) or [signal for name in signals[:1] if (signal := row.signal(name))]
    if not shown:
        return _cell(None, row)
    parts = [Text(terms.term(one.signal).title.lower() + ": ").append_text(_cell(one, row)) for one in shown]
    return Text("\n").join(parts)


def _figures(signal: SignalStatus, row: CombinationStatus) -> str:
    limits = f"{terms.percent(signal.lower)} to {terms.percent(signal.upper)}"
    own = f"{terms.percent(signal.rate)} of {signal.samples} ({limits})"
    if signal.baseline_rate is None or row.is_base:
        return own
    return f"{own}, {terms.term(signal.signal).reference} {terms.percent(signal.baseline_rate)}"


def _row_line(row: CombinationStatus) -> str:
    told = []
    for name in terms.order({signal.signal for signal in row.signals}):
        signal = row.signal(name)
        found = terms.state(plain(signal) if signal else None, is_base=row.is_base)
        figures = f", {_figures(signal, row)}" if signal is not None and signal.samples else ""
        told.append(f"{terms.term(name).title.lower()}: {found.words}{figures}")
    return "; ".join(told) or "no answer yet"


def _coverage(reading: Reading) -> list[str]:
    return [terms.covered(plain(reading.coverage))] if reading.coverage.window_s else []


def _ended_line(one: EndedFinding) -> str:
    name = "all combinations together" if one.combination == EVERY else _clean(one.combination)
    stood = f"{terms.clock(one.began)} to {terms.clock(one.ended)} UTC ({terms.span(max(0.0, one.ended - one.began))})"
    return f"{name} {terms.term(one.signal).title.lower()}, {stood}: {terms.ending(one.resolution)}"


def _subject(reason: Reason) -> str:
    return f"{_clean(reason.subject)} " if reason.subject else ""


def _clean(text: str) -> str:
    """Names come from the server: nothing in them may steer a terminal."""
    return "".join(one if one.isprintable() else "�" for one in text)
