"""The monitor's own port."""

from monitor.admin.access import Access, Tokens
from monitor.admin.api import Sources, reading
from monitor.admin.server import build_admin
from monitor.admin.view import combinations_view

__all__ = ["Access", "Sources", "Tokens", "build_admin", "combinations_view", "reading"]
