"""Every exchange is accounted for: seen = sampled + skipped, for every endpoint."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
from running_worker import WorkerStarter
from scripted_upstream import Peer, ScriptedUpstream, plain
from wire import Wire, get, post

from monitor.telemetry.counts import WorkerReport


def assert_accounts(report: WorkerReport) -> None:
    """seen = sampled + skipped, whatever was asked."""
    accounted = Counter(report.sampled)
    for key, count in report.skipped.items():
        accounted[key.split(" ")[0]] += count
    assert accounted == Counter(report.seen)
    assert sum(report.endings.values()) == sum(report.seen.values())


ASKED = (
    "/v1/chat/completions", "/v1/completions", "/v1/chat/completions/batch", "/v1/responses", "/v1/messages",
    "/inference/v1/generate", "/invocations", "/v1/embeddings", "/v1/models", "/%761/completions?x=1",
)  # fmt: skip


async def test_a_call_that_changes_the_server_is_handed_on_whatever_the_sampling(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    sampling = {"rate": 0.0, "minimum_per_hour": 0}
    running = worker(scripted.url, {"routes": {"open": ["*"]}}, sampling=sampling)
    body = b'{"lora_name": "support", "lora_path": "/adapters/support", "model": "x"}'
    async with await Wire.open(running.port) as wire:
        for request in (post(b'{"model": "x"}'), post(body, "/v1/load_lora_adapter"), post(body)):
            await wire.send(request)
            await wire.answer()
    exchange = await running.exchange()
    assert (exchange.target, exchange.status, exchange.request) == ("/v1/load_lora_adapter", 200, body)
    report = await running.stop()
    assert report.sampled == {"admin": 1}
    assert_accounts(report)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
async def test_every_endpoint_is_seen_and_either_sampled_or_skipped_with_a_reason(
    worker: WorkerStarter, scripted: ScriptedUpstream, rate: float
) -> None:
    running = worker(scripted.url, sampling={"rate": rate, "minimum_per_hour": 2})
    async with await Wire.open(running.port) as wire:
        for number in range(50):
            for path in ASKED:
                await wire.send(post(b'{"model": "m%d"}' % (number % 3), path))
                await wire.answer()
            await wire.send(get())
            await wire.answer()
    report = await running.stop()
    assert_accounts(report)
    assert sum(report.seen.values()) == 50 * (len(ASKED) + 1)
    assert len(running.exchanges()) == sum(report.sampled.values())
    assert report.skipped["other not_text"] == 50 * 3


async def test_a_low_rate_keeps_the_hourly_minimum_of_each_model_and_the_inclusion_of_each_exchange(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = worker(
        scripted.url, sampling={"rate": 0.1, "minimum_per_hour": 20, "combinations": {"never": {"rate": 0}}}
    )
    async with await Wire.open(running.port) as wire:
        for number in range(1200):
            model = (b"often", b"often", b"never")[number % 3]
            await wire.send(post(b'{"messages": [], "model": "%b", "n": %d}' % (model, number)))
            assert (await wire.answer()).status == 200
        await wire.send(post(b'{"model": "seldom"}'))
        await wire.answer()
    report = await running.stop()
    assert_accounts(report)
    kept = running.exchanges()
    certain = Counter(one.request.split(b'"model": "')[1].split(b'"')[0] for one in kept if one.inclusion == 1)
    assert certain == {b"often": 20, b"never": 20, b"seldom": 1}
    by_chance = [one for one in kept if one.inclusion != 1]
    assert {one.inclusion for one in by_chance} == {0.1}
    assert 40 <= len(by_chance) <= 125  # 780 at 0.1: beyond five standard deviations on either side
    assert all(b'"often"' in one.request for one in by_chance)


async def test_a_large_request_is_decided_from_its_beginning_and_copied_up_to_the_bound(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = worker(
        scripted.url,
        handoff={"request_copy_bytes": 100_000, "response_copy_bytes": 1000},
        sampling={"rate": 0, "minimum_per_hour": 0, "combinations": {"kept": {"rate": 1}}},
    )
    bodies = [b'{"model": "%b", "prompt": "%b"}' % (model, b"x" * 300_000) for model in (b"kept", b"left")]
    async with await Wire.open(running.port) as wire:
        for body in bodies:
            await wire.send(post(body))
            assert (await wire.answer()).body == body
    report = await running.stop()
    assert (report.sampled, report.skipped) == ({"chat_completions": 1}, {"chat_completions not_sampled": 1})
    (exchange,) = running.exchanges()
    assert (exchange.request, exchange.response) == (bodies[0][:100_000], bodies[0][:1000])
    assert (exchange.request_bytes, exchange.response_bytes) == (len(bodies[0]), len(bodies[0]))


async def test_a_rate_holds_for_its_name_however_a_client_writes_it(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    rates = {"größe ✓": {"rate": 1}, 'org/"x"': {"rate": 1}}
    running = worker(scripted.url, sampling={"rate": 0, "minimum_per_hour": 0, "combinations": rates})
    written = [
        json.dumps({"messages": ['"model": "x"'], "model": name}, ensure_ascii=escaped)
        for name in rates
        for escaped in (True, False)
    ]
    written += [r'{"model": "org\/\"x\""}', r'{"model": "\ud800"}', '{"model": "other"}']
    async with await Wire.open(running.port) as wire:
        for text in written:
            await wire.send(post(text.encode()))
            await wire.answer()
    report = await running.stop()
    assert [one.request.decode() for one in running.exchanges()] == written[:5]
    assert_accounts(report)


async def test_what_identifies_an_exchange_is_taken_from_its_headers(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = worker(scripted.url)
    extra = b"X-Request-Id: r1\r\nContent-Encoding:  GZIP \r\nX-Amzn-SageMaker-Adapter-Identifier: alpha\r\n"
    async with await Wire.open(running.port) as wire:
        await wire.send(post(b"{}", "/v1/completions?a=b", extra))
        await wire.answer()
    exchange = await running.exchange()
    assert (exchange.method, exchange.target, exchange.status) == ("POST", "/v1/completions?a=b", 200)
    assert (exchange.request_id, exchange.request_encoding, exchange.adapter_header) == ("r1", "gzip", "alpha")
    assert exchange.response_type == "application/json"
    assert 0 <= exchange.first_byte_s <= exchange.duration_s < 20


async def test_the_added_latency_of_every_answer_is_counted_once(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        whole = plain((await peer.read_request()).body)
        if len(scripted.seen) == 1:
            await peer.send(whole)
            return
        head, end, body = whole.partition(b"\r\n\r\n")
        await peer.send(head + end)
        await asyncio.sleep(0.05)
        await peer.send(body)

    scripted.script = script
    running = worker(scripted.url)
    async with await Wire.open(running.port) as wire:
        await wire.send(post(b"in one piece") + post(b"its head first") + post(b"its head first"))
        for _ in range(3):
            await wire.answer()
    report = await running.stop()
    assert sum(report.latency_buckets) == 3
