"""Which routes of the server clients reach: an allow-list, so that a route nobody thought of is closed.

vLLM's own key does not guard everything that changes the server: `/adapters` loads and unloads LoRA adapters, and
`/invocations` answers, without it. What changes the server is therefore closed here unless the configuration opens it.

The names were read off vLLM 0.32. The server decodes percent-escapes once and takes absolute-form targets, so both are
resolved before a path is compared; a path with dot segments, which servers resolve differently, never passes.
"""

from __future__ import annotations

import hmac
import re
from typing import Final, NamedTuple

from monitor.config import ConfigError
from monitor.config.model import RoutesSection
from monitor.config.secrets import read_secret
from monitor.protocols.endpoints import CHANGING, UNLISTED_ROUTE, changing_route, plain_path

OPEN: Final = frozenset({
    "/", "/health", "/ping", "/load", "/version", "/metrics", "/v1/models",
    "/v1/chat/completions", "/v1/chat/completions/batch", "/v1/chat/completions/render", "/v1/chat/completions/derender",
    "/v1/completions", "/v1/completions/render", "/v1/completions/derender",
    "/v1/responses", "/v1/responses/render", "/v1/messages", "/v1/messages/render", "/v1/messages/count_tokens",
    "/inference/v1/generate", "/invocations", "/cohere/v2/chat", "/generative_scoring", "/v1/systemone",
    "/tokenize", "/detokenize", "/tokenizer_info",
    "/v1/embeddings", "/v2/embed", "/pooling", "/classify", "/score", "/v1/score", "/rerank", "/v1/rerank", "/v2/rerank",
    "/v1/audio/transcriptions", "/v1/audio/translations", "/v1/realtime",
    "/kv_event_sources", "/is_sleeping", "/is_paused", "/is_scaling_elastic_ep",
    "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json",
})  # fmt: skip
"""Routes that generate, embed, score, tokenise or tell how the server is."""
_STORED_RESPONSE: Final = re.compile(r"/v1/responses/[\w:-]+(?:/cancel)?\Z", re.ASCII)

_SLASHES: Final = re.compile("/{2,}")
_SHOWN: Final = 100
"""Characters of a client's path that an answer repeats."""


class Denial(NamedTuple):
    """Why a request does not pass."""

    status: int
    kind: str
    """Label of `alignment_proxy_errors_total`."""
    message: str
    route: str = ""
    """Label of `alignment_routes_denied_total`, "" for what is no question of the route."""


class Routes:
    """Decides for one configuration. Raises ConfigError when that names a route that is none."""

    def __init__(self, section: RoutesSection) -> None:
        unknown = sorted(set(section.open) - {*CHANGING, "*"})
        if unknown:
            raise ConfigError(f"proxy.routes.open: {unknown[0]} is not one of {', '.join(CHANGING)} or *")
        self._opened = frozenset(CHANGING) if "*" in section.open else frozenset(section.open)
        self._root = section.root_path
        self._passing = OPEN | {self._root + path for path in OPEN}
        self._allowed = section.allow
        self._all_else = section.unlisted == "pass"
        token_file = section.admin_token_file
        self._token = read_secret(token_file, "proxy.routes.admin_token_file").encode() if token_file else None

    def denial(self, target: str, token: bytes | None) -> Denial | None:
        """Why a request to this target is not forwarded, None when it is; token: what its own header carried."""
        if target in self._passing:
            return None
        path = _SLASHES.sub("/", plain_path(target)) or "/"
        if any(segment in (".", "..") for segment in re.split(r"[/\\]", path)):
            return Denial(400, "bad_request", "the request's path has dot segments")
        if path in self._passing or _STORED_RESPONSE.match(path.removeprefix(self._root)):
            return None
        route = changing_route(path)
        if route:
            return self._denial_of_change(route, token)
        if self._all_else or any(_covers(pattern, path) for pattern in self._allowed):
            return None
        message = f"{path[:_SHOWN]} is not among the routes that this sidecar passes; proxy.routes.allow adds it"
        return Denial(403, "route_unlisted", message, UNLISTED_ROUTE)

    def _denial_of_change(self, route: str, token: bytes | None) -> Denial | None:
        if route not in self._opened:
            return Denial(
                403, "route_closed", f"{route} is closed by this sidecar; proxy.routes.open would open it", route
            )
        if self._token is not None and not hmac.compare_digest(token or b"", self._token):
            message = f"{route} wants the sidecar's admin token in the header X-Alignment-Admin-Token"
            return Denial(403, "admin_token", message, route)
        return None


def _covers(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("/*") else path == pattern
