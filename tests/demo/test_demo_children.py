"""Child processes of the demo: ready or explained, and gone with all that they started."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from made_up_recordings import until
from processes import alive

from monitor.demo.children import ChildError, free_ports, start_child

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


async def test_a_child_that_ends_early_is_explained_by_its_last_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such model'); raise SystemExit(7)"]
    child = await start_child("server", command, os.environ, tmp_path / "log")
    with pytest.raises(ChildError) as caught:
        await child.ready(f"http://127.0.0.1:{free_ports(1)[0]}/health", within_s=20)
    assert str(caught.value).splitlines() == [
        "the server ended early with exit code 7; its last lines:",
        "  no such model",
    ]
    await child.end(grace_s=1)


async def test_a_child_that_never_answers_is_given_up(tmp_path: Path) -> None:
    child = await start_child("server", [sys.executable, "-c", STUBBORN], os.environ, tmp_path / "log")
    try:
        with pytest.raises(ChildError, match=r"the server did not answer at http://.* within 0 s"):
            await child.ready(f"http://127.0.0.1:{free_ports(1)[0]}/health", within_s=0.2)
    finally:
        await child.end(grace_s=0.1)


async def test_what_a_child_started_goes_with_it_even_when_it_ignores_sigterm(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = await start_child("server", [sys.executable, "-c", STUBBORN], os.environ, log)
    try:
        with pytest.raises(ChildError):
            await child.ready(f"http://127.0.0.1:{free_ports(1)[0]}/health", within_s=3)
        grandchild = int(re.findall(r"\d+", log.read_text())[0])
        assert alive(grandchild)
    finally:
        await child.end(grace_s=0.1)
    assert child.process.returncode == -9
    await until(lambda: not alive(grandchild), within_s=5)


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20
