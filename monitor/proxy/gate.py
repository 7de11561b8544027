"""Keeps from the server requests for combinations that may not answer, and calls that load what may not be loaded; both are
off unless the configuration turns them on.

A request's `model` may stand anywhere in its body, twice even, and the last one counts. So the body is held, within bounds,
until it is complete, and then read as the server reads it. What cannot be read does not pass: otherwise a client could hide
the model that it asks for. The decisions themselves are the analysis process's (monitor/enforcement.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from monitor.config.model import AdaptersSection
from monitor.enforcement import Decision, PolicyStore
from monitor.protocols.endpoints import ADMIN, fetches_response, plain_path
from monitor.protocols.request_body import UNREADABLE, NamesModel

MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""Bytes of all requests of one worker that are held at most; 503 beyond that."""
LAX_BYTES: Final = 1024 * 1024
"""Longest body that is read a second time, slowly, when the fast and strict parser declines it."""
_SHOWN: Final = 100
"""Characters of a client's model that an answer repeats."""
_UNLISTED: Final = "unlisted"
_ADAPTER_HEADER: Final = b"x-amzn-sagemaker-adapter-identifier"
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
_NO_ANSWER: Final = ("/tokenize", "/detokenize", "/render", "/derender", "/count_tokens")
"""Ends of paths on which no model runs."""
_NAMED: Final = msgspec.json.Decoder(NamesModel)
_LOADS: Final = {"/v1/load_lora_adapter": ("lora_name", "lora_path"), "/adapters": ("name", "src")}
"""Ends of paths that load an adapter -> the fields with its name and where it lies."""

UNDECIDED: Final = Decision(_UNLISTED, "undecided", "the monitor has not decided about any model yet")
UNREAD: Final = Decision(
    _UNLISTED,
    "unreadable",
    "the request's model cannot be read: its body is compressed, not JSON, or no text of one model",
)
UNREAD_LOAD: Final = Decision(
    _UNLISTED, "unreadable", "the adapter's name and path cannot be read: they stand in no JSON object in the body"
)
TOO_LARGE: Final = Decision(_UNLISTED, "too_large", "the request is too large for its model to be read")
BUSY: Final = Decision(_UNLISTED, "busy", "too many large requests wait for their model to be read")
_TEMPORARY: Final = frozenset({"undecided", "busy"})


class Refusal(NamedTuple):
    """Why a request is not forwarded, and how that is answered."""

    decision: Decision
    status: int
    kind: str
    """Label of `alignment_proxy_errors_total`."""
    message: str
    param: str = "model"
    """The field of the request that is at fault."""


class Question(NamedTuple):
    """What a request's head already says about the model that it asks for."""

    names: tuple[str, ...] = ()
    readable: bool = True
    load: tuple[str, str] | None = None
    """It loads an adapter: the fields of its body with the name and the path."""


class Gate:
    """Decides for one worker."""

    def __init__(self, section: AdaptersSection, store: PolicyStore | None) -> None:
        self.body_limit = section.held_request_bytes
        self._guards_answers = section.enforcement != "observe"
        self._guards_loading = section.loading != "observe"
        self._store = store

    def refresh(self) -> None:
        """Take what the analysis process decided since; called on the worker's timer."""
        if self._store:
            self._store.refresh()

    def question(
        self, method: str, target: str, endpoint: str, headers: Iterable[tuple[bytes, bytes]], *, websocket: bool
    ) -> Question | None:
        """What has to be known of a request before it passes; None when no model answers on its route."""
        if websocket:
            return Question(readable=False) if self._guards_answers else None
        if method in _READS or fetches_response(method, target):
            return None
        path = plain_path(target)
        load: tuple[str, str] | None = None
        if endpoint == ADMIN:
            load = next((fields for end, fields in _LOADS.items() if path.endswith(end)), None)
            if load is None or not self._guards_loading:
                return None
        elif not self._guards_answers or path.endswith(_NO_ANSWER):
            return None
        names: list[str] = []
        readable = True
        for name, value in headers:
            lower = name.lower()
            if lower == _ADAPTER_HEADER:
                names.append(value.strip().decode("latin-1"))
            elif lower == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                readable = False
        return Question(tuple(names), readable, load)

    def refusal(self, question: Question, body: bytes) -> Refusal | None:
        """Why a request with this body does not pass, None when it does."""
        if question.load:
            return self._load_refusal(question, body)
        model = model_of(body) if question.readable else None
        if model is None:
            return refused(UNREAD, "")
        policy = self._store.policy if self._store else None
        if policy is None:
            return refused(UNDECIDED, model)
        for name in (*question.names, model):
            decision = policy.decision(name)
            if decision is not None:
                return refused(decision, name)
        return None

    def _load_refusal(self, question: Question, body: bytes) -> Refusal | None:
        fields = question.load or ("", "")
        named = _text_fields(body, fields) if question.readable else None
        if named is None:
            return _load_refused(UNREAD_LOAD, "", "", fields[1])
        policy = self._store.policy if self._store else None
        name, path = named
        decision = policy.load_decision(name, path) if policy else UNDECIDED
        return _load_refused(decision, name, path, fields[1]) if decision else None


def _load_refused(decision: Decision, name: str, path: str, field: str) -> Refusal:
    what = f"the adapter {name[:_SHOWN]!r} may not be loaded from {path[:_SHOWN]!r}: " if path else ""
    undecided = decision.reason in _TEMPORARY
    kind = "load_undecided" if undecided else "load_denied"
    return Refusal(decision, 503 if undecided else 403, kind, what + decision.why, field)


def refused(decision: Decision, model: str) -> Refusal:
    """The answer to a request for this model, "" where it is not known."""
    asked = f"the model {model[:_SHOWN]!r} may not answer: " if model else ""
    whose = "" if decision.combination in (_UNLISTED, model, "") else f"combination {decision.combination}: "
    if decision.reason in _TEMPORARY:
        return Refusal(decision, 503, "combination_undecided", f"{asked}{whose}{decision.why}")
    what = f"{decision.reason}: " if decision.reason in ("unvalidated", "quarantined") else ""
    return Refusal(decision, 403, "combination_blocked", f"{asked}{whose}{what}{decision.why}")


def _text_fields(body: bytes, fields: tuple[str, str]) -> tuple[str, str] | None:
    """Two fields of a JSON object, the last ones where they stand twice; None when they are not both text."""
    if len(body) > LAX_BYTES:
        return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    first, second = (found.get(field) for field in fields) if isinstance(found, dict) else (None, None)
    return (first, second) if isinstance(first, str) and isinstance(second, str) else None


def model_of(body: bytes) -> str | None:
    """The model that a request's body asks for, "" when it names none; None when that cannot be told."""
    if not body:
        return ""
    try:
        return _NAMED.decode(body).model or ""
    except UNREADABLE:
        pass
    if len(body) > LAX_BYTES:
        return None
    try:
        found = json.loads(body)  # as the server does: UTF-16, NaN and lone surrogates pass
    except (ValueError, RecursionError):
        return None
    model = found.get("model") if isinstance(found, dict) else 0
    return (model or "") if model is None or isinstance(model, str) else None
