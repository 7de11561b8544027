"""What was found, from its beginning to its end: kept, shown, acknowledged, resolved."""

from monitor.findings.book import FindingBook
from monitor.findings.case import Acknowledgement, Case, CaseState, Effect, Numbers, effect

__all__ = ["Acknowledgement", "Case", "CaseState", "Effect", "FindingBook", "Numbers", "effect"]
