"""One proxy worker: listens, forwards, counts, and drains when it is told to end."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import signal
import socket
from collections.abc import Coroutine
from typing import Final

from monitor.config import Config
from monitor.config.model import ProxySection
from monitor.enforcement import PolicyStore
from monitor.handoff import BoundedSender, Stats
from monitor.lifecycle import Cleanups, Tasks
from monitor.proxy.client import ClientConnection
from monitor.proxy.gate import Gate
from monitor.proxy.routes import Routes
from monitor.proxy.tap import Counts, Tap
from monitor.proxy.upstream import Pool
from monitor.sampling import RateSampler
from monitor.tls import listen_context, renew, upstream_context

log = logging.getLogger(__name__)

TICK_S: Final = 1.0
"""Seconds between two looks at the time limits and two reports of counts."""
BACKLOG: Final = 2048
HANDSHAKE_S: Final = 10.0
"""Seconds in which a client must have agreed on TLS."""
LAST_SAMPLES_S: Final = 1.0
"""Seconds that the analysis process gets, at the end, to take the samples that still wait."""


class Relay:
    """What all connections of one worker share."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: ProxySection,
        pool: Pool,
        tap: Tap,
        tasks: Tasks,
        gate: Gate | None = None,
    ) -> None:
        """gate: decides which models may answer, None when all may."""
        self.loop = loop
        self.limits = limits
        self.pool = pool
        self.routes = Routes(limits.routes)
        self.gate = gate
        self.tap = tap
        self.counts = tap.counts
        self.clients: set[ClientConnection] = set()
        self.draining = False
        self._tasks = tasks

    def holds_too_much(self, limit: int) -> bool:
        """More bytes than this are held of requests that are not decided about yet."""
        return sum(client.undecided_bytes for client in self.clients) > limit

    def spawn(self, name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """A guarded task."""
        return self._tasks.spawn(name, work)


async def run_worker(
    config: Config,
    index: int,
    listener: socket.socket,
    channel: socket.socket,
    supervisor_gone: asyncio.Event,
    policy: PolicyStore | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or the end of the supervisor, then drain.

    policy: where decisions about models are read, when they are enforced.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    counts = Counts(index)
    sender = BoundedSender(channel, loop, config.handoff.queue_bytes, config.handoff.queue_exchanges)
    sampler = RateSampler(config.sampling, config.proxy.workers, random.Random())
    pool = Pool(
        config.proxy.upstream,
        idle_s=config.proxy.pool_idle_s,
        connect_timeout_s=config.proxy.connect_timeout_s,
        tls=upstream_context(config.proxy),
        loop=loop,
    )
    tasks, cleanups = Tasks(), Cleanups()
    gate = Gate(config.adapters, policy) if config.adapters.guards else None
    relay = Relay(
        loop,
        config.proxy,
        pool,
        Tap(config.handoff, sampler, sender, counts, config.shadow.opt_out_header),
        tasks,
        gate,
    )
    tls = listen_context(config.proxy)
    server = await loop.create_server(
        lambda: ClientConnection(relay),
        sock=listener,
        backlog=BACKLOG,
        ssl=tls,
        ssl_handshake_timeout=HANDSHAKE_S if tls else None,
    )

    async def close_rest() -> None:
        pool.close()
        await sender.drained(LAST_SAMPLES_S)
        sender.report(Stats(worker=counts.report(0, sender)))
        sender.close()

    async def drain() -> None:
        await drain_clients(relay, server, config.proxy.drain_grace_s)

    cleanups.add("send the last samples", close_rest)
    cleanups.add("tasks", tasks.cancel_all)
    cleanups.add("drain streams", drain)
    tasks.forever("tick", tick(relay, sender))
    if tls:
        tasks.forever("certificate", renew(tls, config.proxy))
    gone = tasks.spawn("watch the supervisor", _stop_when(supervisor_gone, stop))
    log.info("worker %d forwards to %s", index, config.proxy.upstream)
    gc.freeze()  # what exists now stays for ever: no collection on the reply path needs to look at it again
    await stop.wait()
    gone.cancel()
    log.info("worker %d drains %d connections", index, len(relay.clients))
    await cleanups.run(config.proxy.drain_grace_s + 3)


async def tick(relay: Relay, sender: BoundedSender) -> None:
    """Enforce the time limits and report the counts, every second."""
    while True:
        await asyncio.sleep(TICK_S)
        now = relay.loop.time()
        relay.pool.expire()
        if relay.gate:
            relay.gate.refresh()
        for client in list(relay.clients):
            try:
                client.check_time(now)
            except Exception:  # one connection's failure must not end the time limits of all others
                log.exception("checking a client connection failed")
                client.transport.abort()
        sender.report(Stats(worker=relay.counts.report(len(relay.clients), sender)))


async def drain_clients(relay: Relay, server: asyncio.Server, grace_s: float) -> None:
    """Accept no more, close idle connections, give running responses `grace_s` seconds, then cut them off."""
    relay.draining = True
    server.close()
    deadline = relay.loop.time() + grace_s
    while True:
        for client in list(relay.clients):  # each time, because some were still agreeing on TLS when it began
            client.drain()
        if not relay.clients or relay.loop.time() >= deadline:
            break
        await asyncio.sleep(0.05)
    if relay.clients:
        log.warning("%d responses were still running after %g s and are cut off", len(relay.clients), grace_s)
    for client in list(relay.clients):
        client.transport.abort()
    while relay.clients:
        await asyncio.sleep(0)  # lets connection_lost run, which closes the upstream side and ends the exchange


async def _stop_when(event: asyncio.Event, stop: asyncio.Event) -> None:
    await event.wait()
    stop.set()
