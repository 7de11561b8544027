"""The demo's child processes: each in a process group of its own, so that Ctrl-C reaches the demo alone.

The demo then ends them in order. Whatever a child itself started is in its group and goes with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

READY_POLL_S = 0.1
TAIL_LINES = 15


class ChildError(RuntimeError):
    """A child ended early or did not become ready; the message holds its last lines."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child process."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    """Its output."""

    async def ended(self) -> str:
        """Wait until the child ends by itself; says so in a sentence."""
        code = await self.process.wait()
        return f"the {self.name} ended early with exit code {code}"

    async def ready(self, url: str, within_s: float) -> None:
        """Wait until a GET of `url` answers 200. Raises ChildError when the child ends or the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        timeout = aiohttp.ClientTimeout(total=2.0)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not await _answers(session, url):
                if self.process.returncode is not None:
                    raise ChildError(self.with_tail(await self.ended()))
                if loop.time() > deadline:
                    raise ChildError(self.with_tail(f"the {self.name} did not answer at {url} within {within_s:.0f} s"))
                await asyncio.sleep(READY_POLL_S)

    async def end(self, grace_s: float) -> None:
        """SIGTERM to the child, SIGKILL to what is left of its group after the grace."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), grace_s)
        except TimeoutError:
            pass
        finally:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        await self.process.wait()

    def with_tail(self, sentence: str) -> str:
        """The sentence, and below it the last lines that the child wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join([f"{sentence}; its last lines:" if lines else sentence, *(f"  {line}" for line in lines)])


async def start_child(name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
    """Start a child with its output in `log`."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            env=dict(environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=descriptor,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    return Child(name, process, log)


def free_ports(count: int) -> list[int]:
    """Ports that are free on the loopback address now; all different."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for candidate in sockets:
            candidate.bind(("127.0.0.1", 0))
        return [int(candidate.getsockname()[1]) for candidate in sockets]
    finally:
        for candidate in sockets:
            candidate.close()


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
