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
TAPPED: Final = frozenset(_TEXT.values())
"""Endpoints whose exchanges are copied."""
_RESPONSES: Final = "/v1/responses"
_CANCEL: Final = "/cancel"


def endpoint_of(method: str, target: str) -> str:
    """Name of the endpoint that a request reaches.

    The server decodes percent-escapes, takes absolute-form targets and may strip a prefix (--root-path), so all three are
    resolved here: otherwise a client could generate text past the monitor by writing the path in another way.
    """
    if method == "POST":
        known = _TEXT.get(target)
        if known:
            return known
        path = plain_path(target)
        known = next((name for ending, name in _TEXT.items() if path.endswith(ending)), None)
        if known:
            return known
    return _TEXT[_RESPONSES] if fetches_response(method, target) else OTHER


def fetches_response(method: str, target: str) -> bool:
    """True for what concerns a stored response instead of asking for one: GET /v1/responses/{id} and POST .../cancel."""
    if method == "GET":
        path = plain_path(target)
    elif method == "POST" and plain_path(target).endswith(_CANCEL):
        path = plain_path(target).removesuffix(_CANCEL)
    else:
        return False
    return path.rpartition("/")[0].endswith(_RESPONSES)


def plain_path(target: str) -> str:
    """The path that a target names, as the server reads it: unescaped, without query and final slash."""
    path = target.partition("?")[0].partition("#")[0]
    if not path.startswith("/"):
        path = "/" + path.partition("://")[2].partition("/")[2]
    return unquote(path).rstrip("/")
