"""Evidence that a rate has risen, kept up to date with every answer: Shiryaev-Roberts sums of e-processes (e-SR).

Each stream keeps M <- (M + 1) * L, where the factor L has a conditional mean of at most 1 as long as nothing has changed.
An alarm at M >= c then comes, without a change, after c answers on average at the least (average run length, ARL), with no
calibration, whatever the dependence between answers as long as the bound on the mean holds given the past, and whenever
anybody looks. Several factors at once, one for each size of a change, are averaged: the mean of such sums is one again.

Source: Shin, Ramdas, Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", New England
Journal of Statistics in Data Science 2 (2024), 10.51387/23-NEJSDS51. The delay of any detector with that ARL is at least
log c / KL(changed, unchanged) (Lorden 1971), which these come close to.

All streams of a kind are columns of one array (K factors x N streams), so that an update of thousands costs microseconds.
Nothing here knows time, combinations or text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

Floats = NDArray[np.float64]
Columns = NDArray[np.intp]

CEILING: Final = 1e100
"""Evidence grows no further: it is far beyond any threshold, and stays finite."""
ALTERNATIVES: Final = 12
LEAST_ODDS: Final = 1.5
"""The smallest change that is looked for: the odds of a bad answer grow by this factor."""
MOST_RATE: Final = 0.95
"""The largest change that is looked for."""
BETS: Final = (0.15, 0.3, 0.5, 0.7, 0.85, 0.94, 0.98, 0.995)
"""Shares of the largest bet that can never lose everything."""
_WEIGHTS: Final = np.array([1, 1, 1, 4, 16, 4, 1, 1]) / 29
"""What each of them counts in the evidence for a change. The fifth is near the best one for a rise from 3% to anything between
20 and 50%; the others keep what is smaller or larger within reach. Any weights whose sum is 1 keep the run length."""


def null_rate(
    bad: float, samples: float, *, confidence: float = 0.95, odds: float = 1.25, floor: float = 0.002
) -> float:
    """Rate of bad answers that counts as unchanged, given `bad` among `samples` (effective numbers, not only whole ones).

    The largest of: the one-sided Clopper-Pearson upper bound, so that a small reference delays an alarm and causes none; the
    measured odds times `odds`, a rise that nobody needs to hear of; and `floor`.

    Raises ValueError unless 0 <= bad <= samples and samples > 0.
    """
    if not 0 <= bad <= samples or samples == 0:
        raise ValueError(f"{bad} bad answers among {samples} is no reference")
    upper = float(betaincinv(bad + 1, samples - bad, confidence)) if bad < samples else 1.0
    measured = bad / samples
    raised = odds * measured / (1 - measured + odds * measured)
    return max(upper, raised, floor)


def alternatives(null: Floats) -> Floats:
    """Rates that a change may lead to, (K, N), for unchanged rates `null` (N,) below `MOST_RATE`.

    Their odds grow geometrically, from `LEAST_ODDS` times the null's to those of `MOST_RATE`.
    """
    odds = null / (1 - null)
    first, last = LEAST_ODDS * odds, np.maximum(MOST_RATE / (1 - MOST_RATE), 2 * LEAST_ODDS * odds)
    steps = np.linspace(0, 1, ALTERNATIVES)[:, None]
    grown = np.exp(np.log(first) + steps * (np.log(last) - np.log(first)))
    rates: Floats = grown / (1 + grown)
    return rates


def _factors(null: Floats) -> tuple[Floats, Floats]:
    """(K, N) each: what a bad and what a good answer multiply the sums with."""
    null = np.clip(np.asarray(null, dtype=np.float64), 1e-6, 1 - 1e-3)
    changed = alternatives(null)
    return changed / null, (1 - changed) / (1 - null)


def likeliest_change(bits: NDArray[np.bool_], null: float) -> int:
    """From which of these answers on the rate most likely had risen above `null`: an index into `bits`, oldest first.

    The start for which the answers since then speak loudest against the null, on average over the alternatives. (Kept as a
    statement of when, not as a test: a start that was looked for exaggerates the rate since then.)
    """
    bad, good = _factors(np.array([null]))
    since_bad = np.cumsum(bits[::-1])[::-1]
    since_good = np.cumsum(~bits[::-1])[::-1]
    logs = since_bad[:, None] * np.log(bad[:, 0]) + since_good[:, None] * np.log(good[:, 0])
    most = logs.max(axis=1, keepdims=True)
    return int(np.argmax(most[:, 0] + np.log(np.exp(logs - most).sum(axis=1))))


class RateEvidence:
    """Has the rate of bad answers risen above `null`? One column for each stream; unpaired."""

    def __init__(self, null: Floats, ceiling: float = CEILING) -> None:
        """null: (N,), each in (0, 1). A null of 1 would leave nothing to find; it is taken as just below.

        ceiling: where each sum stops growing, so that evidence of a change that is over does not stay for ever.
        """
        self._bad, self._good = _factors(null)
        self.ceiling = ceiling
        self.sums: Floats = np.zeros_like(self._bad)
        """(K, N); what is saved and restored, and set to a head start."""

    def grow(self, streams: int) -> None:
        """Make room for so many streams in all; the new ones have no null yet."""
        more = streams - self.sums.shape[1]
        self.sums, self._bad, self._good = (
            np.pad(one, ((0, 0), (0, more)), constant_values=value)
            for one, value in ((self.sums, 0.0), (self._bad, 1.0), (self._good, 1.0))
        )

    def set_null(self, column: int, null: float) -> None:
        """What counts as unchanged for this stream from now on. What was gathered stays: each factor was fair at its time."""
        bad, good = _factors(np.array([null]))
        self._bad[:, column], self._good[:, column] = bad[:, 0], good[:, 0]

    def update(self, columns: Columns, bad: NDArray[np.bool_]) -> None:
        """Take one answer of each of these streams (no stream twice); bad: which of them are bad."""
        if len(columns) == self.sums.shape[1]:  # all of them: in place, in half the time
            of_all = np.empty(len(columns), dtype=np.bool_)
            of_all[columns] = bad
            self.sums += 1
            self.sums *= np.where(of_all, self._bad, self._good)
            np.minimum(self.sums, self.ceiling, out=self.sums)
            return
        factors = np.where(bad, self._bad[:, columns], self._good[:, columns])
        self.sums[:, columns] = np.minimum((self.sums[:, columns] + 1) * factors, self.ceiling)

    def update_one(self, column: int, bad: bool) -> None:
        """The same for one stream, without what arrays cost."""
        sums = self.sums[:, column]
        sums += 1
        sums *= (self._bad if bad else self._good)[:, column]
        np.minimum(sums, self.ceiling, out=sums)

    @property
    def evidence(self) -> Floats:
        """(N,): alarm when it reaches the threshold."""
        mean: Floats = self.sums.mean(axis=0)
        return mean


class BettingEvidence:
    """Is the mean of differences in {-1, 0, 1} above `tolerance`? One column for each stream.

    For pairs: a difference is 1 when the combination was bad where the base was not, -1 the other way round. The traffic's
    mix cancels out, because both answer the same prompt; with a tolerance of 0 it is McNemar's test, made sequential.
    For the interaction of two adapters: see `interaction`.
    """

    def __init__(self, streams: int, tolerance: float = 0.02) -> None:
        if not 0 <= tolerance < 1:
            raise ValueError(f"a tolerance of {tolerance} is not in [0, 1)")
        self._tolerance = tolerance
        self._bets: Floats = np.array(BETS)[:, None] / (1 + tolerance)
        self.sums: Floats = np.zeros((len(BETS), streams))
        """(K, N); what is saved and restored, and set to a head start."""

    def update(self, columns: Columns, differences: NDArray[np.int64] | Floats) -> None:
        """Take one difference, in [-1, 1], of each of these streams (no stream twice)."""
        factors = 1 + self._bets * (differences - self._tolerance)
        self.sums[:, columns] = np.minimum((self.sums[:, columns] + 1) * factors, CEILING)

    @property
    def evidence(self) -> Floats:
        """(N,): alarm when it reaches the threshold."""
        mean: Floats = _WEIGHTS @ self.sums
        return mean


class BettingTest:
    """Has the mean of these differences, in [-1, 1], always been at most 0? One question with a fixed beginning.

    Unlike the sums above it does not look for a change: the product of 1 + b * difference, averaged over the bets b, is a
    supermartingale under the null, and reaches 1 / error with a probability of at most `error` at any time at all (Ville).
    """

    def __init__(self) -> None:
        self._bets: Floats = np.array(BETS)
        self.logs: Floats = np.zeros(len(BETS))
        """Natural logarithm of what each bet has made of 1; what is saved and restored."""

    def update(self, difference: float) -> None:
        """Take the next one."""
        self.logs += np.log1p(self._bets * difference)

    def begin_anew(self) -> None:
        """From now on the differences are of something else. No bet carries over what it has won, but each what it has lost, so
        that all questions one after the other still have one error together.
        """
        self.logs = np.minimum(self.logs, 0)

    @property
    def evidence_log(self) -> float:
        """Natural logarithm of the mean over the bets."""
        most = float(self.logs.max())
        return most + float(np.log(np.exp(self.logs - most).mean()))


def likeliest_rise(differences: Floats, tolerance: float) -> int:
    """From which of these differences on their mean most likely lay above `tolerance`: an index, oldest first.

    As `likeliest_change`: a statement of when, not a test.
    """
    bets = np.array(BETS)[:, None] / (1 + tolerance)
    logs = np.cumsum(np.log1p(bets * (differences - tolerance))[:, ::-1], axis=1)[:, ::-1]
    most = logs.max(axis=0)
    return int(np.argmax(most + np.log(np.exp(logs - most).sum(axis=0))))


def interaction(base: bool, parts: Sequence[bool], whole: bool) -> int:
    """Do adapters together lose more refusals than each alone explains, on one prompt? 1 for, -1 against, 0 for neither.

    Arguments: whether the base, each part and all of them together refused the same prompt (independent seeds). If the parts
    act independently on it (Bliss 1939), each multiplies the chance of a refusal by a factor of its own, so

        P(whole) * P(base) ** (n - 1) >= product of P(part)

    prompt by prompt, and the mean of product(parts) - whole * base is at most 0 whatever the mix of prompts. (For n > 2 one
    answer of the base stands for n - 1: a probability is at least its power, so the mean is only smaller.) Rates over all
    prompts would not do: two adapters that break different topics look like an interaction in them.
    """
    return int(all(parts)) - int(whole and base)


def additive_interaction(base: bool, parts: Sequence[bool], whole: bool) -> float:
    """The second opinion, on the additive scale: the excess of the whole's loss over the sum of its parts' losses, in [-1, 1].

    Arguments: whether each was bad on the same prompt. The excess is whole - sum(parts) + (n - 1) * base, divided by n, its
    largest value on either side.
    """
    return (int(whole) - sum(parts) + (len(parts) - 1) * int(base)) / len(parts)


def fleet_threshold(updates_a_day: float, days_per_false_alarm: float) -> float:
    """Threshold c at which all streams together raise one false alarm in so many days at most.

    Over all streams, false alarms are at most (all updates) / c, however many streams there are; the delay grows with log c
    only. Raises ValueError unless both are above 0.
    """
    if updates_a_day <= 0 or days_per_false_alarm <= 0:
        raise ValueError("both the updates a day and the days per false alarm must be above 0")
    return max(updates_a_day * days_per_false_alarm, 1.0)


def head_start(threshold: float, share: float = 1e-3) -> float:
    """What a new stream's sums begin with: watched closely, at a probability of at most `share` for a false start."""
    return share * threshold
