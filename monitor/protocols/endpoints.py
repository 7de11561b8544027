"""From a request's target to the endpoint it reaches, as a bounded set of names."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

OTHER: Final = "other"
"""Everything that generates no text."""

_TEXT: Final = {
    "/v1/chat/completions": "chat_completions",
    "/v1/chat/completions/batch": "batch",
    "/v1/completions": "completions",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
    "/inference/v1/generate": "generate",
    "/invocations": "invocations",
}
ENDPOINTS: Final = (*_TEXT.values(), OTHER)
TAPPED: Final = frozenset({"chat_completions", "completions"})
"""Endpoints whose exchanges are copied; the other text endpoints are forwarded and counted as unsupported."""


def endpoint_of(method: str, target: str) -> str:
    """Name of the endpoint that a request reaches.

    The server decodes percent-escapes, takes absolute-form targets and may strip a prefix (--root-path), so all three are
    resolved here: otherwise a client could generate text past the monitor by writing the path in another way.
    """
    if method != "POST":
        return OTHER
    known = _TEXT.get(target)
    if known:
        return known
    path = target.partition("?")[0].partition("#")[0]
    if not path.startswith("/"):
        path = "/" + path.partition("://")[2].partition("/")[2]
    path = unquote(path).rstrip("/")
    return next((name for ending, name in _TEXT.items() if path.endswith(ending)), OTHER)
