"""A server that answers with the bytes the test gives, when the test says so, and breaks off wherever it wants.

A script is a coroutine that gets one accepted connection:

    async def script(peer: Peer) -> None:
        request = await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

It is run again for the next request on the same connection until the client closes or the script closes or resets.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

LIMIT_S = 20.0
"""No wait of a test is longer."""


class Gone(Exception):
    """The client closed its connection."""


@dataclass
class Seen:
    """One request as it arrived: every byte."""

    head: bytes
    body: bytes
    raw_body: bytes
    """With its chunk framing."""

    @property
    def line(self) -> str:
        """Method, target and version."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names as written, in order."""
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Peer:
    """One accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: ScriptedUpstream) -> None:
        self._reader = reader
        self._writer = writer
        self._upstream = upstream
        self.closed = False

    async def read_head(self) -> bytes:
        """The head of the next request with its empty line. Raises Gone."""
        try:
            return await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Gone from error

    async def read_request(self) -> Seen:
        """The next request, with its whole body. Raises Gone."""
        seen = Seen(await self.read_head(), b"", b"")
        try:
            if (length := seen.header("content-length")) is not None:
                seen.body = seen.raw_body = await self._reader.readexactly(int(length))
            elif (seen.header("transfer-encoding") or "").lower().endswith("chunked"):
                await self._read_chunks(seen)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Gone from error
        self._upstream.seen.append(seen)
        return seen

    async def _read_chunks(self, seen: Seen) -> None:
        raw, body = bytearray(), bytearray()
        while True:
            line = await self._reader.readuntil(b"\r\n")
            raw += line
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            chunk = await self._reader.readexactly(size + 2)
            raw += chunk
            body += chunk[:-2]
        while (line := await self._reader.readuntil(b"\r\n")) != b"\r\n":
            raw += line
        seen.body, seen.raw_body = bytes(body), bytes(raw + line)

    async def read_some(self, most: int = 65536) -> bytes:
        """Whatever comes next, b"" at the end."""
        try:
            return await self._reader.read(most)
        except ConnectionError:
            return b""

    async def send(self, data: bytes) -> None:
        """Write bytes and wait until the kernel has most of them. Raises Gone."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError as error:
            raise Gone from error

    async def wait_gone(self) -> None:
        """Return when the client has closed or reset the connection."""
        while await self.read_some():
            pass

    def close(self) -> None:
        """Close after what was sent."""
        self.closed = True
        self._writer.close()

    def reset(self) -> None:
        """Break off with a TCP reset."""
        self.closed = True
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


def plain(body: bytes, *, status: str = "200 OK", headers: bytes = b"content-type: application/json\r\n") -> bytes:
    """A whole response with a length."""
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status.encode(), headers, len(body), body)


async def echo(peer: Peer) -> None:
    """Answer a request with its own body."""
    await peer.send(plain((await peer.read_request()).body))


@dataclass
class ScriptedUpstream:
    """Listens on a free loopback port, or on a Unix socket, with or without TLS."""

    script: Script = echo
    unix_path: Path | None = None
    tls: ssl.SSLContext | None = None
    seen: list[Seen] = field(default_factory=list)
    """Requests read so far."""
    connections: int = 0
    """Connections accepted so far."""
    open: int = 0
    """Connections open now."""
    port: int = 0
    errors: list[BaseException] = field(default_factory=list)
    """What scripts raised."""
    _server: asyncio.Server | None = None
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """What the sidecar is given as its upstream."""
        if self.unix_path:
            return f"unix:{self.unix_path}"
        return f"{'https' if self.tls else 'http'}://{'localhost' if self.tls else '127.0.0.1'}:{self.port}"

    async def __aenter__(self) -> Self:
        if self.unix_path:
            self._server = await asyncio.start_unix_server(self._accept, self.unix_path, limit=1 << 20)
        else:
            self._server = await asyncio.start_server(
                self._accept, "127.0.0.1", self.port, ssl=self.tls, limit=1 << 20, reuse_address=True
            )
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server:
            self._server.close()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if kind is None and self.errors:
            raise self.errors[0]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="scripted connection")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        peer = Peer(reader, writer, self)
        try:
            while not peer.closed:
                await self.script(peer)
        except Gone:
            pass
        except Exception as error:  # noqa: BLE001 - a script's own failure fails the test at its end
            self.errors.append(error)
        finally:
            self.open -= 1
            writer.transport.abort()
