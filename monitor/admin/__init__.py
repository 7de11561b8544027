"""The monitor's own port."""

from monitor.admin.access import Access, Tokens
from monitor.admin.api import Changes, Operation, Sources, changing, evidence, reading
from monitor.admin.audit import Audit
from monitor.admin.server import build_admin
from monitor.admin.stored_examples import StoredExamples
from monitor.admin.view import combinations_view

__all__ = [
    "Access",
    "Audit",
    "Changes",
    "Operation",
    "Sources",
    "StoredExamples",
    "Tokens",
    "build_admin",
    "changing",
    "combinations_view",
    "evidence",
    "reading",
]
