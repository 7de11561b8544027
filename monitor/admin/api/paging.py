"""Pages that stay in order while entries come and go: a page begins behind a key, not behind a number of entries."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from aiohttp import web

T = TypeVar("T")
Key = tuple[int | str, ...]


def page(entries: Sequence[T], key: Callable[[T], Key], limit: int, cursor: str) -> tuple[list[T], str | None]:
    """Up to `limit` entries behind the cursor, and the cursor of the next page, None on the last.

    entries: in ascending order of `key`, whose values differ. Raises HTTPNotFound for a cursor that names no place in it.
    """
    behind = read_cursor(cursor) if cursor else None
    try:
        left = [one for one in entries if key(one) > behind] if behind is not None else list(entries)
    except TypeError:
        raise web.HTTPNotFound(text="this cursor belongs to another list") from None
    found = left[:limit]
    return found, write_cursor(key(found[-1])) if len(left) > limit else None


def write_cursor(key: Key) -> str:
    """A key as callers get it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def read_cursor(cursor: str) -> Key:
    """The key in a cursor. Raises HTTPNotFound."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=Key)
    except (binascii.Error, ValueError) as error:
        raise web.HTTPNotFound(text="this cursor is none of ours") from error
