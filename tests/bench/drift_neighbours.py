"""Delay of e-SR, windows, ADWIN and PageHinkley at the same measured run length: `python tests/bench/drift_neighbours.py`.

How soon a detector speaks means nothing without how often it speaks for nothing. So each gets the most sensitive of its
settings whose measured average run length to a false alarm reaches `--run-length`, on the same kind of streams (bad answers
of a perfect scorer), and then shows its delay. ADWIN and PageHinkley are those of river, which only this needs:
`pip install river`; without it they are named and left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from drift_study import BASE_ANSWERS, first_alarms, shown, table
from numpy.typing import NDArray

from monitor.stats.evidence import RateEvidence, null_rate

BASE = 0.03
BEFORE = 1000
"""Unchanged answers before the change: windows are full, and adaptive detectors have settled."""
AFTER = 3000
CALIBRATED_ON = 60
"""Streams behind a measured run length; its standard error is about 13%."""

Rates = NDArray[np.float64]
"""(steps,) rate of bad answers at each step."""
Alarms = NDArray[np.int64]
"""(streams,) step of the first alarm after the warm-up, steps + 1 without one."""


@dataclass(frozen=True)
class Subject:
    """A detector with its settings."""

    name: str
    settings: Sequence[float]
    """From the most sensitive on."""
    alarms: Callable[[float, np.random.Generator, Rates, int], Alarms]


def sequential(threshold: float, rng: np.random.Generator, rates: Rates, streams: int) -> Alarms:
    """The product's evidence, against a baseline of its own for each stream."""
    nulls = np.array([null_rate(int(bad), BASE_ANSWERS) for bad in rng.binomial(BASE_ANSWERS, BASE, streams)])
    evidence, every = RateEvidence(nulls), np.arange(streams)
    for _ in range(BEFORE):
        evidence.update(every, rng.random(streams) < BASE)
    evidence.sums *= evidence.evidence < threshold

    def step(number: int) -> NDArray[np.float64]:
        evidence.update(every, rng.random(streams) < rates[number - 1])
        return evidence.evidence

    return first_alarms(step, len(rates), threshold, streams)


def window(size: int) -> Callable[[float, np.random.Generator, Rates, int], Alarms]:
    """More than so many bad answers among the latest `size`."""

    def alarms(limit: float, rng: np.random.Generator, rates: Rates, streams: int) -> Alarms:
        ring = rng.random((size, streams)) < BASE
        count = ring.sum(axis=0)

        def step(number: int) -> NDArray[np.float64]:
            nonlocal count
            new = rng.random(streams) < rates[number - 1]
            count = count - ring[number % size] + new
            ring[number % size] = new
            return count.astype(np.float64)

        return first_alarms(step, len(rates), limit + 1, streams)

    return alarms


def of_river(make: Callable[[float], Any]) -> Callable[[float, np.random.Generator, Rates, int], Alarms]:
    """A detector of river, made anew for each stream; one that finds a rise in the warm-up goes on as it is meant to."""

    def alarms(setting: float, rng: np.random.Generator, rates: Rates, streams: int) -> Alarms:
        found = np.full(streams, len(rates) + 1)
        for stream in range(streams):
            detector = make(setting)
            for bad in (rng.random(BEFORE) < BASE).tolist():
                detector.update(bad)
            for number, bad in enumerate((rng.random(len(rates)) < rates).tolist(), 1):
                detector.update(bad)
                if detector.drift_detected:
                    found[stream] = number
                    break
        return found

    return alarms


def subjects() -> list[Subject]:
    """All that can be compared here."""
    ours = Subject("e-SR", [3000, 4000, 4500, 5000, 6000, 8000, 10_000], sequential)
    windows = [Subject(f"window of {size}", range(int(BASE * size), size), window(size)) for size in (50, 200, 1000)]
    try:
        from river.drift import ADWIN, PageHinkley
    except ImportError:
        print("ADWIN and PageHinkley are left out: river is not installed (pip install river)\n")
        return [ours, *windows]
    return [
        ours,
        *windows,
        Subject("ADWIN, delta", [0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 1e-3, 1e-4], of_river(lambda s: ADWIN(delta=s))),
        Subject(
            "PageHinkley, threshold",
            [3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50],
            of_river(lambda s: PageHinkley(threshold=s, mode="up")),
        ),
    ]  # fmt: skip


def calibrated(subject: Subject, run_length: float) -> tuple[float, float]:
    """The most sensitive setting whose run length is long enough, and that run length (cut at three times the wanted)."""
    unchanged = np.full(int(3 * run_length), BASE)
    measured = 0.0
    for setting in subject.settings:
        rng = np.random.default_rng(11)
        if subject.alarms(setting, rng, unchanged[: int(run_length)], 20).mean() < run_length / 3:
            continue  # far too sensitive, told cheaply
        measured = float(subject.alarms(setting, np.random.default_rng(12), unchanged, CALIBRATED_ON).mean())
        if measured >= run_length:
            return setting, measured
    return subject.settings[-1], measured


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=300)
    parser.add_argument("--run-length", type=float, default=1e4)
    args = parser.parse_args()
    changes = {f"→ {rate:g}": np.full(AFTER, rate) for rate in (0.2, 0.5, 0.9)}
    changes["ramp to 0.5 in 1,000"] = np.minimum(BASE + (0.5 - BASE) * np.arange(AFTER) / 1000, 0.5)
    rows = []
    for subject in subjects():
        setting, measured = calibrated(subject, args.run_length)
        delays = [
            shown(subject.alarms(setting, np.random.default_rng(13), rates, args.streams)) for rates in changes.values()
        ]
        rows.append([f"{subject.name} {setting:g}", f"{measured:,.0f}", *delays])
    print(
        f"{args.streams} streams, {BASE:g} before the change; medians / 90th percentiles of the answers until the alarm\n"
    )
    print(table(["detector", "run length", *changes], rows))


if __name__ == "__main__":
    main()
