"""Tasks and cleanups do not fail silently and do not stop each other."""

from __future__ import annotations

import asyncio
import logging

import pytest

from monitor.lifecycle import Cleanups, Tasks, in_thread, repeat


async def test_a_failing_task_and_one_that_ends_too_soon_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    async def end() -> None:
        return

    tasks = Tasks()
    failing, ending = tasks.spawn("failing", fail()), tasks.forever("ending", end())
    await asyncio.wait([failing, ending])
    await asyncio.sleep(0)
    assert "task failing failed" in caplog.text
    assert "broken" in caplog.text
    assert "task ending ended although" in caplog.text


async def test_all_tasks_are_cancelled_and_awaited_without_a_complaint(caplog: pytest.LogCaptureFixture) -> None:
    ended = []

    async def wait(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    tasks = Tasks()
    for name in ("a", "b"):
        tasks.forever(name, wait(name))
    await asyncio.sleep(0)
    await tasks.cancel_all()
    assert sorted(ended) == ["a", "b"]
    assert caplog.text == ""


async def test_cleanups_run_in_reverse_and_go_on_after_one_that_fails_or_hangs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    order = []

    def step(name: str):
        async def run() -> None:
            order.append(name)
            if name == "fails":
                raise ValueError(name)
            if name == "hangs":
                await asyncio.Event().wait()

        return run

    cleanups = Cleanups()
    for name in ("first", "fails", "hangs", "last"):
        cleanups.add(name, step(name))
    await cleanups.run(0.2)
    assert order == ["last", "hangs", "fails", "first"]
    assert "hangs did not end in time" in caplog.text
    assert "fails failed" in caplog.text


async def test_a_turn_that_fails_ends_none_of_those_that_come_and_floods_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turns: list[int] = []
    done = asyncio.Event()

    async def turn() -> None:
        turns.append(1)
        if len(turns) == 5:
            done.set()
        raise ValueError("a quokka")

    task = asyncio.create_task(repeat("turning", turn, pause_s=0))
    await asyncio.wait_for(done.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert caplog.text.count("turning failed (0 more before): ValueError at test_lifecycle.py") == 1
    assert (caplog.text.count("turning failed"), "quokka" in caplog.text) == (1, False)


class Panic(BaseException):
    """What a library in Rust raises when it breaks off: no Exception."""


@pytest.mark.parametrize(("raised", "seen"), [(KeyError, KeyError), (Panic, RuntimeError), (SystemExit, RuntimeError)])
async def test_whatever_work_in_a_thread_raises_reaches_the_task_that_waits(
    raised: type[BaseException], seen: type[Exception]
) -> None:
    def work() -> None:
        raise raised("a quokka")

    with pytest.raises(seen):
        await asyncio.wait_for(in_thread("work", work), 5)
