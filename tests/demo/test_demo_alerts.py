"""What the demo reads from the sidecar, and which alerts it takes for new."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
from aiohttp import web
from states import ALL, COLLUDING, QUIET, SINCE, row, signal

from monitor.demo.alerts import AlertLog
from monitor.records import Condition
from monitor.status.reading import ask_sidecar

BODY = {
    "time": SINCE,
    "combinations": [
        {
            "name": "a+b",
            "id": "0123456789ab",
            "served_name": "a-b",
            "is_base": False,
            "declared": True,
            "parts": [{"adapter": "a", "scale": 1.0}, {"adapter": "b", "scale": 1.0}],
            "merge": "cat",
            "requests": 7,
            "outcomes": {"refusal": 1},
            "last_sample": None,
            "signals": [
                {
                    "signal": "refusal_lost",
                    "condition": "warming_up",
                    "samples": 0,
                    "bad": 0,
                    "rate": None,
                    "lower": 0.0,
                    "upper": 1.0,
                    "baseline_rate": None,
                    "baseline_samples": 0,
                    "threshold": None,
                    "since": SINCE,
                }
            ],
        },
        {"name": "z", "served_name": "z", "is_base": False, "parts": [{"adapter": "z", "scale": 1.0}], "signals": []},
        {"name": "tiny", "served_name": "tiny", "is_base": True, "parts": [], "signals": []},
    ],
}


@pytest.fixture
async def answers() -> AsyncIterator[tuple[aiohttp.ClientSession, list[web.Response]]]:
    """A client of a server that gives the responses put into the list."""
    responses: list[web.Response] = []

    async def give(request: web.Request) -> web.Response:
        return responses.pop(0)

    app = web.Application()
    app.router.add_get("/api/v1/combinations", give)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
        yield session, responses
    await runner.cleanup()


async def test_rows_come_base_first_then_single_adapters_then_combinations(
    answers: tuple[aiohttp.ClientSession, list[web.Response]],
) -> None:
    session, responses = answers
    responses.append(web.json_response(BODY))
    rows = await ask_sidecar(session)
    assert [found.name for found in rows] == ["tiny", "z", "a+b"]
    lost = rows[2].signal("refusal_lost")
    assert lost is not None
    assert (lost.condition, lost.rate, lost.since) == (Condition.WARMING_UP, None, SINCE)


async def test_an_error_or_another_form_is_an_error(
    answers: tuple[aiohttp.ClientSession, list[web.Response]],
) -> None:
    session, responses = answers
    responses += [web.Response(status=503), web.json_response({"time": 1}), web.Response(text="no json")]
    with pytest.raises(aiohttp.ClientError):
        await ask_sidecar(session)
    for _ in range(2):
        with pytest.raises(msgspec.DecodeError):
            await ask_sidecar(session)


def test_an_alert_is_new_once_and_again_after_it_has_ended() -> None:
    log = AlertLog()
    assert [alert.combination for alert in log.update(ALL)] == ["g", "a+b", "c+d", "c+d"]
    assert log.update(ALL) == []
    assert log.update((QUIET, row("a-b", signal(), parts=("a", "b")))) == []
    assert [alert.combination for alert in log.update((COLLUDING,))] == ["a+b"]
    assert len(log.alerts) == 5


def test_an_alert_keeps_the_numbers_with_which_it_began() -> None:
    log = AlertLog()
    log.update((row("a-b", signal(bad=30, samples=30, condition=Condition.DRIFTING), parts=("a", "b")),))
    log.update((COLLUDING,))
    assert [(alert.state.samples, alert.time) for alert in log.alerts] == [(30, SINCE)]
