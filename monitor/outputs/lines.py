"""Findings as JSON lines: numbers and names, never prompt or response text."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, TextIO

import msgspec

from monitor.records import Finding

log = logging.getLogger(__name__)


def finding_line(finding: Finding) -> str:
    """One finding as a line of JSON, NaN as null."""
    state: dict[str, Any] = msgspec.to_builtins(finding.state)
    for inner in ("combination", "signal"):
        del state[inner]
    whole = {
        "time": finding.time,
        "event": "drift_began" if finding.began else "drift_ended",
        "combination": finding.combination,
        "combination_id": finding.combination_id,
        "parts": [{"adapter": part.adapter, "scale": part.scale} for part in finding.parts],
        "signal": finding.signal,
        **state,
        "scorer": finding.scorer,
        "scorer_version": finding.scorer_version,
    }
    return msgspec.json.encode(whole).decode("utf-8") + "\n"


class StreamOutput:
    """Writes to an open stream that somebody else owns, such as standard output."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, finding: Finding) -> None:
        """See Output."""
        self._stream.write(finding_line(finding))
        self._stream.flush()

    def close(self) -> None:
        """See Output."""


class FileOutput:
    """Appends to a file, which is opened for each finding so that it can be rotated."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._failing = False

    def write(self, finding: Finding) -> None:
        """See Output."""
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(finding_line(finding))
        except OSError as error:
            if not self._failing:
                log.error("findings cannot be written to %s: %s", self._file, error.strerror)
            self._failing = True
        else:
            self._failing = False

    def close(self) -> None:
        """See Output."""
