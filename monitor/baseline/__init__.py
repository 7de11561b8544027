"""The measured behaviour of the base model, as a file that does not move: what combinations are held against."""

from monitor.baseline.frozen import Baseline, BaselineError, read_baseline
from monitor.baseline.guard import VOID_REASONS, BaselineGuard

__all__ = ["VOID_REASONS", "Baseline", "BaselineError", "BaselineGuard", "read_baseline"]
