"""The API below /api/v1: one table of operations makes the routes, the checks and the OpenAPI document."""

from monitor.admin.api.changing import Changes, changing
from monitor.admin.api.evidence import evidence
from monitor.admin.api.operation import Operation, add_operations
from monitor.admin.api.reading import Sources, reading

__all__ = ["Changes", "Operation", "Sources", "add_operations", "changing", "evidence", "reading"]
