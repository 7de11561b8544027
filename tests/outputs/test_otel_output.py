"""Findings as OpenTelemetry events, received by a real OTLP/HTTP endpoint."""

from __future__ import annotations

import asyncio
import math

import pytest
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from monitor.outputs.otel import otlp_output
from monitor.records import Condition, DriftState, Finding, Part


def finding() -> Finding:
    state = DriftState("a+b", "refusal_lost", Condition.DRIFTING, 40, 38, 0.95, 0.7, 0.99, math.nan, 0, 0.2, 1000.0)
    parts = (Part("a"), Part("b", 0.5))
    return Finding("a+b", "0123456789ab", "refusal_lost", True, 1234.5, state, "linear", "abc", parts)


async def test_a_finding_reaches_the_collector_that_the_standard_variables_name(monkeypatch: pytest.MonkeyPatch):
    received: list[bytes] = []

    async def logs(request: web.Request) -> web.Response:
        received.append(await request.read())
        return web.Response(body=b"", content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/logs", logs)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    output = otlp_output()
    output.write(finding())
    await asyncio.to_thread(output.close)  # which sends what waits
    await runner.cleanup()

    request = ExportLogsServiceRequest.FromString(received[0])
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    values = {pair.key: pair.value for pair in record.attributes}
    assert record.event_name == "gen_ai.evaluation.result"
    assert record.time_unix_nano == 1_234_500_000_000
    assert values["gen_ai.evaluation.name"].string_value == "alignment.refusal_lost"
    assert values["gen_ai.evaluation.score.value"].double_value == 0.95
    assert values["alignment.combination.parts"].string_value == "a@1,b@0.5"
    assert "alignment.baseline.rate" not in values


async def test_a_collector_that_is_not_there_holds_nothing_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    output = otlp_output()
    begun = asyncio.get_running_loop().time()
    for _ in range(1000):
        output.write(finding())
    assert asyncio.get_running_loop().time() - begun < 5
    await asyncio.to_thread(output.close)
