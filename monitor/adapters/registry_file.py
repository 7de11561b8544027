"""The registry file while the monitor runs: what is written into it takes effect, and a broken file takes nothing away."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from monitor.adapters.registry import Registry, load_registry
from monitor.config.load import ConfigError

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Seconds between two looks at the file."""

_Stamp = tuple[int, int, int, int]


class RegistryFile:
    """Reads the registry, and again when its file has changed. Blocks on the disk: call it in a thread."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._read: _Stamp | None = None
        """Stamp of the file that was read last, whether it could be used or not."""
        self._seen: _Stamp | None = None
        """Stamp at the latest look."""
        self.problem = ""
        """Why the file as it lies there now cannot be used; what was read before it counts on."""

    def open(self, last_good: object = None) -> Registry:
        """The registry at the start of the process.

        last_good: what a predecessor had in use (`saved`), taken where the file has become unusable since. Raises ConfigError
        when there is nothing to fall back on.
        """
        self._read = self._seen = self._stamp()
        try:
            return load_registry(self._file)
        except ConfigError as error:
            try:
                registry = Registry.model_validate(last_good)
            except ValidationError:
                raise error from None
            self._note(error)
            return registry

    def look(self) -> Registry | None:
        """The new registry, when the file has changed, has held still since the look before, and can be used; else None."""
        before, self._seen = self._seen, self._stamp()
        if self._file is None or self._seen == self._read or self._seen != before:
            return None
        self._read = self._seen
        try:
            registry = load_registry(self._file)
        except ConfigError as error:
            self._note(error)
            return None
        if self._stamp() != self._read:
            self._read = None  # it was written while it was read
            return None
        self.problem = ""
        return registry

    def _note(self, error: ConfigError) -> None:
        self.problem = "; ".join(str(error).splitlines())
        log.error("the registry cannot be used, what was read before counts on: %s", self.problem)

    def _stamp(self) -> _Stamp | None:
        """Changes whenever the file's contents may have, and where it is a link (a mounted ConfigMap) with what that leads to."""
        try:
            stat = self._file.stat() if self._file else None
        except OSError:
            return None
        return (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) if stat else None


def saved(registry: Registry) -> dict[str, Any]:
    """What `open` takes, as plain JSON values."""
    content: dict[str, Any] = registry.model_dump(mode="json", exclude_defaults=True)
    return content
