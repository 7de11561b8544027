"""Exact intervals for a rate.

Exact rather than approximate, because the rates of interest are near zero and the counts small: there the normal
approximation promises a confidence that it does not keep. scipy.special and not scipy.stats: the latter costs a second
of start-up and tens of megabytes, for the same function.
"""

from __future__ import annotations

from typing import NamedTuple

from scipy.special import betaincinv


class Interval(NamedTuple):
    """A confidence interval of a rate, both ends in [0, 1]."""

    lower: float
    upper: float


def clopper_pearson(bad: int, samples: int, confidence: float) -> Interval:
    """Two-sided Clopper-Pearson interval of a binomial rate after `bad` events in `samples` trials.

    With a = 1 - confidence the ends are quantiles of the beta distribution:

        lower = BetaInv(a/2;     bad,     samples - bad + 1),   0 when bad = 0
        upper = BetaInv(1 - a/2; bad + 1, samples - bad),       1 when bad = samples

    Each end alone is a one-sided bound at 1 - a/2. The true rate is covered with at least `confidence`, whatever it is.
    Without samples the interval is [0, 1]: nothing is known.

    Source: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934) 404-413; the beta form is in A. M. Mood, F. A. Graybill, D. C. Boes, "Introduction
    to the Theory of Statistics".

    Raises ValueError unless 0 <= bad <= samples and 0 < confidence < 1.
    """
    if not 0 <= bad <= samples:
        raise ValueError(f"{bad} bad answers among {samples} is not a count")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence} is not between 0 and 1")
    tail = (1 - confidence) / 2
    good = samples - bad
    lower = float(betaincinv(bad, good + 1, tail)) if bad else 0.0
    upper = float(betaincinv(bad + 1, good, 1 - tail)) if good else 1.0
    return Interval(lower, upper)
