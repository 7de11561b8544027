"""Pure numbers: what can be said of a rate from a count."""

from monitor.stats.binomial import Interval, clopper_pearson
from monitor.stats.sequence import rate_sequence

__all__ = ["Interval", "clopper_pearson", "rate_sequence"]
