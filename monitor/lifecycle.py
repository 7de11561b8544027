"""Tasks that are named, owned and guarded, and an ordered shutdown under one time budget."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, NoReturn, ParamSpec, TypeVar

from monitor.telemetry.logs import Repeats, where_it_failed

log = logging.getLogger(__name__)

PAUSE_S: Final = 1.0
"""Seconds between a turn that failed and the next."""

P = ParamSpec("P")
T = TypeVar("T")


class Tasks:
    """Owns background tasks: the failure of any, and the end of one that should run for ever, are logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run work that ends by itself."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def forever(self, name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run work that ends only by cancellation."""
        task = self.spawn(name, work)
        task.add_done_callback(self._ended_too_soon)
        return task

    async def cancel_all(self) -> None:
        """Cancel what still runs and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task %s failed", task.get_name(), exc_info=error)

    def _ended_too_soon(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            log.error("task %s ended although it should run until the end", task.get_name())


class Cleanups:
    """Named steps of the shutdown, run in reverse order of their registration."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], Awaitable[None]]]] = []

    def add(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        """Register a step; what is set up later is taken down first."""
        self._steps.append((name, step))

    async def run(self, budget_s: float) -> None:
        """Run all steps within one budget; a step that fails or is late is logged and does not stop the others."""
        deadline = asyncio.get_running_loop().time() + budget_s
        for name, step in reversed(self._steps):
            left = max(0.1, deadline - asyncio.get_running_loop().time())
            try:
                async with asyncio.timeout(left):
                    await step()
            except TimeoutError:
                log.warning("shutdown: %s did not end in time", name)
            except Exception:  # one step's failure must not keep the others from running
                log.exception("shutdown: %s failed", name)
        self._steps.clear()


async def repeat(name: str, turn: Callable[[], Awaitable[None]], pause_s: float = PAUSE_S) -> NoReturn:
    """One turn after the other, for ever. A turn waits by itself; one that fails is logged, now and then, and ends none of those
    that come."""
    repeats = Repeats()
    while True:
        try:
            await turn()
        except Exception as error:  # noqa: BLE001  # without a message, which may hold text from outside
            left_out = repeats.allow(name, time.monotonic())
            if left_out is not None:
                log.error("%s failed (%d more before): %s", name, left_out, where_it_failed(error))
            await asyncio.sleep(pause_s)


async def in_thread(name: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run work in a thread of this name that does not keep the process from ending, as the executor's threads would."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # there is a result when there is no error

    def run() -> None:
        result: T | None = None
        error: Exception | None = None
        try:
            result = work(*args, **kwargs)
        except Exception as raised:  # noqa: BLE001  # handed to the task that waits
            error = raised
        except BaseException as raised:  # noqa: BLE001  # a panic of a library in Rust, for one; a task would not survive it
            error = RuntimeError(f"{name}: {type(raised).__name__}")
            error.__cause__ = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
