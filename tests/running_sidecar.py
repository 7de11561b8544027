"""The real process tree of `alignment-monitor serve`, started on free ports and stopped with the test."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.snapshot import Snapshot

START_S = 60.0
"""A busy machine may take long to import everything."""
POLL_S = 0.02


async def eventually(condition: Callable[[], Any], what: str, within_s: float = 20.0, every_s: float = POLL_S) -> Any:
    """Poll until the condition is true; its value. `what` says in the failure what did not come about."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        if loop.time() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(every_s)


def free_ports(count: int) -> list[int]:
    """Different ports that are free on the loopback address now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


async def http_get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a GET on the loopback address, without any HTTP library."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if re.search(rb"(?i)transfer-encoding: *chunked", head):
        body = b"".join(piece.partition(b"\r\n")[2] for piece in re.split(rb"\r\n(?=[0-9a-f]+\r\n)", b"\r\n" + body))
    return int(head.split(b" ", 2)[1]), body


@dataclass
class Sidecar:
    """A running `serve`."""

    process: asyncio.subprocess.Process
    port: int
    admin_port: int
    log: Path

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        """Metrics, health and status page."""
        return f"http://127.0.0.1:{self.admin_port}"

    def children(self, kind: str) -> list[int]:
        """Process ids of the `worker` or `analysis` children."""
        found = []
        for entry in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            try:
                command = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if kind.encode() in command[:5]:
                found.append(int(entry))
        return found

    def snapshot(self) -> dict[str, Any] | None:
        """The state that a successor of the analysis would carry on from now."""
        (analysis,) = self.children("analysis")
        words = Path(f"/proc/{analysis}/cmdline").read_bytes().split(b"\0")
        number = words[words.index(b"--snapshot-fd") + 1].decode()
        descriptor = os.open(f"/proc/{analysis}/fd/{number}", os.O_RDONLY)
        try:
            return Snapshot(descriptor).restore()
        finally:
            os.close(descriptor)

    async def ready(self) -> bool:
        """The monitor says that it is ready."""
        try:
            return (await http_get(self.admin_port, "/-/ready"))[0] == 200
        except OSError:
            return False

    async def metrics(self) -> dict[str, float]:
        """All samples: 'name{labels}' as in the exposition -> value."""
        status, body = await http_get(self.admin_port, "/metrics")
        assert status == 200
        lines = (line for line in body.decode().splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    async def metric(self, name: str) -> float:
        """One sample; 0 when it does not exist."""
        return (await self.metrics()).get(name, 0.0)

    async def terminate(self, within_s: float = 40.0) -> int:
        """SIGTERM; the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), within_s)


class SidecarStarter:
    """Starts sidecars, and stops those that still run when the test ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Sidecar] = []

    async def __call__(
        self,
        upstream: str,
        config: dict[str, Any] | None = None,
        *arguments: str,
        wait_ready: bool = True,
        environment: dict[str, str] | None = None,
    ) -> Sidecar:
        """Start `serve`; returns when it is ready, unless told otherwise."""
        port, admin_port = free_ports(2)
        number = len(self._started)
        file = self._folder / f"sidecar-{number}.json"
        few_prompts = {"repeat_window_s": 0}  # most tests ask the same again and again, and want every answer to count
        file.write_text(json.dumps({"proxy": {"drain_grace_s": 1.0}, "drift": few_prompts} | (config or {})))
        command = [
            sys.executable, "-m", "monitor", "serve", "--config", str(file), "--upstream", upstream,
            "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin_port}", *arguments,
        ]  # fmt: skip
        log = self._folder / f"sidecar-{number}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            )
        started = Sidecar(process, port, admin_port, log)
        self._started.append(started)
        if wait_ready:
            try:
                await eventually(lambda: started.process.returncode is not None or started.ready(), "ready", START_S)
                assert started.process.returncode is None, "it ended"
            except AssertionError as error:
                raise AssertionError(f"the sidecar: {error}\n{log.read_text(errors='replace')}") from error
        return started

    async def stop_all(self) -> None:
        """End all of them, and whatever they left."""
        for one in self._started:
            children = (
                [] if one.process.returncode is not None else [*one.children("worker"), *one.children("analysis")]
            )
            try:
                await one.terminate()
            except TimeoutError:
                for pid in (one.process.pid, *children):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                await one.process.wait()
