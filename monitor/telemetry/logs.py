"""The monitor's own logs: one event per line on standard error, as text or JSON. Never prompt or response text."""

from __future__ import annotations

import logging
import sys
import time

import msgspec

from monitor.config.model import TelemetrySection


class JsonFormatter(logging.Formatter):
    """One JSON object per event."""

    def format(self, record: logging.LogRecord) -> str:
        """logging: the line of an event."""
        event: dict[str, str | float] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(event).decode("utf-8")


class TextFormatter(logging.Formatter):
    """Time, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime


def set_up_logging(section: TelemetrySection) -> None:
    """Send all events to standard error in the configured form; called once, first thing in each process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if section.log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(section.log_level.upper())
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
