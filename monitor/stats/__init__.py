"""Pure numbers: what can be said of a rate from a count."""

from monitor.stats.binomial import Interval, clopper_pearson

__all__ = ["Interval", "clopper_pearson"]
