"""Load generator: asks, checks every byte of what comes back, and notes when it came.

It is started by compare.py and analysis_rate.py as a process of its own, with one job as JSON in its argument. It
warms the connections up, says `ready`, waits for a line on standard input (so that the caller can read the clocks in
between), runs the job, and prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import cast

import httptools
import uvloop
from exchanges import DONE, Ask, answer_body, says_the_same, stream_answer


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask, how often, and how fast."""

    port: int
    requests: int
    concurrency: int
    """Connections; each asks again as soon as it has its answer. With `rate`, those opened beforehand."""
    ask: Ask
    variants: int = 1
    """Number of different prompts and answers."""
    streamed: float | None = None
    """Share of requests that are streamed; None for what `ask` says."""
    rate: float = 0.0
    """Requests per second, sent whether or not earlier ones are answered; 0 for as soon as a connection is free."""
    rewrites: bool = False
    """The proxy re-encodes what it forwards: hold the text against the right one, not the bytes."""
    patience_s: float = 120.0
    """What is not answered by then has failed."""

    def asks(self, number: int) -> list[Ask]:
        """The first `number` requests."""
        made = []
        for at in range(number):
            stream = (
                self.ask.stream if self.streamed is None else int((at + 1) * self.streamed) > int(at * self.streamed)
            )
            made.append(replace(self.ask, variant=at % self.variants, stream=stream))
        return made

    @classmethod
    def from_json(cls, text: str) -> Job:
        fields = json.loads(text)
        return cls(**{**fields, "ask": Ask(**fields["ask"])})

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(slots=True)
class Result:
    """What came back."""

    requests: int = 0
    events: int = 0
    """SSE events in right answers, `[DONE]` not counted."""
    failures: int = 0
    why: dict[str, int] = field(default_factory=dict)
    """Failures by reason."""
    wall_s: float = 0.0
    first_ms: list[float] = field(default_factory=list)
    """Time from a request to the first byte of its answer's body."""
    whole_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    """How much later than the stream's least delayed event each paced event came."""

    def fail(self, reason: str) -> None:
        self.failures += 1
        self.why[reason] = self.why.get(reason, 0) + 1

    def summary(self) -> dict[str, object]:
        """The result as JSON has it: lists of times as p50 and p99."""
        times = {name: _quantiles(getattr(self, name)) for name in ("first_ms", "whole_ms", "late_ms")}
        return {**{name: getattr(self, name) for name in ("requests", "events", "failures", "why", "wall_s")}, **times}


def _quantiles(values: list[float]) -> dict[str, float | None]:
    values.sort()
    ranks = {"p50": 0.5, "p99": 0.99}
    return {name: round(values[int(rank * len(values))], 4) if values else None for name, rank in ranks.items()}


class Run:
    """One pass over a list of requests."""

    def __init__(self, job: Job, asks: list[Ask], connections: list[Connection]) -> None:
        self.job = job
        self.result = Result()
        self._waiting = [(ask, ask.request(job.port)) for ask in reversed(asks)]
        self._idle = connections
        self._open = len(asks)
        self._ended = asyncio.Event()

    async def closed_loop(self) -> None:
        """Every connection asks again as soon as it has its answer."""
        for connection in list(self._idle):
            self._next(connection)
        await self._finish()

    async def open_loop(self) -> None:
        """Ask at the job's rate, on as many connections as that takes."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for at in range(len(self._waiting)):
            await asyncio.sleep(begun + at / self.job.rate - loop.time())
            connection = self._idle.pop() if self._idle else await connect(self.job)
            self._next(connection)
        await self._finish()

    async def _finish(self) -> None:
        begun = perf_counter()
        try:
            await asyncio.wait_for(self._ended.wait(), self.job.patience_s)
        except TimeoutError:
            for _ in range(self._open):
                self.result.fail("no answer in time")
        self.result.wall_s = perf_counter() - begun

    def _next(self, connection: Connection) -> None:
        if self._waiting:
            ask, request = self._waiting.pop()
            connection.send(self, ask, request)

    def answered(self, connection: Connection) -> None:
        """Called by a connection when its answer has ended, well or badly."""
        self._open -= 1
        self.result.requests += 1
        if self._open == 0:
            self._ended.set()
        if self.job.rate:
            self._idle.append(connection)
        else:
            self._next(connection)


class Connection(asyncio.Protocol):
    """A keep-alive connection with at most one request on its way; opened again when the proxy closes it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._run: Run | None = None
        self._transport: asyncio.Transport | None = None
        self._pending = b""
        self._reopening: asyncio.Task[object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        if self._pending:
            self._transport.write(self._pending)
            self._pending = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end("connection closed")

    def send(self, run: Run, ask: Ask, request: bytes) -> None:
        """Send a request; `run.answered` is called once."""
        self._run, self._ask = run, ask
        self._pieces: list[bytes] = []
        self._arrivals: list[tuple[float, int]] = []
        self._length = 0
        self._sent = perf_counter()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(request)
        else:
            self._pending = request
            self._reopening = asyncio.ensure_future(self._reopen())

    def close(self) -> None:
        """Send and expect no more."""
        if self._transport is not None:
            self._transport.abort()

    async def _reopen(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self, "127.0.0.1", self._job.port)
        except OSError:
            self._pending = b""
            self._end("no connection")

    def data_received(self, data: bytes) -> None:
        self._now = perf_counter()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._length += len(data)
        if not self._arrivals or self._ask.interval_ms:
            self._arrivals.append((self._now, self._length))

    def on_message_complete(self) -> None:
        body = b"".join(self._pieces)
        if self._parser.get_status_code() != 200:
            self._end(f"status {self._parser.get_status_code()}")
        elif not self._job.rewrites:
            self._end("" if body == answer_body(self._ask) else "other body")
        else:
            self._end("" if says_the_same(self._ask, body) else "other text")

    def _end(self, failure: str) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        if failure or not self._arrivals:
            run.result.fail(failure or "no body")
        else:
            run.result.events += self._ask.events
            run.result.first_ms.append((self._arrivals[0][0] - self._sent) * 1000)
            run.result.whole_ms.append((perf_counter() - self._sent) * 1000)
            if self._ask.interval_ms and self._ask.stream and not self._job.rewrites:
                run.result.late_ms += lateness(self._ask, self._arrivals)
        run.answered(self)


def lateness(ask: Ask, arrivals: list[tuple[float, int]]) -> list[float]:
    """Milliseconds that each token's event came behind the stream's schedule, which its least delayed event fixes.

    `arrivals` are (time, bytes of the body until then); an event has come when its last byte has.
    """
    offsets, ends, arrived = [], 0, iter(arrivals)
    at, length = next(arrived)
    for number, event in enumerate(stream_answer(ask)):
        ends += len(event)
        while length < ends:
            at, length = next(arrived)
        if number > 0 and event != DONE:
            offsets.append(at * 1000 - (number - 1) * ask.interval_ms)
    least = min(offsets)
    return [offset - least for offset in offsets]


async def connect(job: Job) -> Connection:
    """A new connection to the proxy."""
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_connection(lambda: Connection(job), "127.0.0.1", job.port)
    return protocol


async def main(job: Job) -> None:
    """Warm up, wait for the word, run, print."""
    connections = [await connect(job) for _ in range(job.concurrency)]
    warm = replace(job, ask=replace(job.ask, interval_ms=0.0), rate=0.0)
    await Run(warm, warm.asks(min(job.requests, 2 * job.concurrency)), connections).closed_loop()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    run = Run(job, job.asks(job.requests), connections)
    begun = perf_counter()
    await (run.open_loop() if job.rate else run.closed_loop())
    run.result.wall_s = perf_counter() - begun
    print(json.dumps(run.result.summary()), flush=True)


if __name__ == "__main__":
    uvloop.run(main(Job.from_json(sys.argv[1])))
