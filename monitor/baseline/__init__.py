"""The measured behaviour of the base model, as a file that does not move: what combinations are held against."""

from monitor.baseline.frozen import Baseline, BaselineError, read_baseline

__all__ = ["Baseline", "BaselineError", "read_baseline"]
