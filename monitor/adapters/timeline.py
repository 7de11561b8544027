"""What happened to the adapters of the server, in order: loaded, unloaded, replaced, changed.

Two sources are joined: the server's list, which names what is there, and the admin calls that went through the monitor, which
say why. A name that appears without a call was loaded some other way. Times are passed in; nothing here reads or waits.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from monitor.adapters.catalog import ServedModel
from monitor.records import AdapterEvent

MAX_EVENTS: Final = 500
"""Events that are kept; the oldest go first."""
MAX_NAME: Final = 256
LATE_S: Final = 5.0
"""Seconds after an adapter was listed for which a call that loads it is the one that did."""
CALL_S: Final = 120.0
"""Seconds for which an admin call explains that a name appears or goes: above every sensible polling interval."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the timeline."""

    time: float
    """Unix seconds."""
    kind: AdapterEvent
    name: str
    """Served name."""
    root: str = ""
    """Path that the server loaded it from."""
    digest: str = ""
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "kind": self.kind.value}


class _Known(msgspec.Struct):
    root: str
    base: bool
    digest: str = ""


class _Saved(msgspec.Struct):
    known: dict[str, _Known]
    events: list[Event]
    counts: dict[str, int]


class Timeline:
    """Keeps the latest events and what is loaded now."""

    def __init__(self, on_event: Callable[[Event], None] = lambda _: None) -> None:
        self._on_event = on_event
        self._known: dict[str, _Known] = {}
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._loads: dict[str, float] = {}
        self._unloads: dict[str, float] = {}
        """Name -> time of an admin call that the list has not shown yet."""
        self._first = True
        """The list has not been read since the start: what changed before was not watched."""
        self.counts: dict[AdapterEvent, int] = dict.fromkeys(AdapterEvent, 0)

    @property
    def events(self) -> list[Event]:
        """The latest events, the oldest first."""
        return list(self._events)

    def take_models(self, models: Sequence[ServedModel], time: float) -> None:
        """The server's list was read."""
        listed = {model.name: model for model in models if model.name and len(model.name) <= MAX_NAME}
        first, self._first = self._first, False
        for name in [name for name in self._known if name not in listed]:
            gone = self._known.pop(name)
            called = self._unloads.pop(name, None)
            kind = AdapterEvent.BASE_CHANGED if gone.base else AdapterEvent.UNLOADED
            detail = "" if called is not None else "before the monitor looked" if first else "no admin call was seen"
            self._add(Event(time, kind, name, gone.root, gone.digest, "no longer listed" if gone.base else detail))
        for name, model in listed.items():
            known = self._known.get(name)
            if known is None:
                self._known[name] = _Known(model.root, not model.parent)
                self._appeared(model, time, first=first)
                continue
            known.base = not model.parent
            if known.root != model.root:
                before, known.root = known.root, model.root
                kind = AdapterEvent.BASE_CHANGED if known.base else AdapterEvent.RELOADED_IN_PLACE
                self._add(Event(time, kind, name, model.root, detail=f"before from {before or 'an unknown path'}"))
        for calls in (self._loads, self._unloads):
            for name in [name for name, at in calls.items() if time - at > CALL_S]:
                del calls[name]

    def _appeared(self, model: ServedModel, time: float, *, first: bool) -> None:
        called = self._loads.pop(model.name, None)
        if called is not None:
            return  # its event was made when the call was seen
        kind, detail = AdapterEvent.APPEARED, "no admin call was seen"
        if first:
            kind, detail = AdapterEvent.LOADED, "found when the monitor looked first"
        elif not model.parent:
            kind, detail = AdapterEvent.BASE_CHANGED, "a new base model is listed"
        self._add(Event(time, kind, model.name, model.root, detail=detail))

    def note_digest(self, name: str, digest: str, time: float) -> bool:
        """A served name's contents were read; True when they are others than before."""
        known = self._known.get(name)
        if known is None or not digest or known.digest == digest:
            return False
        before, known.digest = known.digest, digest
        if not before:
            self._add(Event(time, AdapterEvent.DIGESTED, name, known.root, digest))
            return False
        kind = AdapterEvent.BASE_CHANGED if known.base else AdapterEvent.DIGEST_CHANGED
        self._add(Event(time, kind, name, known.root, digest, f"before {before}"))
        return True

    def digest(self, name: str) -> str:
        """Latest digest of a served name, "" while unknown."""
        known = self._known.get(name)
        return known.digest if known else ""

    def note_admin_call(self, method: str, target: str, status: int, model_name: str, time: float) -> bool:
        """An exchange on an admin endpoint ended; True when it may have changed what is loaded, so that a look is due.

        method, target: as the client sent them; status: the server's; model_name: the adapter in the request's body, "" when
        it names none (the target's own is used then).
        """
        called = _called(method, target)
        if called is None or not 200 <= status < 300:
            return False
        kind, in_target = called
        name = (model_name or in_target)[:MAX_NAME]
        if kind is AdapterEvent.BASE_CHANGED:
            self._add(Event(time, kind, name, detail=f"{method} {target.partition('?')[0][:MAX_NAME]}"))
            return True
        if not name:
            return True
        if kind is AdapterEvent.UNLOADED:
            self._unloads[name] = time
            self._loads.pop(name, None)
        elif self._just_appeared(name, time):
            self._add(Event(time, AdapterEvent.LOADED, name, self._known[name].root, detail="by an admin call"))
        elif name in self._known and name not in self._unloads:
            self._add(
                Event(time, AdapterEvent.RELOADED_IN_PLACE, name, self._known[name].root, detail="by an admin call")
            )
        else:
            self._loads[name] = time
            self._unloads.pop(name, None)
            self._add(Event(time, AdapterEvent.LOADED, name, detail="by an admin call"))
        return True

    def _just_appeared(self, name: str, time: float) -> bool:
        """The list showed it before its admin call came in: the call's exchange takes a moment to get here."""
        changes = (e for e in reversed(self._events) if e.name == name and e.kind is not AdapterEvent.DIGESTED)
        latest = next(changes, None)
        return latest is not None and latest.kind is AdapterEvent.APPEARED and abs(time - latest.time) < LATE_S

    def save(self) -> dict[str, Any]:
        """What a successor needs, as plain JSON values."""
        counts = {kind.value: count for kind, count in self.counts.items()}
        saved: dict[str, Any] = msgspec.to_builtins(_Saved(self._known, list(self._events), counts))
        return saved

    def restore(self, state: object) -> None:
        """Carry on from what `save` gave. Raises ValueError, and changes nothing, when it is not that."""
        saved = msgspec.convert(state, _Saved)
        self._known = saved.known
        self._events = deque(saved.events, MAX_EVENTS)
        for kind in AdapterEvent:
            self.counts[kind] = saved.counts.get(kind.value, 0)

    def replay(self, events: Sequence[Event]) -> None:
        """Carry on from events that were written to a file, without making them again."""
        for event in events:
            self._events.append(event)
            if event.kind is AdapterEvent.UNLOADED:
                self._known.pop(event.name, None)
            elif event.kind is not AdapterEvent.BASE_CHANGED:
                known = self._known.setdefault(event.name, _Known(event.root, base=False))
                self._known[event.name] = _Known(event.root or known.root, known.base, event.digest or known.digest)

    def _add(self, event: Event) -> None:
        self._events.append(event)
        self.counts[event.kind] += 1
        self._on_event(event)


_LOAD: Final = ("/v1/load_lora_adapter", "/adapters")
_UNLOAD: Final = "/v1/unload_lora_adapter"
_BASE: Final = re.compile(r"/(update_weights|collective_rpc|init_weights_update_group|reload_weights)")


def _called(method: str, target: str) -> tuple[AdapterEvent, str] | None:
    """What an admin call asks for, and the name in its target."""
    path = unquote(target.partition("?")[0]).rstrip("/")
    parent, _, last = path.rpartition("/")
    if method == "DELETE" and parent.endswith("/adapters"):
        return AdapterEvent.UNLOADED, last
    if method != "POST":
        return None
    if path.endswith(_UNLOAD):
        return AdapterEvent.UNLOADED, ""
    if path.endswith(_LOAD):
        return AdapterEvent.LOADED, ""
    return (AdapterEvent.BASE_CHANGED, "") if _BASE.search(path) else None
