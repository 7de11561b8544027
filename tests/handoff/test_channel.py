"""The hand-off over a real socket: it never blocks, is bounded, and counts what it drops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from monitor.handoff import BoundedSender, Inbox, Stats
from monitor.proxy.tap import Counts
from monitor.records import Ending, Exchange
from monitor.telemetry.counts import SupervisorReport

LIMIT_S = 20.0


def exchange(number: int, size: int = 100) -> Exchange:
    return Exchange(
        started=float(number), method="POST", target="/", status=200, ending=Ending.COMPLETE, inclusion=1.0,
        request=b"q" * size, response=b"%d" % number * size, request_bytes=size, response_bytes=size,
        request_encoding="", response_type="", response_encoding="", first_byte_s=0.0, duration_s=0.0,
    )  # fmt: skip


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield near, far
    near.close()
    far.close()


async def received(inbox: Inbox, count: int, reports: list[Stats] | None = None) -> list[Exchange]:
    """So many exchanges, when they have arrived."""
    found: list[Exchange] = []
    async with asyncio.timeout(LIMIT_S):
        while len(found) < count:
            await inbox.wait(1.0)
            found += inbox.take(7)
            stats = inbox.take_stats()
            if reports is not None:
                reports += stats
    return found


async def test_small_and_large_exchanges_arrive_in_order(ends: tuple[socket.socket, socket.socket]) -> None:
    loop = asyncio.get_running_loop()
    sender, inbox = BoundedSender(ends[0], loop, 1 << 26, 10_000), Inbox(loop, 10_000, 1 << 26)
    inbox.add_channel(ends[1])
    sent = [exchange(number, (10, 20_000, 200_000, 30_000)[number % 4]) for number in range(120)]
    assert all(sender.offer(one) for one in sent)
    assert await received(inbox, len(sent)) == sent
    assert (sender.queued_exchanges, sender.queued_bytes, inbox.lost) == (0, 0, 0)
    assert not sender.dropped
    sender.close()
    inbox.close()


async def test_without_a_reader_it_drops_at_its_bound_counts_and_goes_on_later(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    loop = asyncio.get_running_loop()
    sender = BoundedSender(ends[0], loop, 1_000_000, 50)
    accepted = []
    for number in range(500):
        if sender.offer(exchange(number, 5000)):
            accepted.append(float(number))
        sender.flush()  # never blocks
        assert sender.queued_bytes <= 1_000_000
        assert sender.queued_exchanges <= 50
    sender.report(Stats(supervisor=SupervisorReport(1, 1)))
    sender.report(Stats(supervisor=SupervisorReport(7, 7)))
    assert sender.dropped["queue_full"] == 500 - len(accepted) > 300
    inbox = Inbox(loop, 10_000, 1 << 26)
    inbox.add_channel(ends[1])
    reports: list[Stats] = []
    assert [one.started for one in await received(inbox, len(accepted), reports)] == accepted
    assert [stats.supervisor for stats in reports] == [SupervisorReport(7, 7)]  # the latest, once
    sender.close()
    inbox.close()


async def test_bytes_are_bounded_as_well(ends: tuple[socket.socket, socket.socket]) -> None:
    sender = BoundedSender(ends[0], asyncio.get_running_loop(), 300_000, 10_000)
    kept = sum(sender.offer(exchange(number, 30_000)) for number in range(50))
    assert kept < 10
    assert sender.dropped == {"queue_bytes": 50 - kept}
    assert sender.queued_bytes <= 300_000
    await sender.drained(0.0)
    assert sender.dropped["shutdown"] + sender.dropped["queue_bytes"] <= 50
    sender.close()


async def test_a_full_inbox_stops_reading_and_reads_on_when_it_is_emptied(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    loop = asyncio.get_running_loop()
    sender, inbox = BoundedSender(ends[0], loop, 1 << 26, 10_000), Inbox(loop, 100, 1 << 26)
    inbox.add_channel(ends[1])
    sent = [exchange(number, 2000) for number in range(2000)]
    assert all(sender.offer(one) for one in sent)
    async with asyncio.timeout(LIMIT_S):
        while inbox.waiting < 100:
            await inbox.wait(0.01)
            await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    assert inbox.waiting < 100 + 16 * 32  # one turn of reading on top
    assert await received(inbox, len(sent)) == sent
    sender.close()
    inbox.close()


async def test_while_it_rests_it_leaves_with_the_kernel_what_a_successor_would_read(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    loop = asyncio.get_running_loop()
    sender, inbox = BoundedSender(ends[0], loop, 1 << 26, 10_000), Inbox(loop, 100, 1 << 26)
    inbox.add_channel(ends[1])
    resting = asyncio.create_task(inbox.rest(60.0))
    await asyncio.sleep(0)
    assert all(sender.offer(exchange(number)) for number in range(5))
    sender.flush()
    for _ in range(20):
        await asyncio.sleep(0)
    assert inbox.waiting == 0
    resting.cancel()  # as at the shutdown: what is left is read
    assert [one.started for one in await received(inbox, 5)] == [0.0, 1.0, 2.0, 3.0, 4.0]
    ends[0].close()
    await inbox.wait(1.0)
    await inbox.rest(0.0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not inbox.damaged
    inbox.close()


async def test_damage_on_the_channel_is_counted_and_the_next_exchange_is_read(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    loop = asyncio.get_running_loop()
    inbox = Inbox(loop, 100, 1 << 26)
    inbox.add_channel(ends[1])
    for datagram in (b"Zxx", b"B\xff\xff\xff\xff", b"F1", b"R\x00", b"B\x00\x00\x00\x01x"):
        ends[0].send(datagram)
    sender = BoundedSender(ends[0], loop, 1 << 20, 10)
    sender.offer(exchange(1))
    assert (await received(inbox, 1))[0].started == 1.0
    assert inbox.damaged == {"unknown_frame": 1, "damaged_frame": 4}
    sender.close()
    inbox.close()


async def test_a_channel_whose_other_end_is_gone_costs_the_exchanges_on_it_and_nothing_else(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    sender = BoundedSender(ends[0], asyncio.get_running_loop(), 1 << 26, 1000)
    ends[1].close()
    for number in range(10):
        assert sender.offer(exchange(number, 100))
    assert sender.offer(exchange(11, 200_000))
    sender.flush()
    assert sender.dropped == {"channel_error": 11}
    assert sender.queued_exchanges == 0
    sender.close()


@pytest.mark.parametrize("name", ["a", "support-de+formal-tone", "ü" * 250])
async def test_a_report_arrives_however_many_combinations_were_refused(
    ends: tuple[socket.socket, socket.socket], name: str
) -> None:
    loop = asyncio.get_running_loop()
    sender, inbox = BoundedSender(ends[0], loop, 1 << 20, 100), Inbox(loop, 100, 1 << 20)
    inbox.add_channel(ends[1])
    counts = Counts(0)
    for number in range(5000):
        for _ in range(2):
            counts.block("unvalidated", f"{name}{number}")
    report = counts.report(1, sender)
    sender.report(Stats(worker=report))
    sender.flush()
    await inbox.wait(LIMIT_S)
    assert inbox.take_stats() == [Stats(worker=report)]
    assert sum(report.blocked.values()) == 10_000
    assert len(report.blocked) > 60
    sender.close()
    inbox.close()
