"""The demo from start to end: upstream, sidecar, traffic and view come up in this order and go in the reverse one."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from monitor.demo.alerts import AlertLog
from monitor.demo.children import Child, ChildError, free_ports, start_child
from monitor.demo.recordings import Recordings
from monitor.demo.sidecar import child_environment, serve_command, write_files
from monitor.demo.traffic import Mix, Sent, plan, run_traffic
from monitor.demo.view import Snapshot
from monitor.status.reading import CombinationStatus, ask_sidecar

UPSTREAM_READY_S = 20.0
SIDECAR_READY_S = 60.0
END_GRACE_S = 8.0
"""Seconds that a child gets to end by itself; above the sidecar's drain grace."""
POLL_S = 1.0
POLL_TIMEOUT_S = 5.0
SEED = 20
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to put on the stage."""

    recordings: Recordings
    recordings_file: Path
    served: tuple[str, ...]
    """Served names that the clients ask."""
    mix: Mix
    speed: float
    """Times faster than recorded."""
    upstream: str
    """URL of a server that runs already; "" to start the recorded one."""
    listen: str
    admin: str
    seconds: float | None
    """Seconds of traffic; None until a signal."""


@dataclass(slots=True)
class Board:
    """What was seen so far, kept for the view and the summary."""

    rows: tuple[CombinationStatus, ...] = ()
    log: AlertLog = field(default_factory=AlertLog)
    sent: Sent = field(default_factory=Sent)
    elapsed_s: float = 0.0
    trouble: str = ""

    def snapshot(self) -> Snapshot:
        """The present state, frozen."""
        trouble = self.trouble or (f"Last failed request: {self.sent.last_failure}" if self.sent.failed else "")
        return Snapshot(
            rows=self.rows,
            alerts=tuple(self.log.alerts),
            elapsed_s=self.elapsed_s,
            sent=self.sent.requests,
            failed=self.sent.failed,
            trouble=trouble,
        )


def addresses(listen: str | None, admin: str | None) -> tuple[str, str]:
    """The sidecar's two addresses, on free ports of the loopback address where none is given."""
    ports = free_ports(2)
    return listen or f"127.0.0.1:{ports[0]}", admin or f"127.0.0.1:{ports[1]}"


async def perform(plan: Plan, board: Board, show: Callable[[Snapshot], None]) -> bool:
    """Run the demo; True when it ran for the planned time, False when a signal ended it.

    Raises ChildError when a child cannot be started or ends early. Nothing that it started is left when it returns.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alignment-monitor-demo-")))
        children: list[Child] = []
        if not await _unless(stop, _start(plan, folder, children, stack)):
            return False
        return await _unless(stop, _play(plan, board, show, children))


async def _start(plan: Plan, folder: Path, children: list[Child], stack: AsyncExitStack) -> None:
    environment = child_environment()
    upstream = plan.upstream
    if not upstream:
        upstream = f"http://127.0.0.1:{free_ports(1)[0]}"
        command = [sys.executable, "-m", "monitor.demo.upstream", "--port", upstream.rpartition(":")[2]]
        command += ["--recordings", str(plan.recordings_file), "--speed", f"{plan.speed:g}"]
        command += [word for name in plan.served for word in ("--served", name)]
        server = await start_child("recorded upstream", command, environment, folder / "upstream.log")
        stack.push_async_callback(server.end, END_GRACE_S)
        children.append(server)
        await server.ready(f"{upstream}/health", UPSTREAM_READY_S)
    config = write_files(plan.recordings.header, folder)
    command = serve_command(upstream, plan.listen, plan.admin, config)
    sidecar = await start_child("sidecar", command, environment, folder / "sidecar.log")
    stack.push_async_callback(sidecar.end, END_GRACE_S)
    children.append(sidecar)
    await sidecar.ready(f"http://{plan.admin}/-/ready", SIDECAR_READY_S)


async def _play(planned: Plan, board: Board, show: Callable[[Snapshot], None], children: Sequence[Child]) -> None:
    """Traffic and view until the time is over. Raises ChildError when a child ends before that."""
    prompts = list(planned.recordings.prompts.values())
    asks = plan(planned.served, prompts, planned.mix, SEED)
    traffic = run_traffic(f"http://{planned.listen}", asks, planned.mix.concurrency, board.sent)
    watched = {asyncio.create_task(child.ended(), name=f"demo-{child.name}"): child for child in children}
    tasks: list[asyncio.Task[Any]] = [
        *watched,
        asyncio.create_task(traffic, name="demo-traffic"),
        asyncio.create_task(_watch(f"http://{planned.admin}", board, show), name="demo-view"),
    ]
    try:
        done, _ = await asyncio.wait(tasks, timeout=planned.seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            sentence = await task
            if task in watched:
                raise ChildError(watched[task].with_tail(sentence))
            raise RuntimeError(f"{task.get_name()} ended unexpectedly")
    finally:
        await _cancel(tasks)


async def _watch(admin: str, board: Board, show: Callable[[Snapshot], None]) -> None:
    """Ask the sidecar once a second and show what it says."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    timeout = aiohttp.ClientTimeout(total=POLL_TIMEOUT_S)
    async with aiohttp.ClientSession(admin, timeout=timeout) as session:
        while True:
            try:
                board.rows = await ask_sidecar(session)
                board.log.update(board.rows)
                board.trouble = ""
            except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
                board.trouble = f"No present state from the sidecar: {type(error).__name__} {error}"
            board.elapsed_s = loop.time() - began
            show(board.snapshot())
            await asyncio.sleep(POLL_S)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Run `work`; True when it came to its end, False when `stop` was set first (it is cancelled then)."""
    running = asyncio.create_task(work, name="demo-work")
    stopped = asyncio.create_task(stop.wait(), name="demo-signal")
    try:
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
            return True
        return False
    finally:
        await _cancel([running, stopped])


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
