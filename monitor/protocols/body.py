"""The copied bytes of a body as plain bytes: content codings are undone on the copy only, within a bound."""

from __future__ import annotations

import zlib
from typing import Final

MAX_DECODED_BYTES: Final = 8 * 1024 * 1024
"""A compressed body is decoded up to here: a small copy must not become a large one."""


class DecodeError(ValueError):
    """A body could not be read; `reason` is one word of a bounded set, used as a metric label."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def plain_body(body: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding of gzip or deflate; a body cut short gives what can be read of it.

    Raises DecodeError("encoding") for other codings and damaged data.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise DecodeError("encoding")
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, MAX_DECODED_BYTES)
    except zlib.error as error:
        raise DecodeError("encoding") from error
