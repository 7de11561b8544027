"""The results as a table: medians over the rounds, and the ratio to the reference, taken round by round."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median

from measuring import Measured

Rounds = list[Measured]
_COLUMNS: tuple[tuple[str, int], ...] = (
    ("CPU us", 1),
    ("units/s", 0),
    ("first p50", 2),
    ("first p99", 2),
    ("late p99", 2),
    ("RSS MiB", 0),
    ("PSS MiB", 0),
)
_WITH_RATIO = ("CPU us", "first p50", "first p99", "late p99")
_NAME = 22


def value(column: str, each: Measured, role: str = "all") -> float:
    """One cell of one round; NaN where there is nothing to show."""
    if column == "CPU us":
        return each.cpu_us.get(role, math.nan)
    if column in ("RSS MiB", "PSS MiB"):
        memory = each.memory.get(role)
        return math.nan if memory is None else _figure(memory.rss if column == "RSS MiB" else memory.pss)
    if role != "all":
        return math.nan
    if column == "units/s":
        return each.units / float(each.load["wall_s"])
    name, quantile = column.split()
    return _figure(each.load[f"{name}_ms"][quantile])


def _figure(found: float | None) -> float:
    return math.nan if found is None else found


def middle(rounds: Rounds, of: Callable[[Measured], float]) -> float:
    """Median over the rounds; NaN where no round has a figure."""
    figures = [figure for each in rounds if not math.isnan(figure := of(each))]
    return median(figures) if figures else math.nan


def ratio(column: str, rounds: Rounds, reference: Rounds, role: str = "all") -> float:
    """Median over the rounds of the ratio to the reference in the same round."""
    pairs = [(value(column, a, role), value(column, b)) for a, b in zip(rounds, reference, strict=True)]
    ratios = [a / b for a, b in pairs if not math.isnan(a) and b > 0]
    return median(ratios) if ratios else math.nan


def lines(scenario: str, unit: str, results: dict[str, Rounds], reference: str) -> list[str]:
    """The table of one scenario; roles of a proxy that has several processes follow it, indented."""
    count = max(len(rounds) for rounds in results.values())
    beside = f", ratio to {reference} in brackets" if reference in results else ""
    made = [f"{scenario}: CPU per {unit}, times in ms, median of {count}{beside}"]
    made.append(" " * _NAME + "".join(f"{name:>{_width(name)}}" for name, _ in _COLUMNS) + f"{'failed':>8}")
    for name, rounds in results.items():
        failed = sum(each.load["failures"] for each in rounds)
        made.append(_line(name, rounds, results.get(reference), "all") + f"{failed:>8}")
        roles = sorted({role for each in rounds for role in each.cpu_us} - {"all"})
        if "worker" in roles:
            made += [_line(f"  {role}", rounds, results.get(reference), role) for role in roles]
    return made


def _line(label: str, rounds: Rounds, reference: Rounds | None, role: str) -> str:
    cells = [f"{label:{_NAME}}"]
    for column, digits in _COLUMNS:
        figure = middle(rounds, lambda each, column=column: value(column, each, role))  # type: ignore[misc]
        cell = "-" if math.isnan(figure) else f"{figure:.{digits}f}"
        if column in _WITH_RATIO and reference is not None:
            times = ratio(column, rounds, reference, role)
            cell += " " * 8 if math.isnan(times) else f" ({times:.2f})".rjust(8)
        cells.append(f"{cell:>{_width(column)}}")
    return "".join(cells)


def _width(column: str) -> int:
    return 18 if column in _WITH_RATIO else 10


def monitored_lines(results: dict[str, Rounds]) -> list[str]:
    """What the monitor did with the exchanges, of each subject that has one."""
    made = []
    for name, rounds in results.items():
        counted = [each.monitored for each in rounds if each.monitored]
        if counted:
            sums = {key: sum(each[key] for each in counted) for key in counted[0]}
            said = ", ".join(f"{number:.0f} {key}" for key, number in sums.items())
            late = "" if all(each.settled for each in rounds) else " (had not caught up when the clocks were read)"
            made.append(f"{name}: exchanges {said}{late}")
    return made
