"""What was found, from its beginning to its end: kept, shown, acknowledged, resolved, and how much it matters."""

from monitor.findings.book import FindingBook
from monitor.findings.case import Acknowledgement, Case, CaseState, Effect, Numbers, effect
from monitor.findings.severity import Severity, severity_of

__all__ = [
    "Acknowledgement",
    "Case",
    "CaseState",
    "Effect",
    "FindingBook",
    "Numbers",
    "Severity",
    "effect",
    "severity_of",
]
