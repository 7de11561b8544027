"""The back half: decode -> identify -> score -> count -> detect -> emit."""

from monitor.pipeline.counts import Tally
from monitor.pipeline.flow import Pipeline

__all__ = ["Pipeline", "Tally"]
