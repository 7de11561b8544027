"""The demo in the terminal: one row per combination, the alerts below, and where to look next.

`dashboard` is a pure function of a snapshot and the terminal's size. A terminal shows it in place; a pipe or a log file
gets plain lines instead, with the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from monitor.demo.alerts import Alert
from monitor.demo.wording import Refusals, Symbols, alert_text, interval, kind, percent, state
from monitor.status.reading import REFUSE_THEN_COMPLY, CombinationStatus

WIDE = 110
"""Columns from which the parts and the role of every combination are spelt out."""
WIDEST = 140
MOST_ALERTS = 6
TABLE_HEAD_LINES = 3
FEWEST_ROWS = 6
"""Rows of the table that are shown however low the terminal is."""


@dataclass(frozen=True, slots=True)
class Story:
    """What does not change while the demo runs."""

    title: str
    lines: tuple[str, ...]
    """What there is to see, in plain sentences."""
    topic: str
    roles: dict[str, str]
    """Served name -> what the lab made it for."""
    admin_url: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state at one moment."""

    rows: tuple[CombinationStatus, ...]
    alerts: tuple[Alert, ...]
    elapsed_s: float
    sent: int
    failed: int
    trouble: str = ""
    """Why the rows are old or missing, "" when they are not."""


def dashboard(story: Story, now: Snapshot, width: int, height: int, symbols: Symbols) -> RenderableType:
    """The live view, fitted to a terminal of this size."""
    above = [Text(story.title, style="bold"), *(Text(line, style="dim") for line in story.lines), Text()]
    alerts = alert_lines(story, foremost(now, _room_for_alerts(width, height)), symbols)
    below = [Text(), *alerts, Text(), *_footer(story, now)]
    taken = sum(_height(line, width) for line in (*above, *below)) + TABLE_HEAD_LINES
    rows, hidden = fit(now.rows, max(FEWEST_ROWS, height - taken - 2))
    table = combination_table(story, now.rows, rows, width, symbols)
    more = [Text(_hidden_line(hidden, symbols), style="dim")] if hidden else []
    return Group(*above, table, *more, *below)


def combination_table(
    story: Story,
    everything: tuple[CombinationStatus, ...],
    rows: Sequence[CombinationStatus],
    width: int,
    symbols: Symbols,
) -> Table:
    """One row per combination of `rows`; the base's rate is taken from `everything`."""
    wide = width >= WIDE
    base = Refusals.of_base(everything)
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1 if wide else 0, 0, 0),
        show_edge=False,
        pad_edge=False,
        width=min(width, WIDEST),
    )
    table.add_column("\ncombination", no_wrap=True, overflow="ellipsis", ratio=1)
    if wide:
        table.add_column("\nwhat it is", no_wrap=True, overflow="ellipsis", max_width=36)
    else:
        table.add_column("adap-\nters", justify="right", no_wrap=True)
    table.add_column("\nasked", justify="right", no_wrap=True)
    table.add_column("\njudged", justify="right", no_wrap=True)
    table.add_column(f"refuses\n{story.topic[:11]}", justify="right", no_wrap=True, min_width=11)
    table.add_column("base\nmodel", justify="right", no_wrap=True)
    table.add_column("refuse,\ncomply", justify="right", no_wrap=True)
    table.add_column("\nstate", no_wrap=True, min_width=15)
    for row in rows:
        words, style = state(row, symbols)
        refuses = Refusals.of(row)
        twice = row.signal(REFUSE_THEN_COMPLY)
        limits = interval(refuses.lower, refuses.upper, symbols)
        known = refuses.samples > 0
        table.add_row(
            row.name,
            _made_of(row, story) if wide else str(len(row.parts)),
            str(row.requests),
            str(refuses.samples),
            Text.assemble((percent(refuses.rate), style), f" {limits:>6}") if known else symbols.dash,
            percent(base.rate),
            percent(twice.rate) if twice and known else symbols.dash,
            Text(words, style=style),
            style="bold" if row.drifting else None,
        )
    return table


def fit(rows: tuple[CombinationStatus, ...], room: int) -> tuple[list[CombinationStatus], list[CombinationStatus]]:
    """Rows to show and rows to leave out: alerts, the base, the alerts' parts and other combinations stay longest."""
    if len(rows) <= room:
        return list(rows), []
    members = {part.adapter for row in rows if row.drifting for part in row.parts}
    urgency = sorted(
        rows,
        key=lambda row: (
            not row.drifting,
            not row.is_base,
            row.served_name not in members,
            len(row.parts) < 2,
        ),
    )
    shown = {row.name for row in urgency[:room]}
    return [row for row in rows if row.name in shown], [row for row in rows if row.name not in shown]


def foremost(now: Snapshot, room: int) -> list[Alert]:
    """The alerts to show where not all have room, in the order of time.

    Each combination's first stays longest, those of several adapters together before those of one.
    """
    if len(now.alerts) <= room:
        return list(now.alerts)
    parts = {row.name: len(row.parts) for row in now.rows}
    first: dict[str, Alert] = {}
    for alert in now.alerts:
        first.setdefault(alert.combination, alert)
    ranked = sorted(
        now.alerts, key=lambda alert: (alert is not first[alert.combination], parts.get(alert.combination, 0) < 2)
    )
    chosen = ranked[:room]
    return [alert for alert in now.alerts if alert in chosen]


def alert_lines(story: Story, alerts: Sequence[Alert], symbols: Symbols) -> list[Text]:
    """One line per alert, or a line that says that there is none."""
    if not alerts:
        return [Text("Alerts: none yet", style="dim")]
    return [
        Text.assemble((f"{symbols.alert} {_clock(alert.time)} ", "bold red"), alert_text(alert, symbols, story.topic))
        for alert in alerts
    ]


def status_line(story: Story, now: Snapshot, symbols: Symbols) -> str:
    """The whole state in one line, for output that is no terminal."""
    base = Refusals.of_base(now.rows)
    count = {"ok": 0, "alert": 0, "waiting": 0}
    for row in now.rows:
        if not row.is_base:
            count["alert" if row.drifting else "ok" if state(row, symbols)[0].endswith(" ok") else "waiting"] += 1
    line = (
        f"{now.elapsed_s:4.0f} s  {now.sent} requests ({now.failed} failed); base model refuses {percent(base.rate)} "
        f"of {base.samples}; combinations: {count['ok']} ok, {count['waiting']} too few answers yet, "
        f"{count['alert']} with an alert"
    )
    return f"{line}; {now.trouble}" if now.trouble else line


class PlainView:
    """Prints a status line every few seconds and each alert once."""

    def __init__(self, console: Console, story: Story, symbols: Symbols, every_s: float = 5.0) -> None:
        self._console = console
        self._story = story
        self._symbols = symbols
        self._every_s = every_s
        self._due = 0.0
        self._told = 0
        for line in (story.title, *story.lines, *_where(story)):
            self._say(line)

    def show(self, now: Snapshot) -> None:
        """Print what is new."""
        for alert in now.alerts[self._told :]:
            self._say(f"{_clock(alert.time)} ALERT {alert_text(alert, self._symbols, self._story.topic)}")
        self._told = len(now.alerts)
        if now.elapsed_s >= self._due:
            self._due = now.elapsed_s + self._every_s
            self._say(status_line(self._story, now, self._symbols))

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _made_of(row: CombinationStatus, story: Story) -> str:
    """Kind, merge and role; which adapters with which scales, the name says."""
    role = story.roles.get(row.served_name, "").replace("_", " ")
    what = f"{kind(row)}, {row.merge}" if row.merge else kind(row)
    return what if row.is_base or not role else f"{what} ({role})"


def _hidden_line(hidden: Sequence[CombinationStatus], symbols: Symbols) -> str:
    words = sorted({state(row, symbols)[0] for row in hidden})
    return f"and {len(hidden)} more ({', '.join(words)}): the status page lists them all"


def _footer(story: Story, now: Snapshot) -> list[Text]:
    sent = f"{now.elapsed_s:.0f} s, {now.sent} requests sent, {now.failed} failed. Ctrl-C ends."
    lines = [Text(f"{line}", style="dim") for line in (*_where(story), sent)]
    if now.trouble:
        lines.append(Text(now.trouble, style="bold yellow"))
    return lines


def _where(story: Story) -> tuple[str, ...]:
    return (f"Status page {story.admin_url}/   metrics {story.admin_url}/metrics",)


def _room_for_alerts(width: int, height: int) -> int:
    """How many of the latest alerts are shown: on a low terminal the table needs the room."""
    lines_each = 1 if width >= WIDE else 2
    return max(1, min(MOST_ALERTS, (height - FEWEST_ROWS - TABLE_HEAD_LINES - 11) // lines_each))


def _height(line: Text, width: int) -> int:
    return max(1, -(-line.cell_len // max(width, 1)))


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time).strftime("%H:%M:%S")
