"""What detection costs: `OMP_NUM_THREADS=1 python tests/bench/drift_cost.py`. Medians of CPU time on one core.

Prints the update of many streams at once, one after the other, and in batches as large as the pipeline's, and what an
answer costs on its way through the detector and into the metrics.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import numpy as np
from drift_study import table
from prometheus_client import CollectorRegistry

from monitor.config.model import DriftSection
from monitor.drift import RecentSamples, SequentialDetector
from monitor.records import Observation, Outcome, Prompt, Stratum
from monitor.stats.evidence import BettingEvidence, RateEvidence
from monitor.telemetry.metrics import DriftMetrics

BATCH = 32
"""Answers that the pipeline takes at once."""


def microseconds(work: Callable[[], object], repeat: int) -> float:
    """Median CPU time of a call."""
    times = []
    for _ in range(repeat):
        begun = time.process_time()
        work()
        times.append((time.process_time() - begun) * 1e6)
    return statistics.median(times)


def evidence(streams: int, repeat: int) -> list[list[str]]:
    """Rows: kind, all at once, one after the other, in batches."""
    rng = np.random.default_rng(1)
    every, bad = np.arange(streams), rng.random(streams) < 0.03
    differences = bad.astype(np.int64) - (rng.random(streams) < 0.03)
    rates, pairs = RateEvidence(np.full(streams, 0.03)), BettingEvidence(streams)
    few, answers = rng.choice(streams, BATCH, replace=False), bad[:BATCH].tolist()

    def singly() -> None:
        for column, one in zip(few.tolist(), answers, strict=True):
            rates.update_one(column, one)
            rates.sums[:, column].sum()

    def in_a_batch() -> None:
        rates.update(few, bad[:BATCH])
        rates.sums[:, few].sum(axis=0)

    return [
        [f"unpaired, {streams:,} at once", f"{microseconds(lambda: rates.update(every, bad), repeat):.0f}"],
        [f"paired, {streams:,} at once", f"{microseconds(lambda: pairs.update(every, differences), repeat):.0f}"],
        [f"unpaired, {BATCH} one by one", f"{microseconds(singly, 20 * repeat):.0f}"],
        [f"unpaired, {BATCH} in one operation", f"{microseconds(in_a_batch, 20 * repeat):.0f}"],
    ]


def answers(combinations: int, count: int) -> list[list[str]]:
    """Rows: what one judged answer costs in the detector, with its metrics, and in telling repeated prompts."""
    chance = random.Random(1)
    names = ["base", *(f"c{number}" for number in range(combinations))]
    detector, metrics, samples = (
        SequentialDetector(DriftSection()),
        DriftMetrics(CollectorRegistry()),
        RecentSamples(600),
    )

    def observed(number: int) -> Observation:
        name, bad = chance.choice(names), chance.random() < 0.03
        outcome = Outcome.COMPLIANCE if bad else Outcome.REFUSAL
        return Observation(name, name == "base", float(number), Stratum.HARMFUL_LOOKING, outcome)

    for number in range(40 * combinations):
        detector.update(observed(number))
    for state in detector.states():  # so that no series has to be made while the time is taken
        metrics.show(state)
    after = [observed(40 * combinations + number) for number in range(2 * count)]
    prompts = [Prompt(f"How do I do number {number}? {'word ' * 60}") for number in range(count)]

    def take(observations: list[Observation], *, show: bool) -> None:
        for one in observations:
            for state in detector.update(one):
                if show:
                    metrics.show(state)

    def tell() -> None:
        for number, prompt in enumerate(prompts):
            samples.is_first("c", Stratum.HARMFUL_LOOKING, prompt, "an answer " * 40, number / 36)

    return [
        [f"detector, one answer among {combinations:,}", f"{microseconds(lambda: take(after[:count], show=False), 1) / count:.1f}"],
        ["the same with its metrics", f"{microseconds(lambda: take(after[count:], show=True), 1) / count:.1f}"],
        ["is it a sample of its own?", f"{microseconds(tell, 1) / count:.1f}"],
    ]  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=5000)
    parser.add_argument("--repeat", type=int, default=200)
    parser.add_argument("--answers", type=int, default=5000)
    args = parser.parse_args()
    rows = evidence(args.streams, args.repeat) + answers(200, args.answers) + answers(args.streams, args.answers)
    print(table(["", "CPU µs"], rows))


if __name__ == "__main__":
    main()
