"""Probes: questions put to a running server on purpose, so that a combination is known before users ask it."""

from monitor.probes.suite import Kind, Probe, ProbeStratum, Suite, SuiteError, read_suite

__all__ = ["Kind", "Probe", "ProbeStratum", "Suite", "SuiteError", "read_suite"]
