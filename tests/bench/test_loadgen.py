"""The load generator lets nothing wrong pass: real sockets, real servers that answer badly."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import fastserver
import pytest
from exchanges import Ask, stream_answer
from loadgen import Job, Result, Run, connect, lateness


class OtherAnswer(fastserver.Connection):
    """Answers another question than the one asked."""

    def _answer(self, ask):
        super()._answer(replace(ask, variant=ask.variant + 1))


class LosesAnEvent(fastserver.Connection):
    """Leaves out one event of a stream."""

    def _unpaced(self, chunks):
        next(chunks)
        super()._unpaced(chunks)


class BreaksOff(fastserver.Connection):
    """Closes the connection in the middle of a stream."""

    def _unpaced(self, chunks):
        self._transport.write(next(chunks))
        self._transport.close()


async def ask_all(kind, ask: Ask, **settings) -> Result:
    loop = asyncio.get_running_loop()
    accepted = []

    def accept():
        accepted.append(kind(loop))
        return accepted[-1]

    server = await loop.create_server(accept, "127.0.0.1", 0)
    job = Job(server.sockets[0].getsockname()[1], requests=4, concurrency=2, ask=ask, patience_s=20, **settings)
    connections = [await connect(job) for _ in range(job.concurrency)]
    run = Run(job, job.asks(job.requests), list(connections))
    await (run.open_loop() if job.rate else run.closed_loop())
    for connection in [*connections, *accepted]:
        connection.close()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0)  # what was closed is told so in the next turn of the loop
    return run.result


@pytest.mark.parametrize("rewrites", [False, True])
@pytest.mark.parametrize("ask", [Ask(tokens=8), Ask(tokens=8, stream=True), Ask(tokens=8, stream=True, interval_ms=1)])
async def test_right_answers_pass(ask, rewrites):
    result = await ask_all(fastserver.Connection, ask, rewrites=rewrites)
    assert (result.requests, result.failures, result.events) == (4, 0, 4 * ask.events)


async def test_an_open_loop_sends_every_request_once():
    result = await ask_all(fastserver.Connection, Ask(tokens=8), rate=500.0, streamed=0.5, variants=3)
    assert (result.requests, result.failures, result.events) == (4, 0, 2 * 9)


@pytest.mark.parametrize("rewrites", [False, True])
@pytest.mark.parametrize(
    ("kind", "stream", "why"),
    [
        (OtherAnswer, False, "other"),
        (OtherAnswer, True, "other"),
        (BreaksOff, True, "connection closed"),
    ],
)
async def test_wrong_answers_fail(kind, stream, why, rewrites):
    result = await ask_all(kind, Ask(tokens=8, stream=stream), rewrites=rewrites)
    assert result.failures == 4
    assert all(reason.startswith(why) for reason in result.why)


async def test_a_lost_event_is_a_failure_though_the_text_is_whole():
    result = await ask_all(LosesAnEvent, Ask(tokens=8, stream=True))
    assert result.why == {"other body": 4}


async def test_a_server_that_is_not_there_is_a_failure():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BreaksOff(loop), "127.0.0.1", 0)
    job = Job(server.sockets[0].getsockname()[1], requests=3, concurrency=1, ask=Ask(tokens=8, stream=True))
    connection = await connect(job)
    server.close()
    run = Run(job, job.asks(3), [connection])
    await run.closed_loop()
    await server.wait_closed()
    assert run.result.why == {"connection closed": 1, "no connection": 2}


def test_lateness_is_measured_from_the_least_delayed_event():
    ask = Ask(tokens=3, stream=True, interval_ms=20)
    role, first, second, third, done = (len(event) for event in stream_answer(ask))
    arrivals = [
        (1.000, role + first),  # 5 ms later than the schedule says
        (1.015, role + first + second),  # on time
        (1.042, role + first + second + third - 1),  # not whole yet
        (1.043, role + first + second + third + done),  # 8 ms late
    ]
    assert lateness(ask, arrivals) == pytest.approx([5, 0, 8])
