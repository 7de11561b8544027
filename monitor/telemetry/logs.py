"""The monitor's own logs: one event per line on standard error, as text or JSON. Never prompt or response text.

Exceptions are told by their types and places, whoever logs them: aiohttp quotes the headers and bodies that it cannot read, and
asyncio the exception of a task that failed.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from monitor.config.model import TelemetrySection

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _WithoutText(logging.Formatter):
    """Leaves out what exceptions say."""

    def formatException(  # noqa: N802  # logging's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        """logging: the lines of an exception."""
        return "" if ei[1] is None else "\n".join(_frames(ei[1], set()))


class JsonFormatter(_WithoutText):
    """One JSON object per event."""

    def format(self, record: logging.LogRecord) -> str:
        """logging: the line of an event."""
        event: dict[str, str | float] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _said(record),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event)  # not msgspec: a name from elsewhere may hold characters that UTF-8 has no form for


class TextFormatter(_WithoutText):
    """Time, level, logger, message: one line, and those of an exception."""

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """logging: the line of an event. A name from elsewhere cannot begin another one."""
        record.message = _CONTROL.sub(lambda one: f"\\x{ord(one.group()):02x}", _said(record))
        return super().formatMessage(record)


def _said(record: logging.LogRecord) -> str:
    """The message. Those of asyncio's event loops go on with arguments of callbacks and with what an exception says."""
    message = record.getMessage()
    return message.partition("\n")[0].partition("(")[0] if record.name == "asyncio" else message


def _frames(error: BaseException, seen: set[int]) -> Iterator[str]:
    """An exception's type and frames, behind those of what led to it, without any message."""
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _frames(before, seen)
        yield "which led to:"
    yield from (line for entry in traceback.format_tb(error.__traceback__) for line in entry.rstrip().split("\n"))
    yield type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from (f"  {line}" for line in _frames(one, seen))


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
