"""Judged answers in, states out: is a combination worse than its base model?"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from monitor.config.model import DriftSection
from monitor.drift.interface import Detector, Reference
from monitor.drift.paired import PairedDetector
from monitor.drift.repeats import RecentSamples
from monitor.drift.sequential import SequentialDetector
from monitor.drift.trend import Point, Trends

DETECTORS: Mapping[str, Callable[[DriftSection], Detector]] = MappingProxyType({"sequential": SequentialDetector})
"""Name -> factory."""

__all__ = [
    "DETECTORS",
    "Detector",
    "PairedDetector",
    "Point",
    "RecentSamples",
    "Reference",
    "SequentialDetector",
    "Trends",
]
