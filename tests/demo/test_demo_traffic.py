"""The demo's clients: the plan of what they ask, and what they count."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest
from made_up_recordings import BASE, SERVED, until

from monitor.demo.recordings import Recordings
from monitor.demo.traffic import Mix, Sent, plan, run_traffic

NAMES = tuple(served["name"] for served in SERVED)


def test_two_plans_of_one_seed_ask_the_same(recordings: Recordings) -> None:
    prompts = list(recordings.prompts.values())
    first, again, other = (plan(NAMES, prompts, Mix(), seed) for seed in (1, 1, 2))
    head = list(itertools.islice(first, 200))
    assert head == list(itertools.islice(again, 200))
    assert head != list(itertools.islice(other, 200))


def test_every_served_name_has_the_same_share_and_the_mix_is_kept(recordings: Recordings) -> None:
    mix = Mix(rate=20.0, streamed=0.5, several=0.1)
    asks = list(itertools.islice(plan(NAMES, list(recordings.prompts.values()), mix, 7), 700 * len(NAMES)))
    assert set(Counter(ask.served for ask in asks).values()) == {700}
    strata = Counter(ask.prompt.stratum for ask in asks)
    for stratum, weight in mix.strata.items():
        assert strata[stratum] / len(asks) == pytest.approx(weight, abs=0.03)
    assert sum(ask.stream for ask in asks) / len(asks) == pytest.approx(0.5, abs=0.03)
    assert sum(ask.n == 2 for ask in asks) / len(asks) == pytest.approx(0.1, abs=0.02)
    assert sum(ask.wait_s for ask in asks) / len(asks) == pytest.approx(1 / 20, rel=0.1)


def test_a_stratum_without_prompts_is_left_out(recordings: Recordings) -> None:
    prompts = [prompt for prompt in recordings.prompts.values() if prompt.stratum == "ordinary"]
    asks = itertools.islice(plan(NAMES, prompts, Mix(), 1), 50)
    assert {ask.prompt.stratum for ask in asks} == {"ordinary"}


async def test_traffic_reaches_every_served_name_until_it_is_cancelled(
    recordings: Recordings, recorded_url: str
) -> None:
    sent = Sent()
    asks = plan(NAMES, list(recordings.prompts.values()), Mix(rate=2000.0), 3)
    running = asyncio.create_task(run_traffic(recorded_url, asks, 8, sent))
    await until(lambda: sent.requests >= 5 * len(NAMES))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sent.failed == 0


async def test_refused_requests_are_counted_and_end_nothing(recordings: Recordings, recorded_url: str) -> None:
    sent = Sent()
    asks = plan((BASE, "stranger"), list(recordings.prompts.values()), Mix(rate=2000.0), 3)
    running = asyncio.create_task(run_traffic(recorded_url, asks, 4, sent))
    await until(lambda: sent.requests >= 60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sent.failed >= 25
    assert sent.last_failure == "HTTP 404 from stranger"


async def test_a_server_that_is_not_there_is_counted(recordings: Recordings, unused_port: int) -> None:
    sent = Sent()
    asks = plan((BASE,), list(recordings.prompts.values()), Mix(rate=500.0), 3)
    running = asyncio.create_task(run_traffic(f"http://127.0.0.1:{unused_port}", asks, 4, sent))
    await until(lambda: sent.failed >= 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert "ClientConnectorError" in sent.last_failure
