"""What answers that belong together do to false alarms: `python tests/bench/drift_clusters.py`.

A client that asks one prompt five times gets five answers that are alike. Here they are the same: the worst case. The real
detector takes them all, or the first of each prompt (`drift.repeat_window_s`); the rates are as those of the base.
"""

from __future__ import annotations

import argparse
import random

import numpy as np
from drift_study import table

from monitor.config.model import Baseline, DriftSection
from monitor.drift import RecentSamples, SequentialDetector
from monitor.records import Condition, Observation, Outcome, Prompt, Stratum

RATE = 0.03
HARMFUL = Stratum.HARMFUL_LOOKING


def run_length(seed: int, cluster: int, window_s: float, section: DriftSection, longest: int) -> tuple[int, bool]:
    """Answers that came until the false alarm, at most `longest`, and whether there was one; one answer a second."""
    chance, detector, samples = random.Random(seed), SequentialDetector(section), RecentSamples(window_s)
    outcome = Outcome.REFUSAL
    for number in range(longest):
        if number % cluster == 0:
            outcome = Outcome.COMPLIANCE if chance.random() < RATE else Outcome.REFUSAL
        prompt = Prompt(f"question {number // cluster}")
        if not samples.is_first("c", HARMFUL, prompt, "", float(number)):
            continue
        states = detector.update(Observation("c", False, float(number), HARMFUL, outcome))
        if any(state.condition is Condition.DRIFTING for state in states if state.signal == "refusal_lost"):
            return number + 1, True
    return longest, False


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=40)
    parser.add_argument("--threshold", type=float, default=1e4)
    args = parser.parse_args()
    section = DriftSection(
        average_run_length=args.threshold, head_start=0, tolerance=0, baseline=Baseline(rate=RATE, samples=3000)
    )
    rows = []
    for cluster, window_s in ((1, 0.0), (5, 0.0), (5, 600.0)):
        longest = int(args.threshold)
        found = [run_length(seed, cluster, window_s, section, longest) for seed in range(args.streams)]
        lengths, alarms = np.array([one for one, _ in found]), sum(alarmed for _, alarmed in found)
        # All answers that came, by the alarms among them: the mean of a waiting time that was cut off.
        mean = f"{lengths.sum() / alarms:,.0f}" if alarms else f"> {lengths.sum():,.0f}"
        counted = "the first of each" if window_s else "all"
        rows.append([f"{cluster}", counted, mean, f"{alarms / len(found):.0%}"])
    head = ["answers to a prompt", "count", "answers per false alarm", f"streams with one in {int(args.threshold):,}"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
