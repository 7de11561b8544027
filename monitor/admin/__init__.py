"""The monitor's own port."""

from monitor.admin.server import build_admin
from monitor.admin.view import combinations_view

__all__ = ["build_admin", "combinations_view"]
