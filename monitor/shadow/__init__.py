"""Asks a share of the requests again: of the base, and for a combination under suspicion of its parts."""

from monitor.shadow.client import ShadowClient
from monitor.shadow.part_loader import PartLoader
from monitor.shadow.replays import Shadow
from monitor.shadow.yielding import Yielding

__all__ = ["PartLoader", "Shadow", "ShadowClient", "Yielding"]
