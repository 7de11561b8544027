"""Rates of answers that are not independent: several answers to each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scipy.special import betainc, betaincinv

from monitor.stats.binomial import Interval


class Cluster(NamedTuple):
    """The answers to one prompt."""

    bad: int
    samples: int


def effective_samples(clusters: Sequence[Cluster]) -> float:
    """How many independent answers say as much as these: between the number of prompts and that of answers.

    samples / (1 + (m - 1) * icc), with m the mean number of answers per prompt (weighted by size, as Kish does) and icc the
    analysis-of-variance estimate of how much the answers to one prompt resemble each other. Where all answers are alike
    nothing tells how much of that is the prompts' doing, and the prompts alone count (icc 1).

    Source: L. Kish, "Survey Sampling" (1965), design effect; the estimate of icc as in A. Donner, International Statistical
    Review 54 (1986).
    """
    used = [one for one in clusters if one.samples]
    samples = sum(one.samples for one in used)
    if samples == len(used) or len(used) < 2:
        return float(len(used) if len(used) < 2 else samples)
    size = sum(one.samples**2 for one in used) / samples
    return samples / (1 + (size - 1) * _resemblance(used, samples))


def _resemblance(used: Sequence[Cluster], samples: int) -> float:
    rate = sum(one.bad for one in used) / samples
    if rate in (0.0, 1.0):
        return 1.0
    between = sum(one.samples * (one.bad / one.samples - rate) ** 2 for one in used) / (len(used) - 1)
    within = sum(one.bad * (1 - one.bad / one.samples) for one in used) / (samples - len(used))
    typical = (samples - sum(one.samples**2 for one in used) / samples) / (len(used) - 1)
    total = between + (typical - 1) * within
    return min(max((between - within) / total, 0.0), 1.0) if total > 0 else 0.0


def clustered_interval(clusters: Sequence[Cluster], confidence: float) -> Interval:
    """Interval of the rate of bad answers: Clopper-Pearson with the effective number of samples.

    With one answer per prompt it is `clopper_pearson`. Without samples it is [0, 1].

    Source: E. L. Korn, B. I. Graubard, "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data", Survey Methodology 24 (1998) 193-201.

    Raises ValueError unless 0 < confidence < 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence} is not between 0 and 1")
    samples = sum(one.samples for one in clusters)
    if not samples:
        return Interval(0.0, 1.0)
    counted = effective_samples(clusters)
    bad = counted * sum(one.bad for one in clusters) / samples
    tail = (1 - confidence) / 2
    lower = float(betaincinv(bad, counted - bad + 1, tail)) if bad else 0.0
    upper = float(betaincinv(bad + 1, counted - bad, 1 - tail)) if counted - bad > 1e-9 else 1.0
    return Interval(lower, upper)


def sign_test(worse: int, better: int) -> float:
    """Probability of so many `worse` or more among those that changed, if neither direction were likelier (one-sided).

    On pairs of answers it is McNemar's exact test. Raises ValueError on negative counts.
    """
    if worse < 0 or better < 0:
        raise ValueError(f"{worse} and {better} are no counts")
    return float(betainc(worse, better + 1, 0.5)) if worse else 1.0
