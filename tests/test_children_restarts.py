"""A child that dies again and again is started again with bounded pauses, for ever."""

from __future__ import annotations

import sys
import time

import pytest

from monitor.supervisor import LONGEST_PAUSE_S, Child


@pytest.mark.parametrize("deaths", [0, 3, 10_000])
def test_the_pause_before_a_restart_grows_and_is_bounded_however_often_it_died(deaths: int) -> None:
    child = Child("short-lived", ["--version"], (), quick_deaths=deaths)
    child.start()
    assert child.process
    child.process.wait(60)
    now = time.monotonic()
    child.started = now
    child.look(now)
    assert child.restarts == 1
    assert child.not_before - now == pytest.approx(min(LONGEST_PAUSE_S, 0.2 * 2.0 ** min(deaths + 1, 10)))
    assert not child.running


def test_a_process_that_cannot_be_started_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child("missing", ["--version"], ())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nonexistent/python")
        child.start()
    assert not child.running
    assert child.not_before > time.monotonic()
    child.look(child.not_before)
    assert child.process
    assert child.process.wait(60) == 0
