"""Who may do what on the admin port: three tokens, each in a file, each for one scope.

Metrics and health are for machines that carry no token, and say nothing of anybody's text. Everything else can be read by
whoever reaches the port until a read token is configured. What shows text or changes something is closed until its own token
is configured: a forgotten setting must not open it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import os
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from aiohttp import web

from monitor.config import ConfigError
from monitor.config.model import AdminSection
from monitor.config.secrets import read_token

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Seconds between two looks at the token files: a replaced token counts so much later at the latest."""


class Scope(StrEnum):
    """What a caller may do."""

    READ = "read"
    """See combinations, findings, events: names and numbers."""
    EVIDENCE = "evidence"
    """See stored prompts and answers."""
    ADMIN = "admin"
    """Acknowledge findings, reset detectors, and have a combination probed."""


GRANTS: Final[Mapping[Scope, frozenset[Scope]]] = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.EVIDENCE: frozenset({Scope.READ, Scope.EVIDENCE}),
    Scope.ADMIN: frozenset({Scope.READ, Scope.ADMIN}),
}
"""Whoever silences alerts need not see what people wrote, and the other way round."""

REASONS: Final = ("no_token", "wrong_token", "other_scope", "closed")
Denied = Callable[[Scope, str], None]
_Stamp = tuple[int, int, int]


class Tokens:
    """The configured tokens, as their files hold them now."""

    def __init__(self, section: AdminSection) -> None:
        files = {
            Scope.READ: section.read_token_file,
            Scope.EVIDENCE: section.evidence_token_file,
            Scope.ADMIN: section.admin_token_file,
        }
        self._files: dict[Scope, Path] = {scope: file for scope, file in files.items() if file is not None}
        self._stamps: dict[Scope, _Stamp | None] = {}
        self._digests: dict[Scope, bytes] = {}
        self._next_look = 0.0

    def required(self, scope: Scope) -> bool:
        """A token is configured for it."""
        return scope in self._files

    async def grants(self, token: str) -> frozenset[Scope]:
        """What this token allows; nothing when it is none of ours."""
        now = time.monotonic()
        if self._files and now >= self._next_look:
            self._next_look = now + LOOK_S
            await asyncio.to_thread(self._look)
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found: frozenset[Scope] = frozenset()
        for scope, known in list(self._digests.items()):
            if hmac.compare_digest(digest, known):
                found |= GRANTS[scope]
        return found

    def _look(self) -> None:
        """In a thread: read the files that were replaced. One that cannot be used opens nothing."""
        for scope, file in self._files.items():
            try:
                status = os.stat(file)
                stamp = status.st_mtime_ns, status.st_ino, status.st_size
                if self._stamps.get(scope) == stamp:
                    continue
                self._digests[scope] = hashlib.sha256(read_token(file, f"admin.{scope}_token_file").encode()).digest()
                self._stamps[scope] = stamp
            except (OSError, ConfigError) as error:
                self._digests.pop(scope, None)
                if self._stamps.get(scope, ()) is not None:
                    log.error("the %s scope is closed: %s", scope, error)
                self._stamps[scope] = None


class Access:
    """Decides on requests."""

    def __init__(self, tokens: Tokens, denied: Denied = lambda _scope, _reason: None) -> None:
        """denied: called for every request that is turned away, with one of REASONS."""
        self._tokens = tokens
        self._denied = denied

    async def demand(self, request: web.Request, scope: Scope, *, basic: bool = False) -> None:
        """Return when the request may go on. Raises HTTPUnauthorized or HTTPForbidden.

        basic: the token may also come as the password of Basic authentication, for browsers, which then ask for it. Only for
        pages: a browser repeats it by itself, also when another site makes it send something.
        """
        required = self._tokens.required(scope)
        if scope is Scope.READ and not required:
            return
        if not required:
            self._turn_away(scope, "closed")
            raise web.HTTPForbidden(text=f"closed: no admin.{scope}_token_file is configured")
        token = presented(request.headers.get("Authorization", ""), basic=basic)
        if token is None:
            self._turn_away(scope, "no_token")
            raise _unauthorized(f"a token with the scope {scope} is needed", basic=basic)
        granted = await self._tokens.grants(token)
        if not granted:
            self._turn_away(scope, "wrong_token")
            raise _unauthorized("this token is not known", basic=basic)
        if scope not in granted:
            self._turn_away(scope, "other_scope")
            if basic:  # a browser that was given the token of another scope must ask for this one
                raise _unauthorized(f"a token with the scope {scope} is needed", basic=True)
            raise web.HTTPForbidden(text=f"this token does not have the scope {scope}")

    async def allows(self, request: web.Request, scope: Scope, *, basic: bool = False) -> bool:
        """Whether the request carries a token of this scope, for what is shown beside something else; turns nobody away."""
        token = presented(request.headers.get("Authorization", ""), basic=basic)
        return token is not None and self._tokens.required(scope) and scope in await self._tokens.grants(token)

    def _turn_away(self, scope: Scope, reason: str) -> None:
        self._denied(scope, reason)


def presented(header: str, *, basic: bool) -> str | None:
    """The token in an Authorization header, None when it has none of a kind that counts."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    if basic and kind.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, ValueError):
            return None
    return None


def user_named(header: str) -> str:
    """The user name of Basic authentication, which is whatever somebody calls themselves; "" without one."""
    kind, _, value = header.partition(" ")
    try:
        decoded = base64.b64decode(value.strip(), validate=True).decode("utf-8") if kind.lower() == "basic" else ""
    except (binascii.Error, ValueError):
        return ""
    return decoded.partition(":")[0][:200]


def _unauthorized(text: str, *, basic: bool) -> web.HTTPUnauthorized:
    challenge = 'Basic realm="alignment-monitor", charset="UTF-8"' if basic else 'Bearer realm="alignment-monitor"'
    return web.HTTPUnauthorized(text=text, headers={"WWW-Authenticate": challenge})
