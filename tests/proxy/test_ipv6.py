"""The whole sidecar on IPv6 addresses: towards clients, towards the server, and on its own port."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import aiohttp
import pytest
from running_sidecar import SidecarStarter, eventually

try:
    with socket.create_server(("::1", 0), family=socket.AF_INET6):
        HAS_IPV6 = True
except OSError:
    HAS_IPV6 = False


def free_port() -> int:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as one:
        return int(one.getsockname()[1])


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Every request gets its own Host header back."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        host = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"host:"))
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(host), host))
    except asyncio.IncompleteReadError:
        pass
    writer.close()


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6 loopback address")
async def test_all_interfaces_are_those_of_ipv4_too_on_both_ports(sidecar: SidecarStarter) -> None:
    port, admin = free_port(), free_port()
    flags = ("--listen", f"[::]:{port}", "--admin", f"[::]:{admin}")
    started = await sidecar("http://127.0.0.1:9", None, *flags, wait_ready=False)
    async with aiohttp.ClientSession() as session:

        async def answers(address: str) -> int:
            try:
                async with session.get(f"http://{address}") as response:
                    return response.status
            except aiohttp.ClientConnectionError:
                return 0

        async def all_do() -> bool:
            places = (
                f"[::1]:{admin}/-/live",
                f"127.0.0.1:{admin}/-/live",
                f"[::1]:{port}/health",
                f"127.0.0.1:{port}/health",
            )
            return [await answers(place) for place in places] == [200, 200, 502, 502]

        await eventually(all_do, "answers on all interfaces", 60)
        (analysis,) = started.children("analysis")
        os.kill(analysis, signal.SIGKILL)
        await eventually(lambda: started.children("analysis") not in ([], [analysis]), "another analysis")
        await eventually(all_do, "again after a restart", 60)


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6 loopback address")
async def test_clients_server_and_scrapes_are_reached_by_ipv6(sidecar: SidecarStarter) -> None:
    server = await asyncio.start_server(answer, "::1", 0)
    upstream = f"http://[::1]:{server.sockets[0].getsockname()[1]}"
    listen, admin = f"[::1]:{free_port()}", f"[::1]:{free_port()}"
    await sidecar(upstream, None, "--listen", listen, "--admin", admin, wait_ready=False)
    async with server, aiohttp.ClientSession() as session:

        async def ready() -> bool:
            try:
                async with session.get(f"http://{admin}/-/ready") as response:
                    return response.status == 200
            except aiohttp.ClientConnectionError:
                return False

        await eventually(ready, "ready on IPv6", 60)
        async with session.get(f"http://{listen}/v1/models") as response:
            assert (response.status, await response.text()) == (200, f"Host: {listen}")
