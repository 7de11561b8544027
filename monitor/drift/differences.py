"""One stream of differences on the same prompts, judged as it comes: evidence, effect, condition, and since when.

A difference is 1 where the combination was worse than what it is held against, -1 where it was better, 0 for neither. It
drifts when the evidence that their mean lies above the tolerance reaches the average run length (see `stats.evidence`).

A drift ends when a whole window of differences that came after its beginning has a mean at or below the tolerance. The
evidence then starts at zero: differences of 0 hardly weaken what was gathered (at a tolerance of 0 not at all), and it
was about what is over. Beginning anew costs nothing of the promised run length.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from math import log, nan
from typing import Any, Final

import numpy as np

from monitor.drift.window import BitWindow
from monitor.records import Condition, DriftState
from monitor.stats import rate_sequence
from monitor.stats.evidence import BETS, BettingEvidence, likeliest_rise
from monitor.stats.sequence import mean_sequence

ERROR: Final = 0.05
"""Probability that an interval that is shown ever misses."""
INTERVALS_KEPT: Final = 8192
"""Intervals remembered by count; each takes some tenths of a millisecond to find."""
_ONE: Final = np.array([0])

_interval = lru_cache(INTERVALS_KEPT)(rate_sequence)
_effect = lru_cache(INTERVALS_KEPT)(mean_sequence)


def evidence_log(evidence: BettingEvidence) -> float:
    """Natural logarithm of a single stream's evidence, 0 at the least."""
    return log(max(float(evidence.evidence[0]), 1.0))


def add(evidence: BettingEvidence, difference: float) -> None:
    """Give a single stream its next difference."""
    evidence.update(_ONE, np.array([difference]))


def restored(tolerance: float, sums: Any) -> BettingEvidence:
    """A single stream with the sums that were saved. Raises TypeError when they are not that."""
    evidence, found = BettingEvidence(1, tolerance), np.array(sums, dtype=np.float64)
    if found.shape != (len(BETS),) or not np.isfinite(found).all():
        raise TypeError(f"evidence of {found.shape} numbers")
    evidence.sums[:, 0] = found
    return evidence


class Differences:
    """One combination under one signal. Pure: time comes in with the differences."""

    def __init__(self, window: int, tolerance: float, needed_log: float, minimum: int, since: float) -> None:
        self._tolerance = tolerance
        self._needed_log = needed_log
        self._minimum = minimum
        self._evidence = BettingEvidence(1, tolerance)
        self._values: deque[int] = deque(maxlen=window)
        self._bad = BitWindow(window)
        self._reference_bad = BitWindow(window)
        self._fresh = 0
        """Differences since the drift began; counted while drifting."""
        self.condition = Condition.WARMING_UP
        self.since = since
        """Unix seconds when the condition began."""

    def push(self, difference: int, *, bad: bool, reference_bad: bool, time: float) -> None:
        """Take the next difference. bad, reference_bad: the combination's and the other side's answer to the prompt."""
        self._values.append(difference)
        self._bad.push(bad)
        self._reference_bad.push(reference_bad)
        add(self._evidence, difference)
        condition = self._judge()
        if condition is not self.condition:
            self.condition, self.since, self._fresh = condition, time, 0

    def begin_anew(self, time: float) -> None:
        """Something else has shown that what was found is over."""
        self._evidence.sums[:] = 0
        if self.condition is Condition.DRIFTING:
            self.condition, self.since, self._fresh = Condition.OK, time, 0

    def _judge(self) -> Condition:
        if self.condition is Condition.DRIFTING:
            self._fresh += 1
            passed = self._fresh >= self._bad.size and sum(self._values) <= self._tolerance * len(self._values)
            if not passed:
                return Condition.DRIFTING
            self._evidence.sums[:] = 0
            return Condition.OK
        if len(self._values) < self._minimum:
            return Condition.WARMING_UP
        return Condition.DRIFTING if self.evidence_log >= self._needed_log else Condition.OK

    @property
    def evidence_log(self) -> float:
        """Natural logarithm of the evidence, 0 at the least."""
        return evidence_log(self._evidence)

    def state(self, combination: str, signal: str, extras: dict[str, float]) -> DriftState:
        """What is known now: of the latest differences, and once there is evidence of those since the change most likely began.

        As with the unpaired evidence, a beginning that was looked for exaggerates what came after it a little.
        """
        values = np.array(self._values, dtype=np.float64)
        begin = likeliest_rise(values, self._tolerance) if self.evidence_log > self._needed_log / 2 else 0
        values, samples = values[begin:], len(values) - begin
        bad = sum(self._bad.bits()[begin:])
        reference = sum(self._reference_bad.bits()[begin:]) / samples if samples else nan
        interval = _interval(bad, samples, ERROR)
        worse, better = int((values > 0).sum()), int((values < 0).sum())
        effect = _effect(worse, better, samples, ERROR)
        return DriftState(
            combination=combination,
            signal=signal,
            condition=self.condition,
            samples=samples,
            bad=bad,
            rate=bad / samples if samples else nan,
            lower=interval.lower,
            upper=interval.upper,
            baseline_rate=reference,
            baseline_samples=samples,
            threshold=min(reference + self._tolerance, 1.0),
            since=self.since,
            evidence_log=self.evidence_log,
            evidence_needed_log=self._needed_log,
            effect=float(values.mean()) if samples else nan,
            effect_lower=effect.lower,
            effect_upper=effect.upper,
            extras={"worse": worse, "better": better, **extras},
        )

    def save(self) -> dict[str, Any]:
        """Everything that `restore` needs, as plain JSON values."""
        return {
            "values": list(self._values),
            "bad": str(self._bad),
            "reference": str(self._reference_bad),
            "sums": self._evidence.sums[:, 0].tolist(),
            "fresh": self._fresh,
            "condition": self.condition.value,
            "since": self.since,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Carry on from what `save` gave; of a longer window the latest stay. Raises ValueError, KeyError or TypeError."""
        size = self._bad.size
        values = [int(value) for value in saved["values"]]
        bad, reference = BitWindow(size, saved["bad"]), BitWindow(size, saved["reference"])
        self._values.extend(values)
        if set(values) - {-1, 0, 1} or not len(self._values) == len(bad) == len(reference):
            raise ValueError("a window of differences is damaged")
        self._bad, self._reference_bad = bad, reference
        self._evidence = restored(self._tolerance, saved["sums"])
        self._fresh = int(saved["fresh"])
        self.condition = Condition(saved["condition"])
        self.since = float(saved["since"])
