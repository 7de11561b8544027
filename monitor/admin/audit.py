"""Who used a token that shows text or changes something, on what, and when: a line in the log, and in a file if configured."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)


class AuditError(Exception):
    """The line could not be written: what it says must not be done."""


class AuditLine(msgspec.Struct, omit_defaults=True):
    """One use."""

    time: float
    """Unix seconds."""
    action: str
    """acknowledge, reset, probe, list_evidence, read_evidence or purge_evidence."""
    subject: str
    """What it was done to: an id, or a combination's name."""
    by: str = ""
    """Who it was, by their own word; the token says only which scope they have."""
    remote: str = ""
    """Address that the request came from."""
    note: str = ""


class Audit:
    """Appends to a file that nobody else can read. It is never cut: rotate it from outside."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    async def note(self, line: AuditLine) -> None:
        """Write a line before its action is done. Raises AuditError when a file is configured and cannot be written."""
        if self._file is not None:
            try:
                await asyncio.to_thread(_append, self._file, msgspec.json.encode(line) + b"\n")
            except OSError as error:
                log.error("the audit file %s cannot be written: %s", self._file, error.strerror)
                raise AuditError(f"the audit file cannot be written: {error.strerror}") from error
        # As JSON strings: a name that somebody chose may hold line breaks.
        log.warning("audit: %s", msgspec.json.encode(line).decode())


def _append(file: Path, line: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError(28, "No space left on device")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
