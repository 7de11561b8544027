"""The copied bytes of a body as plain bytes: content codings are undone on the copy only, within a bound."""

from __future__ import annotations

import zlib
from typing import Final

MAX_DECODED_BYTES: Final = 8 * 1024 * 1024
"""A compressed body is decoded up to here: a small copy must not become a large one."""

_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
_BARE: Final = -zlib.MAX_WBITS
"""Deflate without the zlib frame, which some servers send under the name `deflate`."""


class DecodeError(ValueError):
    """A body could not be read; `reason` is one word of a bounded set, used as a metric label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def plain_body(body: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding of gzip or deflate; a body cut short gives what can be read of it.

    Raises DecodeError: "encoding" for other codings and damaged data, "too_large" for what decodes beyond the bound.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise DecodeError("encoding")
    try:
        return _inflate(body, _GZIP_OR_ZLIB)
    except zlib.error as error:
        if encoding != "deflate":
            raise DecodeError("encoding") from error
    try:
        return _inflate(body, _BARE)
    except zlib.error as error:
        raise DecodeError("encoding") from error


def _inflate(body: bytes, window: int) -> bytes:
    """All members of the body, one after the other."""
    pieces: list[bytes] = []
    room = MAX_DECODED_BYTES
    while body:
        member = zlib.decompressobj(window)
        piece = member.decompress(body, room + 1)
        room -= len(piece)
        if room < 0:
            raise DecodeError("too_large")
        pieces.append(piece)
        body = member.unused_data
    return b"".join(pieces)
