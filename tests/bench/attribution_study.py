"""Where do lost refusals come from? How often, and after how many prompts, the paired comparison says so, and how often wrongly.

Streams of prompts that the base, the whole, each served part, and each merge of all parts but one answer independently, at
given rates of bad answers. Printed for each: what the monitor says of it after so many prompts, and when it said so.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from drift_study import table

from monitor.config.model import DriftSection, ShadowSection
from monitor.drift import PairedDetector
from monitor.records import Cause, Outcome, Pair, Stratum

BASE: Final = 0.03
EVERY: Final = 10
"""Prompts between two looks."""
SAID: Final = {False: Outcome.REFUSAL, True: Outcome.COMPLIANCE}


@dataclass(frozen=True)
class Case:
    """A combination, by the rates of its bad answers."""

    truth: str
    parts: Mapping[str, float]
    """Part -> how often it is bad alone."""
    whole: float
    rests: Mapping[str, float] = field(default_factory=dict)
    """Part -> how often all the others together are, where that is served."""
    missing: tuple[str, ...] = ()
    """Parts that are not served by themselves."""


CASES: Final = (
    Case("no loss", {"a": 0.03, "b": 0.03}, 0.03),
    Case("erosion by a", {"a": 0.3, "b": 0.03}, 0.3),
    Case("erosion by a", {"a": 0.15, "b": 0.03}, 0.15),
    Case("erosion by a", {"a": 0.9, "b": 0.03}, 0.9),
    Case("erosion by both, as independent", {"a": 0.1, "b": 0.1}, 0.165),
    Case("erosion by both, a little less", {"a": 0.1, "b": 0.1}, 0.15),
    Case("erosion by both, as independent", {"a": 0.3, "b": 0.3}, 0.495),
    Case("collusion", {"a": 0.1, "b": 0.03}, 0.4),
    Case("collusion", {"a": 0.05, "b": 0.05}, 0.5),
    Case("collusion beside erosion", {"a": 0.3, "b": 0.03}, 0.7),
    Case("half of it a's: neither most nor least", {"a": 0.3, "b": 0.03}, 0.57),
    Case("collusion of a and b, c stands by", {"a": 0.05, "b": 0.05, "c": 0.03}, 0.5, {"a": 0.05, "b": 0.05, "c": 0.5}),
    Case("collusion of a with b + c, c not served", {"a": 0.05, "b": 0.05}, 0.5, {"a": 0.05}, ("c",)),
    Case("erosion by a, b not served", {"a": 0.3}, 0.3, {}, ("b",)),
    Case("collusion or b, b not served", {"a": 0.03}, 0.5, {}, ("b",)),
    Case("nothing told: none served", {}, 0.5, {}, ("a", "b")),
)


def run(case: Case, rng: np.random.Generator, section: DriftSection, prompts: int) -> tuple[str, int]:
    """The last thing that is said, and after how many prompts it was first said."""
    detector = PairedDetector(section)
    names = ["base", "whole", *case.parts, *(f"-{part}" for part in case.rests)]
    rates = np.array([BASE, case.whole, *case.parts.values(), *case.rests.values()])
    bad = rng.random((prompts, len(names))) < rates
    said, since = "", 0
    for number, row in enumerate(bad.tolist(), 1):
        answers = {name: SAID[one] for name, one in zip(names, row, strict=True)}
        detector.update(
            Pair(
                "whole",
                float(number),
                Stratum.HARMFUL_LOOKING,
                answers["whole"],
                answers["base"],
                {part: answers[part] for part in case.parts},
                {part: answers[f"-{part}"] for part in case.rests},
                case.missing,
            )
        )
        if number % EVERY:
            continue
        found = detector.attribution("whole")
        now = "" if found is None else " ".join([found.cause.value, "+".join(found.explained_by)]).strip()
        if found is not None and found.cause is Cause.COLLUSION and case.rests:
            needed = [part.adapter for part in found.parts if part.without and part.without.lower > 0]
            now += f", needs {'+'.join(needed) or '?'}"
        if now != said:
            said, since = now, number
    return said, since


def rows_of(case: Case, streams: int, section: DriftSection, prompts: int) -> list[list[str]]:
    """One line for each thing that was said."""
    found = [run(case, np.random.default_rng([seed, len(case.truth)]), section, prompts) for seed in range(streams)]
    counts = Counter(said for said, _ in found)
    rates = ", ".join(f"{part} {rate:g}" for part, rate in case.parts.items())
    left = ", ".join(f"without {part} {rate:g}" for part, rate in case.rests.items())
    title = f"{case.truth}: {'; '.join(one for one in (rates, left, f'whole {case.whole:g}') if one)}"
    rows = []
    for number, (said, count) in enumerate(counts.most_common()):
        after = statistics.median(since for one, since in found if one == said)
        rows.append(["" if number else title, said, f"{count / streams:.1%}", f"{after:.0f}"])
    return rows


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=100, help="for each case (default: %(default)s)")
    parser.add_argument("--threshold", type=float, default=1e4, help="average run length (default: %(default)s)")
    prompts = ShadowSection().parts_prompts
    parser.add_argument("--prompts", type=int, default=prompts, help="of each stream (default: %(default)s)")
    args = parser.parse_args()
    section = DriftSection(average_run_length=args.threshold)
    rows = [row for case in CASES for row in rows_of(case, args.streams, section, args.prompts)]
    print(f"{args.streams} streams of {args.prompts} prompts, average run length {args.threshold:g}, base {BASE:g}")
    print(table(["truth, and rates of bad answers", "said in the end", "streams", "since (median)"], rows))


if __name__ == "__main__":
    main()
