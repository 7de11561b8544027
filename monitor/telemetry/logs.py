"""The monitor's own logs: one event per line on standard error, as text or JSON. Never prompt or response text."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Final

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
        return json.dumps(event)  # not msgspec: a name from elsewhere may hold characters that UTF-8 has no form for


class TextFormatter(logging.Formatter):
    """Time, level, logger, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime


class Repeats:
    """Lets one log line through per period, and says how many were left out: what can repeat must not flood the log."""

    PERIOD_S: Final = 60.0

    def __init__(self) -> None:
        self._next: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def allow(self, kind: str, now: float) -> int | None:
        """None when a line of this kind (one of a bounded set) must not be written now; else how many were left out before it."""
        if now < self._next.get(kind, now):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return None
        self._next[kind] = now + self.PERIOD_S
        return self._left_out.pop(kind, 0)


def where_it_failed(error: BaseException) -> str:
    """An exception's type and place without its message, which may quote a prompt or a response."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[:-6:-1])
    return f"{type(error).__name__} at {places or 'an unknown place'}"


def set_up_logging(section: TelemetrySection) -> None:
    """Send all events to standard error in the configured form; called once, first thing in each process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if section.log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(section.log_level.upper())
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
