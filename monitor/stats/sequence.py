"""Confidence sequences: intervals that hold at every look, however often anybody looks."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, log1p
from typing import Final

from scipy.special import betaln

from monitor.stats.binomial import Interval

_LEAST = 1e-12
_CLOSE = 1e-9
_STAKES: Final = (0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.85, 0.94, 0.98, 0.995)
"""Shares of the largest bet against a mean that can never lose everything."""


def rate_sequence(bad: int, samples: int, error: float) -> Interval:
    """All rates that `bad` among `samples` do not contradict, at a probability of `error` to be wrong at any time at all.

    With the Beta(1/2, 1/2) mixture as the alternative, the rates q with

        ln[B(1/2 + s, 1/2 + n - s) / B(1/2, 1/2)] - s ln q - (n - s) ln(1 - q) < ln(1 / error)

    where s = bad and n = samples. By Ville's inequality the true rate lies in all these sets at once with 1 - error.

    Source: H. Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics
    41 (1970); the beta-binomial form as in Howard, Ramdas, McAuliffe, Sekhon, Annals of Statistics 49 (2021).

    Raises ValueError unless 0 <= bad <= samples and 0 < error < 1.
    """
    if not 0 <= bad <= samples:
        raise ValueError(f"{bad} bad answers among {samples} is not a count")
    if not 0 < error < 1:
        raise ValueError(f"an error of {error} is not between 0 and 1")
    good = samples - bad
    mixture = float(betaln(0.5 + bad, 0.5 + good) - betaln(0.5, 0.5))

    def beyond(rate: float) -> float:
        return mixture - bad * log(rate) - good * log(1 - rate) - log(1 / error)

    middle = min(max(bad / samples, _LEAST), 1 - _LEAST) if samples else 0.5
    lower = _border(beyond, _LEAST, middle) if beyond(_LEAST) > 0 else 0.0
    upper = _border(beyond, 1 - _LEAST, middle) if beyond(1 - _LEAST) > 0 else 1.0
    return Interval(lower, upper)


def _border(beyond: Callable[[float], float], outside: float, inside: float, close: float = _CLOSE) -> float:
    """Where `beyond` changes its sign between the two, by halving; scipy.optimize takes a second to import."""
    while abs(outside - inside) > close:
        middle = (outside + inside) / 2
        if beyond(middle) > 0:
            outside = middle
        else:
            inside = middle
    return outside


def mean_sequence(worse: int, better: int, differences: int, error: float) -> Interval:
    """All means that differences in {-1, 0, 1} do not contradict, at a probability of `error` to be wrong at any time at all.

    worse: how many are 1; better: how many are -1. The lower end is the largest mean m against which the bets have won
    2 / error, that is for which the average over b of

        product of (1 + b * (D - m) / (1 + m))

    has reached it; the upper end likewise, with the signs turned. Valid whatever the dependence, as long as the mean of each
    difference given the past is the same, or an average of them is meant. Narrower than the intervals of both shares, subtracted
    from each other, because what the pairs have in common cancels out.

    Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", Journal of the Royal
    Statistical Society B 86 (2024).

    Raises ValueError unless worse + better <= differences and 0 < error < 1.
    """
    same = differences - worse - better
    if min(worse, better, same) < 0:
        raise ValueError(f"{worse} and {better} among {differences} differences is not a count")
    if not 0 < error < 1:
        raise ValueError(f"an error of {error} is not between 0 and 1")
    return Interval(_lower_mean(worse, same, better, error / 2), -_lower_mean(better, same, worse, error / 2))


def _lower_mean(worse: int, same: int, better: int, error: float) -> float:
    needed = log(1 / error)

    def against(mean: float) -> float:
        logs = [
            sum(
                count * log1p(stake * (value - mean) / (1 + mean))
                for value, count in ((1, worse), (0, same), (-1, better))
                if count
            )
            for stake in _STAKES
        ]
        most = max(logs)
        return most + log(sum(exp(one - most) for one in logs) / len(logs)) - needed

    least = -1 + _LEAST
    middle = max((worse - better) / max(worse + same + better, 1), least)
    return _border(against, least, middle, close=1e-6) if against(least) > 0 else -1.0
