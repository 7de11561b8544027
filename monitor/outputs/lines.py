"""Findings as JSON lines: numbers and names, never prompt or response text."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import msgspec

from monitor.records import EVERY, Finding

log = logging.getLogger(__name__)


def finding_line(finding: Finding) -> str:
    """One finding as a line of JSON, NaN as null."""
    state: dict[str, Any] = msgspec.to_builtins(finding.state)
    for inner in ("combination", "signal"):
        del state[inner]
    kind = "common_cause" if finding.combination == EVERY else "drift"
    whole = {
        "time": finding.time,
        "event": f"{kind}_began" if finding.began else f"{kind}_ended",
        "id": finding.id,
        "combination": finding.combination,
        "combination_id": finding.combination_id,
        "parts": [{"adapter": part.adapter, "scale": part.scale} for part in finding.parts],
        "signal": finding.signal,
        **state,
        "common_cause": finding.common_cause,
        "attribution": msgspec.to_builtins(finding.attribution),
        "scorer": finding.scorer,
        "scorer_version": finding.scorer_version,
        **({} if finding.began else {"resolution": finding.resolution}),
    }
    return msgspec.json.encode(whole).decode("utf-8") + "\n"


class StreamOutput:
    """Writes to an open stream that somebody else owns, such as standard output."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.broken = False
        """The reader is gone; nothing more is written."""

    def write(self, finding: Finding) -> None:
        """See Output."""
        if self.broken:
            return
        try:
            self._stream.write(finding_line(finding))
            self._stream.flush()
        except BrokenPipeError:
            self.broken = True
            self._drop_the_rest()

    def close(self) -> None:
        """See Output."""

    def _drop_the_rest(self) -> None:
        """What is still buffered goes nowhere, so that the interpreter's own flush at its end does not fail."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class FileOutput:
    """Appends to a file, which is opened for each finding so that it can be rotated from outside.

    It is bounded by itself too: beyond `max_bytes` it is renamed to `<name>.1`, over the one before.
    """

    def __init__(self, file: Path, max_bytes: int, lost: Callable[[], None]) -> None:
        """lost: called for every finding that could not be written."""
        self._file = file
        self._max_bytes = max_bytes
        self._lost = lost
        self._failing = False

    def write(self, finding: Finding) -> None:
        """See Output."""
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(finding_line(finding))
                size = stream.tell()
            if size > self._max_bytes:
                self._file.replace(self._file.with_name(self._file.name + ".1"))
        except OSError as error:
            self._lost()
            if not self._failing:
                log.error("findings cannot be written to %s: %s", self._file, error.strerror)
            self._failing = True
        else:
            self._failing = False

    def close(self) -> None:
        """See Output."""
