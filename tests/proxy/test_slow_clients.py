"""What many slow clients of a fast server cost the worker in memory. Memory is no timing: it is asserted, and told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from running_sidecar import SidecarStarter, eventually
from scripted_upstream import Peer, ScriptedUpstream, plain
from wire import Wire, post

STREAMS = 100
LIMIT_BYTES = 64 << 20
"""More than at rest, whatever the server sends."""
EVENT = b"data: " + bytes(1 << 16).replace(b"\0", b"x") + b"\n\n"
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
EVENTS = 400
"""25 MiB a stream: more than the sockets on the way hold."""
WITHIN_S = 60.0


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


async def test_a_hundred_clients_that_do_not_read_a_fast_server_cost_less_than_64_mib(
    sidecar: SidecarStarter, scripted: ScriptedUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        if "completions" not in (await peer.read_request()).line:
            await peer.send(plain(b"{}"))  # the monitor's own look at the list of models
            return
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(EVENTS):
            await peer.send(CHUNK)
            sent += 1
        await peer.send(b"0\r\n\r\n")

    scripted.script = script
    running = await sidecar(scripted.url)
    (pid,) = running.children("worker")
    at_rest = resident_bytes(pid)
    highest = 0

    async def stands_still() -> bool:
        nonlocal highest
        before = sent
        for _ in range(20):
            highest = max(highest, resident_bytes(pid))
            await asyncio.sleep(0.05)
        return 0 < sent == before

    wires = [await Wire.open(running.port, receive_buffer=65536) for _ in range(STREAMS)]
    try:
        for wire in wires:
            await wire.send(post(b'{"model": "base"}'))
        await eventually(stands_still, "the server gets rid of nothing more", WITHIN_S)
        assert sent < STREAMS * EVENTS / 2, "the server is held back"
        for wire in wires[:5]:  # one that reads again gets every byte
            await wire.read_until(b"\r\n\r\n")
            for _ in range(EVENTS):
                assert await wire.exactly(len(CHUNK)) == CHUNK
            highest = max(highest, resident_bytes(pid))
            assert await wire.exactly(5) == b"0\r\n\r\n"
    finally:
        for wire in wires:
            wire.reset()
    with capsys.disabled():
        print(
            f"\n  {STREAMS} slow clients: {(highest - at_rest) / 2**20:.1f} MiB above the {at_rest / 2**20:.1f} MiB at rest",
            end="",
        )
    assert highest - at_rest < LIMIT_BYTES
