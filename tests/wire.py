"""A client that sends and reads exact bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from scripted_upstream import LIMIT_S

HOP_BY_HOP = {"connection", "keep-alive"}


@dataclass
class Answer:
    """One response as it arrived."""

    head: bytes
    raw_body: bytes
    """With its chunk framing."""
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    @property
    def lines(self) -> list[str]:
        """Status line and headers but hop-by-hop, as written."""
        return [
            line
            for line in self.head.decode("latin-1").split("\r\n")
            if line.partition(":")[0].lower() not in HOP_BY_HOP
        ]

    def header(self, name: str) -> str | None:
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name:
                return value.strip()
        return None


class Wire:
    """One client connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, receive_buffer: int = 0) -> Wire:
        """Connect; with a small receive buffer when given."""
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=raw, limit=receive_buffer or 1 << 20))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(LIMIT_S):
            await self.writer.drain()

    async def read_until(self, end: bytes) -> bytes:
        async with asyncio.timeout(LIMIT_S):
            return await self.reader.readuntil(end)

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(LIMIT_S):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """Everything until the end. Raises ConnectionResetError when the end is a reset."""
        async with asyncio.timeout(LIMIT_S):
            return await self.reader.read(-1)

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next response, framed as it says."""
        answer = Answer(await self.read_until(b"\r\n\r\n"), b"", b"")
        if head_only or answer.status < 200 or answer.status in (204, 304):
            return answer
        if (length := answer.header("content-length")) is not None:
            answer.raw_body = answer.body = await self.exactly(int(length))
        elif (answer.header("transfer-encoding") or "").lower().endswith("chunked"):
            await self._chunks(answer)
        else:
            answer.raw_body = answer.body = await self.rest()
        return answer

    async def _chunks(self, answer: Answer) -> None:
        raw, body = bytearray(), bytearray()
        size = -1
        while size:
            line = await self.read_until(b"\r\n")
            raw += line
            size = int(line.split(b";")[0], 16)
            if size:
                chunk = await self.exactly(size + 2)
                raw += chunk
                body += chunk[:-2]
        while (line := await self.read_until(b"\r\n")) != b"\r\n":
            raw += line
        answer.raw_body, answer.body = bytes(raw + line), bytes(body)

    def reset(self) -> None:
        """Break off with a TCP reset."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


async def ask(port: int, data: bytes, *, head_only: bool = False) -> Answer:
    """One request on a connection of its own."""
    async with await Wire.open(port) as wire:
        await wire.send(data)
        return await wire.answer(head_only=head_only)


def get(path: str = "/v1/models", extra: bytes = b"") -> bytes:
    """A GET request."""
    return b"GET %b HTTP/1.1\r\nHost: test\r\n%b\r\n" % (path.encode(), extra)


def post(body: bytes, path: str = "/v1/chat/completions", extra: bytes = b"") -> bytes:
    """A POST request with a length."""
    return b"POST %b HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b" % (
        path.encode(), extra, len(body), body,
    )  # fmt: skip
