"""Judged answers in, states out: is a combination worse than its base model?"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from monitor.config.model import DriftSection
from monitor.drift.interface import Detector
from monitor.drift.signals import SIGNALS
from monitor.drift.windowed import WindowedDetector

DETECTORS: Mapping[str, Callable[[DriftSection], Detector]] = MappingProxyType({"windowed": WindowedDetector})
"""Name -> factory."""

__all__ = ["DETECTORS", "SIGNALS", "Detector", "WindowedDetector"]
