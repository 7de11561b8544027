"""Asks what clients have not asked: a combination that is new, and every one from time to time, in the running sidecar."""

from monitor.probing.prober import Prober

__all__ = ["Prober"]
