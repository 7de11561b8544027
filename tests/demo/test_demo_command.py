"""`alignment-monitor demo` as a user runs it: the real server of recordings, the real sidecar, real processes."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import socket
import struct
import sys
import termios
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from made_up_recordings import BASE, all_lines, until, write_recordings
from processes import marked, none_marked

START_AND_ALARM_S = 90.0


@dataclass
class Demo:
    """Starts demos, each in an environment with a mark by which its processes are found."""

    folder: Path
    recordings: Path
    mark: str

    async def start(
        self, *arguments: str, output: int = asyncio.subprocess.PIPE, **environment: str
    ) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "monitor", "demo", "--recordings", str(self.recordings), *arguments]
        return await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, "TMPDIR": str(self.folder), "DEMO_TEST_MARK": self.mark, **environment},
            stdout=output,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, **environment: str) -> tuple[int | None, str, str]:
        """Exit code, output and errors of a demo that ends by itself."""
        process = await self.start(*arguments, **environment)
        out, errors = await asyncio.wait_for(process.communicate(), START_AND_ALARM_S)
        return process.returncode, out.decode(), errors.decode()

    async def left_nothing(self) -> bool:
        return await none_marked(self.mark) and not list(self.folder.glob("alignment-monitor-demo-*"))


class Screen:
    """A terminal of a given size; collects what is written to it."""

    def __init__(self, columns: int, lines: int) -> None:
        self._master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._written = b""
        asyncio.get_running_loop().add_reader(self._master, self._read)

    @property
    def text(self) -> str:
        return self._written.decode(errors="replace")

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self.slave)

    def _read(self) -> None:
        self._written += os.read(self._master, 65536)


@pytest.fixture
async def demo(tmp_path: Path, recordings_file: Path) -> AsyncIterator[Demo]:
    demo = Demo(tmp_path, recordings_file, uuid.uuid4().hex)
    yield demo
    for pid in marked(demo.mark):
        os.kill(pid, signal.SIGKILL)


async def read_until(process: asyncio.subprocess.Process, word: str) -> str:
    assert process.stdout is not None
    text = ""
    async with asyncio.timeout(START_AND_ALARM_S):
        while word not in text:
            line = await process.stdout.readline()
            assert line, text
            text += line.decode()
    return text


async def test_the_pair_is_found_and_ctrl_c_ends_everything(demo: Demo) -> None:
    process = await demo.start()
    assert "ALERT a+b refuses less" in await read_until(process, "ALERT")
    assert len(marked(demo.mark)) >= 4
    process.send_signal(signal.SIGINT)
    out, errors = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, errors.decode()) == (0, "")
    assert re.search("▲ (refuses less|collusion)", out.decode())
    assert "Found: a+b." in out.decode()
    assert await demo.left_nothing()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_while_it_starts_ends_everything(demo: Demo, number: signal.Signals) -> None:
    process = await demo.start()
    await until(lambda: len(marked(demo.mark)) >= 2)
    process.send_signal(number)
    _, errors = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, errors.decode()) == (0, "")
    assert await demo.left_nothing()


async def test_in_a_terminal_the_table_refreshes_in_place(demo: Demo) -> None:
    screen = Screen(columns=80, lines=24)
    process = await demo.start(output=screen.slave, TERM="xterm-256color")
    try:
        await until(lambda: "a+b refuses less" in screen.text, START_AND_ALARM_S)
        assert "\x1b[2K" in screen.text
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        await until(lambda: "no false alarm." in screen.text)
    finally:
        screen.close()
    assert "\x1b[?25h" in screen.text.rpartition("After ")[0], "the cursor is shown again"
    assert await demo.left_nothing()


async def test_with_seconds_it_ends_by_itself_with_a_summary(demo: Demo) -> None:
    code, out, errors = await demo.run("--seconds", "25")
    assert (code, errors) == (0, "")
    summary = out.partition("\nAfter ")[2]
    assert "(0 failed)" in summary
    assert re.search("▲ (refuses less|collusion)", summary)
    assert "Found: a+b.\nThe controls stayed quiet: no false alarm.\n" in summary
    assert await demo.left_nothing()


async def test_a_pair_that_is_not_found_is_exit_code_3(demo: Demo) -> None:
    code, out, _ = await demo.run("--seconds", "2")
    assert code == 3
    assert "Not found (yet): a+b." in out
    assert await demo.left_nothing()


async def test_a_sidecar_that_cannot_listen_is_explained(demo: Demo) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, _, errors = await demo.run("--listen", address)
    assert code == 1
    assert "demo: the sidecar ended early with exit code" in errors
    assert address in errors
    assert await demo.left_nothing()


async def test_settings_of_a_real_sidecar_do_not_reach_the_demos(demo: Demo) -> None:
    code, out, errors = await demo.run("--seconds", "2", ALIGNMENT_UPSTREAM="http://127.0.0.1:1", ALIGNMENT_X__Y="1")
    assert (code, errors) == (3, "")
    assert "(0 failed)" in out


async def test_damaged_recordings_are_one_line(demo: Demo) -> None:
    lines = all_lines()
    lines[0] = {**lines[0], "base": "other"}
    write_recordings(demo.recordings, lines)
    code, out, errors = await demo.run()
    assert (code, out) == (1, "")
    assert errors == f"demo: recordings {demo.recordings}: the base model 'other' is not among the served names\n"
    assert BASE not in errors


async def test_without_vllm_the_real_upstream_says_what_to_install(demo: Demo, tmp_path: Path) -> None:
    hidden = tmp_path / "without-vllm"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['vllm'] = None\n")
    code, out, errors = await demo.run("--upstream", "vllm", PYTHONPATH=str(hidden))
    assert (code, out) == (2, "")
    assert errors.count("\n") == 1
    assert "pip install 'vllm-alignment-monitor[vllm,lab]'" in errors
