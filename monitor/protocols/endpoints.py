"""From a request's target to the endpoint it reaches, as a bounded set of names."""

from __future__ import annotations

import re
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
ADMIN: Final = "admin"
"""What changes the server: copied whatever the sampling, so that the analysis learns what was loaded; carries no text."""
ENDPOINTS: Final = (*_TEXT.values(), ADMIN, OTHER)
TAPPED: Final = frozenset({*_TEXT.values(), ADMIN})
"""Endpoints whose exchanges are copied."""
CHANGING: Final = (
    "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/adapters",
    "/sleep", "/wake_up", "/pause", "/resume", "/abort_requests", "/inference/v1/abort_requests",
    "/collective_rpc", "/server_info", "/weight_info", "/weight_checker", "/get_world_size",
    "/update_weights", "/update_weight_version", "/start_weight_update", "/start_draft_weight_update",
    "/finish_weight_update", "/init_weight_transfer_engine", "/shutdown_weight_transfer_engine",
    "/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache", "/release_kv_cache_memory",
    "/start_profile", "/stop_profile", "/scale_elastic_ep", "/fault_tolerance/apply", "/fault_tolerance/status",
)  # fmt: skip
"""Routes that change the server or tell its inside, among them all of its development mode."""
_LONGEST_FIRST: Final = sorted(CHANGING, key=len, reverse=True)
"""Some of them are the end of another."""
UNLISTED_ROUTE: Final = "unlisted"
"""What stands for every route that is not known, where denied requests are counted."""
_BELOW: Final = frozenset({"/adapters"})
"""Those of them whose last segment is a name."""
_SLASHES: Final = re.compile("/{2,}")
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
    if fetches_response(method, target):
        return _TEXT[_RESPONSES]
    return ADMIN if changing_route(_SLASHES.sub("/", plain_path(target))) else OTHER


def changing_route(path: str) -> str:
    """The route of `CHANGING` that a decoded path reaches, behind any prefix; "" when it is none."""
    for route in _LONGEST_FIRST:
        if path.endswith(route) or (route in _BELOW and path.rpartition("/")[0].endswith(route)):
            return route
    return ""


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
