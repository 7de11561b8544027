"""Which processes are left, read from /proc."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path


def alive(pid: int) -> bool:
    """The process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def marked(mark: str) -> list[int]:
    """The living processes whose environment holds the mark."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if mark.encode() in (folder / "environ").read_bytes() and alive(int(folder.name)):
                    found.append(int(folder.name))
    return found


async def none_marked(mark: str, within_s: float = 5.0) -> bool:
    """No marked process is left, or none is after a moment."""
    deadline = asyncio.get_running_loop().time() + within_s
    while marked(mark):
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True
