"""Rewriting of message heads: everything passes but what belongs to one connection only (RFC 9110, 7.6.1)."""

from __future__ import annotations

from collections.abc import Iterable, Set
from http import HTTPStatus
from typing import Final

import msgspec

HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"proxy-authenticate", b"expect"}
)
"""Never forwarded. Transfer-Encoding is missing here because the framing passes as it is; `expect` is answered by the proxy."""
TOKEN_HEADER: Final = b"x-alignment-admin-token"
"""Carries the sidecar's own admin token."""
_ENDS_HERE: Final = HOP_BY_HOP | {TOKEN_HEADER}
_ONCE: Final = frozenset({b"host", b"content-length", b"transfer-encoding"})
_PROTECTED: Final = _ONCE | {b"authorization"}
"""Not dropped when a request's Connection header names them: dropping what frames the message or says where it goes would
let a client change how the server reads the bytes that follow."""
FORBIDDEN_TRAILERS: Final = (
    HOP_BY_HOP
    | _ONCE
    | {b"authorization", b"cookie", b"content-type", b"content-encoding", b"content-range", b"trailer"}
)
"""Headers that mean nothing good behind a body (RFC 9110, 6.5.1)."""

HEAD_END: Final = b"\r\n\r\n"


def fields_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes] | None:
    """Lower-case name -> value, the last one where a name is repeated; Connection's values are joined.

    None when a header occurs twice that must not: two parsers could each believe another one.
    """
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in fields:
            if lower in _ONCE:
                return None
            if lower == b"connection":
                value = fields[lower] + b"," + value
        fields[lower] = value
    return fields


def tokens_of(value: bytes) -> frozenset[bytes]:
    """Lower-case tokens of a header that lists them, such as Connection."""
    return frozenset(token.strip().lower() for token in value.split(b","))


def request_head(
    method: bytes,
    target: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    named: Set[bytes] = frozenset(),
    *,
    websocket: bool = False,
) -> bytes:
    """The head to send upstream: same order, same spelling, without hop-by-hop headers and the sidecar's own token.

    named: tokens of the Connection header, which say what else ends here.
    websocket: asks the server to switch to that protocol.
    """
    drop = _ENDS_HERE | (named - _PROTECTED) if named else _ENDS_HERE
    lines = [b"%b: %b\r\n" % header for header in headers if header[0].lower() not in drop]
    if websocket:
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, b"".join(lines))


def response_head(raw: bytes, *, drop: frozenset[bytes] = HOP_BY_HOP, close: bool = False) -> bytes:
    """The server's head, its bytes unchanged but for the dropped lines; with `close`, Connection: close is added.

    raw: the head with its final empty line.
    """
    lines = raw[: -len(HEAD_END)].split(b"\r\n")
    kept = [lines[0]]
    named: set[bytes] = set()
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"connection":
            named |= tokens_of(value)
    named -= _PROTECTED
    for line in lines[1:]:
        lower = line.partition(b":")[0].lower()
        if lower not in drop and lower not in named:
            kept.append(line)
    if close:
        kept.append(b"connection: close")
    return b"\r\n".join(kept) + HEAD_END


def error_response(
    status: int, kind: str, message: str, *, close: bool, head_only: bool = False, param: str | None = None
) -> bytes:
    """A whole response of the proxy itself, in the shape that OpenAI clients understand; `source` tells it from vLLM's.

    head_only: it answers a HEAD request, whose response has no body; param: the request's field that is at fault.
    """
    body = msgspec.json.encode(
        {"error": {"message": message, "type": kind, "param": param, "code": status, "source": "alignment-monitor"}}
    )
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{'connection: close' + chr(13) + chr(10) if close else ''}\r\n"
    )
    return head.encode("ascii") + (b"" if head_only else body)
