"""The folder of examples: nobody else's to read, and one process's to write.

Two processes that write would share the bounds and remove each other's examples, so the second one waits until the first has
ended, and says which that is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from pathlib import Path
from typing import Final

LOCK: Final = "evidence.lock"
"""Locked by the process that writes, whose name is in it. Not the database itself: SQLite's locks on that end with any
descriptor of it that is closed."""


def folder_problem(folder: Path) -> str:
    """Why others could read what would be kept in this folder, "" when nobody can or it does not exist yet."""
    try:
        status = folder.stat()
    except OSError:
        return ""
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is not a folder"
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        return (
            f"others may enter {folder} (mode {mode:04o}): name a folder inside it that does not exist yet, "
            f"or run chmod 700 {folder}"
        )
    return ""


def take(folder: Path) -> int:
    """Make the folder when it is missing, for our own user alone, and write there alone until the descriptor is closed. Raises
    OSError."""
    _make(folder)
    if problem := folder_problem(folder):
        raise PermissionError(errno.EPERM, problem)
    descriptor = own_file(folder / LOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        other = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            raise
        text = f"another sidecar writes {folder} ({other or 'it does not say which'}); give each a folder of its own"
        raise BlockingIOError(error.errno, text) from None
    with contextlib.suppress(OSError):  # a full disk says so when examples are written
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return descriptor


def own_file(file: Path) -> int:
    """A descriptor of this file, which is made when it is missing, for our own user alone. Raises OSError."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _make(folder: Path) -> None:
    """With its parents; whatever the umask is, its owner may enter."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            one.mkdir(mode=0o700 if one == folder else 0o777)
            one.chmod(stat.S_IMODE(one.stat().st_mode) | stat.S_IRWXU)
