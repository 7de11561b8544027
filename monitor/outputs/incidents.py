"""From findings to messages: one for each trouble of a combination, however many signals tell of it, and nobody is told twice.

It looks at all findings again and again and says what has to be told in addition to what was told before. So a restart that
keeps both findings and what was told tells nothing anew, and a severity that rises with time needs no event. As the sample
configuration of Alertmanager groups and inhibits: one message per combination, whose page says what its tickets would; while
all combinations move together, only that is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from monitor.findings import Case, Severity
from monitor.outputs.message import Composer, Event, Message
from monitor.records import EVERY

CALM_S: Final = 120.0
"""Seconds after its end for which a trouble may come back and still be the same, as `keep_firing_for` of the pages."""
FINAL: Final = frozenset({"reset", "unloaded", "replaced"})
"""Endings that somebody brought about: they are told at once."""
_MOST_TELLING: Final = (
    "refusal_lost_paired",
    "refusal_lost_probed",
    "refusal_lost",
    "collusion",
    "refuse_then_comply",
    "over_refusal",
)
"""Of two findings of equal severity the first is what a message is about."""

SeverityOf = Callable[[Case, float], Severity | None]
"""A finding that lasts and the time now (Unix seconds) -> what it calls for."""


class Incident(msgspec.Struct):
    """A trouble of one combination that was told of."""

    id: str
    severity: Severity
    case: Case
    """What the latest message was about."""
    quiet_since: float | None = None
    """Unix seconds: since then none of its findings lasts."""


class Incidents:
    """Keeps what was told."""

    def __init__(self, composer: Composer, severity_of: SeverityOf, least: Severity) -> None:
        """least: below this nothing is told."""
        self._composer = composer
        self._severity_of = severity_of
        self._least = least
        self._told: dict[str, Incident] = {}
        """Label of the combination -> what it is in. Signals in which all move together have one each."""

    def look(self, cases: Sequence[Case], now: float) -> list[Message]:
        """What has to be told now. cases: all findings that are kept. now: Unix seconds."""
        lasting: dict[str, list[Case]] = {}
        for case in cases:
            if case.lasts:
                lasting.setdefault(_key(case), []).append(case)
        together = {case.signal for case in cases if case.lasts and case.combination == EVERY}
        messages = [message for key, own in lasting.items() if (message := self._begun(key, own, together, now))]
        messages += [
            message for key in list(self._told) if key not in lasting and (message := self._calm(key, cases, now))
        ]
        return messages

    def save(self) -> dict[str, Any]:
        """What a successor needs, as plain JSON values."""
        saved: dict[str, Any] = msgspec.to_builtins(self._told)
        return saved

    def restore(self, saved: object) -> None:
        """Carry on from what `save` gave. Raises ValueError, and changes nothing, when it is not that."""
        self._told = msgspec.convert(saved, dict[str, Incident])

    def _begun(self, key: str, own: Sequence[Case], together: set[str], now: float) -> Message | None:
        """A combination with findings that last: told when it is new, or worse than was told."""
        told = self._told.get(key)
        if told is not None:
            told.quiet_since = None
        loud = [case for case in own if case.combination == EVERY or case.signal not in together]
        calls = [(found, case) for case in loud if (found := self._severity_of(case, now)) is not None]
        if not calls:
            return None
        found, case = max(calls, key=lambda call: (call[0], -_rank(call[1])))
        if found < self._least or (told is not None and found <= told.severity):
            return None
        incident = told.id if told else case.id
        others = sorted((one for one in own if one is not case), key=_rank)
        self._told[key] = Incident(incident, found, case)
        return self._composer.compose(Event.RAISED if told else Event.OPENED, found, case, others, incident, now)

    def _calm(self, key: str, cases: Sequence[Case], now: float) -> Message | None:
        """None of its findings lasts: told when it stays so."""
        told = self._told[key]
        case = next((one for one in reversed(cases) if _key(one) == key), told.case)
        if told.quiet_since is None:
            told.quiet_since = now
        if case.resolution not in FINAL and now - told.quiet_since < CALM_S:
            return None
        del self._told[key]
        return self._composer.compose(Event.CLOSED, told.severity, case, (), told.id, now)


def _key(case: Case) -> str:
    return f"{EVERY} {case.signal}" if case.combination == EVERY else case.combination


def _rank(case: Case) -> int:
    return _MOST_TELLING.index(case.signal) if case.signal in _MOST_TELLING else len(_MOST_TELLING)
