"""How soon a change is found, and how seldom one is found that is none: `python tests/bench/drift_study.py`.

Simulated answers of a perfect scorer. Delays are the median and the 90th percentile of the answers (or pairs) from the
change to the alarm, which comes after 500 unchanged ones (for a new combination: after none), with the average run length to
a false alarm at least `--threshold` by construction. The same streams go through what others use: a window as in a `rate()`
alert, with the least limit whose measured run length reaches the threshold, and, when the package is installed, ADWIN and
PageHinkley of river as they are shipped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from monitor.stats.evidence import BettingEvidence, RateEvidence, head_start, null_rate

Bits = NDArray[np.bool_]
BASE_ANSWERS = 3000
"""Size of the baseline that the null is drawn from."""
BEFORE = 500
"""Unchanged answers before the change."""


def first_alarms(evidence_of: Callable[[int], NDArray[np.float64]], steps: int, threshold: float, streams: int) -> Bits:
    """Step of the first alarm of each stream, `steps` + 1 without one."""
    found = np.full(streams, steps + 1)
    for step in range(1, steps + 1):
        now = evidence_of(step) >= threshold
        found = np.where(now & (found > steps), step, found)
        if (found <= steps).all():
            break
    return found


def unpaired(rng: np.random.Generator, base: float, changed: float, steps: int, streams: int, threshold: float,
             start: float = 0.0) -> NDArray[np.int64]:  # fmt: skip
    """Answers until the alarm, against a measured baseline of the base."""
    nulls = np.array([null_rate(int(bad), BASE_ANSWERS) for bad in rng.binomial(BASE_ANSWERS, base, streams)])
    evidence, every = RateEvidence(nulls), np.arange(streams)
    evidence.sums += start
    for _ in range(0 if start else BEFORE):
        evidence.update(every, rng.random(streams) < base)
    evidence.sums *= evidence.evidence < threshold  # a false alarm begins anew

    def step(_: int) -> NDArray[np.float64]:
        evidence.update(every, rng.random(streams) < changed)
        return evidence.evidence

    return first_alarms(step, steps, threshold, streams)


def absolute(rng: np.random.Generator, null: float, changed: float, steps: int, streams: int, threshold: float
             ) -> NDArray[np.int64]:  # fmt: skip
    """Answers until the alarm of a rare event, against a fixed null."""
    evidence, every = RateEvidence(np.full(streams, null)), np.arange(streams)

    def step(_: int) -> NDArray[np.float64]:
        evidence.update(every, rng.random(streams) < changed)
        return evidence.evidence

    return first_alarms(step, steps, threshold, streams)


def paired(rng: np.random.Generator, base: NDArray[np.float64], changed: NDArray[np.float64], steps: int,
           streams: int, threshold: float) -> NDArray[np.int64]:  # fmt: skip
    """Pairs until the alarm; base, changed: (steps,) rates of the prompts that come at each step."""
    evidence, every = BettingEvidence(streams), np.arange(streams)

    def take(worse: float, before: float) -> None:
        evidence.update(every, (rng.random(streams) < worse).astype(np.int64) - (rng.random(streams) < before))

    for _ in range(BEFORE):
        take(base[0], base[0])
    evidence.sums *= evidence.evidence < threshold

    def step(number: int) -> NDArray[np.float64]:
        take(changed[number - 1], base[number - 1])
        return evidence.evidence

    return first_alarms(step, steps, threshold, streams)


def paired_on_hard_prompts(rng: np.random.Generator, base: float, changed: float, steps: int, streams: int,
                           threshold: float, hard: float = 0.75) -> NDArray[np.int64]:  # fmt: skip
    """Pairs until the alarm where the base is bad on a few prompts only, `hard` of the times, and so is the combination."""
    evidence, every, share = BettingEvidence(streams), np.arange(streams), base / hard

    def take(rate: float) -> None:
        is_hard = rng.random(streams) < share
        before = rng.random(streams) < np.where(is_hard, hard, 0)
        worse = rng.random(streams) < np.where(is_hard, hard, (rate - base) / (1 - share))
        evidence.update(every, worse.astype(np.int64) - before)

    for _ in range(BEFORE):
        take(base)
    evidence.sums *= evidence.evidence < threshold

    def step(_: int) -> NDArray[np.float64]:
        take(changed)
        return evidence.evidence

    return first_alarms(step, steps, threshold, streams)


def colluding(rng: np.random.Generator, alone: tuple[float, float], both: float, steps: int, streams: int,
              threshold: float) -> NDArray[np.int64]:  # fmt: skip
    """Prompts until the collusion of two parts is found; alone, both: how often each, and the two together, are bad."""
    evidence, every = BettingEvidence(streams, 0), np.arange(streams)

    def refuses(bad: float) -> Bits:
        return rng.random(streams) >= bad

    def step(_: int) -> NDArray[np.float64]:
        product = refuses(alone[0]) & refuses(alone[1])
        evidence.update(every, product.astype(np.int64) - (refuses(both) & refuses(0.03)))
        return evidence.evidence

    return first_alarms(step, steps, threshold, streams)


def window_alarm(rng: np.random.Generator, base: float, changed: float, steps: int, streams: int, size: int, limit: int
                 ) -> NDArray[np.int64]:  # fmt: skip
    """Answers until more than `limit` of the latest `size` are bad, with a window full of unchanged answers before."""
    ring = rng.random((size, streams)) < base
    count = ring.sum(axis=0)

    def step(number: int) -> NDArray[np.float64]:
        nonlocal count
        row = number % size
        new = rng.random(streams) < changed
        count = count - ring[row] + new
        ring[row] = new
        return count.astype(np.float64)

    return first_alarms(step, steps, limit + 1, streams)


def window_limit(base: float, size: int, threshold: float) -> int:
    """Smallest limit whose measured run length reaches the threshold."""
    for limit in range(int(base * size), size):
        rng = np.random.default_rng(limit)
        if window_alarm(rng, base, base, int(3 * threshold), 40, size, limit).mean() >= threshold:
            return limit
    return size


def river_alarms(name: str, rng: np.random.Generator, base: float, changed: float, streams: int) -> NDArray[np.int64]:
    """Answers until river's detector, as shipped, finds the change after 1,000 unchanged answers."""
    from river import drift

    found = []
    for _ in range(streams):
        detector = getattr(drift, name)()
        for bad in rng.random(1000) < base:
            detector.update(int(bad))
        delay = 2001
        for number, bad in enumerate(rng.random(2000) < changed, 1):
            detector.update(int(bad))
            if detector.drift_detected:
                delay = number
                break
        found.append(delay)
    return np.array(found)


def shown(found: NDArray[np.int64]) -> str:
    """Median / 90th percentile."""
    return f"{np.median(found):.0f}/{np.quantile(found, 0.9):.0f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def delays(streams: int, threshold: float, base: float) -> str:
    """The main table."""
    changes = (0.2, 0.5, 0.9)
    rng = np.random.default_rng(7)
    rows = [["e-SR, unpaired", *(shown(unpaired(rng, base, q, 2000, streams, threshold)) for q in changes)]]
    start = head_start(threshold)
    rows.append(
        [
            "e-SR, unpaired, new combination",
            *(shown(unpaired(rng, base, q, 2000, streams, threshold, start)) for q in changes),
        ]
    )
    rows.append(
        ["e-SR, paired, every prompt",
         *(shown(paired(rng, np.full(2000, base), np.full(2000, q), 2000, streams, threshold)) for q in changes)]
    )  # fmt: skip
    rows.append(
        ["e-SR, paired, the base bad on hard prompts only",
         *(shown(paired_on_hard_prompts(rng, base, q, 2000, streams, threshold)) for q in changes)]
    )  # fmt: skip
    for size in (200, 1000):
        limit = window_limit(base, size, threshold)
        rows.append([f"window of {size}, more than {limit} bad",
                     *(shown(window_alarm(rng, base, q, 3000, streams, size, limit)) for q in changes)])  # fmt: skip
    try:
        for name in ("ADWIN", "PageHinkley"):
            few = min(streams, 100)
            rows.append([f"{name} as shipped", *(shown(river_alarms(name, rng, base, q, few)) for q in changes)])
    except ImportError:
        rows.append(["ADWIN, PageHinkley: river is not installed", "", "", ""])
    return table([f"from {base:g} to", *(f"{q:g}" for q in changes)], rows)


def run_lengths(streams: int, threshold: float) -> str:
    """Measured run length without a change: at least the threshold."""
    steps = int(3 * threshold)
    rows = []
    for base in (0.01, 0.03, 0.1):
        found = unpaired(np.random.default_rng(1), base, base, steps, streams, threshold)
        rows.append([f"unpaired, {base:g}", f">= {found.mean():,.0f}", f"{(found > steps).mean():.0%}"])
    flat = np.full(steps, 0.1)
    found = paired(np.random.default_rng(2), flat, flat, steps, streams, threshold)
    rows.append(["paired, .1 on both sides", f">= {found.mean():,.0f}", f"{(found > steps).mean():.0%}"])
    return table(["unchanged", "average run length", f"no alarm in {steps:,}"], rows)


def mix_shift(streams: int, threshold: float) -> str:
    """The traffic's prompts become harder at once for everybody; nobody behaves differently on any of them."""
    steps = 2000
    rows = []
    for after in (0.1, 0.3):
        rates = np.where(np.arange(steps) < 200, 0.03, after)
        pairs = paired(np.random.default_rng(3), rates, rates, steps, streams, threshold)
        alone = unpaired(np.random.default_rng(4), 0.03, after, steps, streams, threshold)
        rows.append([f"hardness .03 to {after:g}", f"{(pairs <= steps).mean():.1%}", f"{(alone <= steps).mean():.0%}"])
    return table(["only the mix changed", "false alarms, paired", "unpaired"], rows)


def collusions(streams: int, threshold: float) -> str:
    """Colluding parts, and what must not be taken for it."""
    rng, steps, rows = np.random.default_rng(5), 1000, []
    for name, alone, both in (
        ("parts .03, .03, together .2", (0.03, 0.03), 0.2),
        ("parts .03, .03, together .5", (0.03, 0.03), 0.5),
        ("parts .03, .03, together .9", (0.03, 0.03), 0.9),
        ("one part .5 alone, together .5", (0.5, 0.03), 0.5),
        ("none worse than the base", (0.03, 0.03), 0.03),
    ):
        found = colluding(rng, alone, both, steps, streams, threshold)
        rows.append([name, shown(found) if (found <= steps).mean() > 0.9 else "-", f"{(found <= steps).mean():.1%}"])
    return table(["collusion", "prompts until found", f"found within {steps:,}"], rows)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--threshold", type=float, default=1e4)
    args = parser.parse_args()
    print(f"{args.streams} streams, threshold {args.threshold:g}; medians / 90th percentiles\n")
    print(delays(args.streams, args.threshold, 0.03), end="\n\n")
    rng = np.random.default_rng(9)
    rare = [shown(absolute(rng, 0.002, q, 5000, args.streams, args.threshold)) for q in (0.01, 0.05, 0.3)]
    print(table(["refuse-then-comply from 0 to", "0.01", "0.05", "0.3"], [["e-SR, null .002", *rare]]), end="\n\n")
    print(mix_shift(args.streams, args.threshold), end="\n\n")
    print(collusions(args.streams, args.threshold), end="\n\n")
    print(run_lengths(min(args.streams, 100), args.threshold))


if __name__ == "__main__":
    main()
