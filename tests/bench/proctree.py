"""What a process and its descendants cost, by the part that each of them plays. Linux only (/proc).

CPU times come from each process's own CPU clock, which counts nanoseconds and threads that have ended, where
/proc/PID/stat counts ticks of 10 ms.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ROLE = re.compile(r"(?:[^-/][^/]*[-_:. ])?(worker|analysis)[-_:. ]?\d*")
"""An argument that names a role: `worker`, `worker-0`, `monitor: analysis`; not an option or a path."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process tree, in MiB."""

    rss: float
    """Resident; pages that processes share are counted for each."""
    pss: float | None
    """Proportional: a shared page is divided among those that share it. None where the kernel does not say."""


def descendants(root: int) -> list[int]:
    """`root` and all processes below it."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def role(pid: int, root: int) -> str:
    """`worker`, `analysis`, `supervisor` (the root) or `other`, from the command line."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "other"
    named = next((match[1] for argument in arguments if (match := _ROLE.fullmatch(argument))), "")
    return named or ("supervisor" if pid == root else "other")


def cpu_seconds(root: int) -> dict[str, float]:
    """CPU seconds so far (user and system) of the tree by role; children that have ended count with their parent."""
    spent: dict[str, float] = {}
    for pid in descendants(root):
        fields = _stat(pid)
        if not fields:
            continue
        try:
            own = time.clock_gettime(_cpu_clock(pid))
        except OSError:
            own = (int(fields[11]) + int(fields[12])) / _TICK
        name = role(pid, root)
        spent[name] = spent.get(name, 0.0) + own + (int(fields[13]) + int(fields[14])) / _TICK
    return spent


def memory(root: int) -> dict[str, Memory]:
    """Memory by role, and of all under `all`."""
    parts: dict[str, list[tuple[float, float | None]]] = {}
    for pid in descendants(root):
        try:
            rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20
        except (OSError, IndexError):
            continue
        for name in (role(pid, root), "all"):
            parts.setdefault(name, []).append((rss, _pss(pid)))
    return {
        name: Memory(
            rss=sum(rss for rss, _ in each),
            pss=None if any(pss is None for _, pss in each) else sum(pss or 0.0 for _, pss in each),
        )
        for name, each in parts.items()
    }


def settle(root: int, limit_s: float = 20.0, window_s: float = 0.25) -> bool:
    """Wait until the tree is idle, so that work put off counts to the load that caused it; False at the limit."""
    deadline = time.monotonic() + limit_s
    before = sum(cpu_seconds(root).values())
    while time.monotonic() < deadline:
        time.sleep(window_s)
        now = sum(cpu_seconds(root).values())
        if now - before < 0.04 * window_s:
            return True
        before = now
    return False


def pin(pid: int, core: int) -> None:
    """Hold all threads of a process on one core."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _pss(pid: int) -> float | None:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), None)


def _cpu_clock(pid: int) -> int:
    """The clock id of another process's CPU time, as clock_getcpuclockid(3) makes it."""
    return (~pid << 3) | 2
