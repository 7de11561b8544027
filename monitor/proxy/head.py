"""Rewriting of message heads: everything passes but what belongs to one connection only (RFC 9110, 7.6.1)."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import msgspec

HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"proxy-authenticate", b"expect"}
)
"""Never forwarded. Transfer-Encoding is missing here because the framing passes as it is; `expect` is answered by the proxy."""

HEAD_END: Final = b"\r\n\r\n"


def connection_tokens(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """Lower-case tokens of all Connection headers: names of further headers that end here, close, keep-alive, upgrade."""
    tokens: set[bytes] = set()
    for name, value in headers:
        if name.lower() == b"connection":
            tokens.update(token.strip().lower() for token in value.split(b","))
    return tokens


def request_head(method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]], tokens: set[bytes]) -> bytes:
    """The head to send upstream: same order, same spelling, without hop-by-hop headers.

    A header that Connection names is dropped as well, except those that frame the message or say where it goes:
    dropping these would let a client change how the server reads the bytes that follow.
    """
    named = tokens - {b"content-length", b"transfer-encoding", b"host", b"authorization"}
    parts = [method.encode("ascii"), b" ", target, b" HTTP/1.1\r\n"]
    for name, value in headers:
        lower = name.lower()
        if lower in HOP_BY_HOP or lower in named:
            continue
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


def response_head(raw: bytes, *, drop: frozenset[bytes] = HOP_BY_HOP, close: bool = False) -> bytes:
    """The server's head, its bytes unchanged but for the dropped lines; with `close`, Connection: close is added.

    raw: the head with its final empty line.
    """
    lines = raw[: -len(HEAD_END)].split(b"\r\n")
    kept = [lines[0]]
    named: set[bytes] = set()
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"connection":
            named.update(token.strip().lower() for token in value.split(b","))
    named -= {b"content-length", b"transfer-encoding"}
    for line in lines[1:]:
        lower = line.partition(b":")[0].strip().lower()
        if lower not in drop and lower not in named:
            kept.append(line)
    if close:
        kept.append(b"connection: close")
    return b"\r\n".join(kept) + HEAD_END


def error_response(status: int, kind: str, message: str, *, close: bool) -> bytes:
    """A whole response of the proxy itself, in the shape that OpenAI clients understand; `source` tells it from vLLM's."""
    body = msgspec.json.encode(
        {"error": {"message": message, "type": kind, "param": None, "code": status, "source": "alignment-monitor"}}
    )
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{'connection: close' + chr(13) + chr(10) if close else ''}\r\n"
    )
    return head.encode("ascii") + body
