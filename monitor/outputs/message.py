"""What a receiver is told, as JSON of our own, as Alertmanager would send it, and as a line in a chat. Names and numbers only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

import msgspec

from monitor import terms
from monitor.findings import Case, Numbers, Severity
from monitor.outputs import wording
from monitor.records import EVERY, Part

VERSION: Final = 1
"""Of our own format; grows when a field changes its meaning."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MENTION: Final = re.compile(r"(?<!\w)@(?=\w)")
"""What Mattermost and Rocket.Chat take for a person or for everybody; org/model@revision is none."""
_NEVER: Final = "0001-01-01T00:00:00Z"
"""How Alertmanager says that something has not ended."""


class Event(StrEnum):
    """Why a message is sent."""

    OPENED = "opened"
    RAISED = "raised"
    """What was a ticket is a page now."""
    CLOSED = "closed"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A combination began to be worse than its base, got worse, or is well again."""

    version: int = VERSION
    id: str
    """Of this message, the same however often it is sent."""
    incident: str
    """The same for all messages about one trouble of one combination, from its opening to its closing."""
    event: Event
    severity: str
    """page or ticket."""
    time: float
    """Unix seconds: when it was written."""
    combination: str
    """Its label; `*` for all of them together."""
    combination_id: str
    served_name: str
    parts: list[Part]
    alert: str
    """Name of the alert rule about the same."""
    signal: str
    """What tells the most."""
    finding: str
    """Id of that finding."""
    also: list[str]
    """Further signals that drift."""
    began: float
    """Unix seconds: when the evidence sufficed."""
    changed: float
    """Unix seconds: when the behaviour most likely changed."""
    ended: float | None
    resolution: str
    """recovered, reset, unloaded, replaced or restarted; "" while it lasts."""
    numbers: Numbers
    """What the detector knows; null where it does not."""
    categories: dict[str, int]
    """Hazard category -> bad answers since the change."""
    summary: str
    description: str
    changes: str
    action: str
    dashboard_url: str
    runbook_url: str
    instance: str
    """HOST:PORT of the sidecar's admin port."""


@dataclass(frozen=True, slots=True)
class Composer:
    """Writes messages."""

    console: str
    """Address of the admin port, without a slash at its end."""
    served_name: Callable[[str], str]
    """Label -> the name under which the combination is served."""

    @property
    def instance(self) -> str:
        """The sidecar, as the alerts name it."""
        return self.console.partition("://")[2]

    def compose(
        self, event: Event, severity: Severity, case: Case, others: Sequence[Case], incident: str, now: float
    ) -> Message:
        """About a combination whose finding `case` tells the most; others: its further ones that last. now: Unix seconds."""
        alert, every = wording.alert_of(case), case.combination == EVERY
        served = "" if every else self.served_name(case.combination)
        summary, description = wording.summary(case, self.instance), wording.description(case, others, self.instance)
        if event is Event.CLOSED:
            summary = f"Ended: {summary}"
            description = f"Ended: {terms.ending(case.resolution)}. Before: {description}"
        return Message(
            id=hashlib.sha256(f"{incident}\0{event}\0{severity.word}".encode()).hexdigest()[:16],
            incident=incident,
            event=event,
            severity=severity.word,
            time=now,
            combination=case.combination,
            combination_id=case.combination_id,
            served_name=served,
            parts=list(case.parts),
            alert=alert,
            signal=case.signal,
            finding=case.id,
            also=[one.signal for one in others],
            began=case.began,
            changed=case.changed,
            ended=case.ended if event is Event.CLOSED else None,
            resolution=case.resolution if event is Event.CLOSED else "",
            numbers=case.latest,
            categories=dict(case.categories),
            summary=summary,
            description=description,
            changes=wording.changes(case),
            action="" if event is Event.CLOSED else wording.action(case, served),
            dashboard_url=self.console + ("/" if every else f"/combinations?name={quote(case.combination, safe='')}"),
            runbook_url=f"{self.console}/runbooks/{alert}" if alert else f"{self.console}/runbooks",
            instance=self.instance,
        )


def as_own(message: Message) -> bytes:
    """Every field."""
    return msgspec.json.encode(message)


def as_alertmanager(message: Message) -> bytes:
    """As Alertmanager's webhook sends a group of one alert, version 4. What identifies a trouble stays the same until its end, also
    when its severity rises."""
    every = message.combination == EVERY
    status = "resolved" if message.event is Event.CLOSED else "firing"
    group = {"signal" if every else "combination": message.signal if every else message.combination}
    labels = {
        "alertname": message.alert or "AlignmentFinding",
        "combination": message.combination,
        "instance": message.instance,
        "severity": message.severity,
        "signal": message.signal,
    }
    texts = ("summary", "description", "changes", "action", "runbook_url", "dashboard_url")
    annotations = {name: text for name in texts if (text := getattr(message, name))}
    alert = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": _rfc3339(message.began),
        "endsAt": _NEVER if message.ended is None else _rfc3339(message.ended),
        "generatorURL": message.dashboard_url,
        "fingerprint": message.incident,
    }
    return msgspec.json.encode(
        {
            "version": "4",
            "groupKey": f"alignment-monitor:{{{next(iter(group))}={msgspec.json.encode(next(iter(group.values()))).decode()}}}",
            "truncatedAlerts": 0,
            "status": status,
            "receiver": "alignment-monitor",
            "groupLabels": group,
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": message.dashboard_url.partition("/combinations?")[0].rstrip("/"),
            "alerts": [alert],
        }
    )


def as_slack(message: Message) -> bytes:
    """An object with `text`; nothing in it mentions anybody, whatever a name holds."""
    lines = [
        f"*{message.severity.upper()} {message.event}*: {message.summary}",
        message.description,
        "" if message.event is Event.CLOSED else message.changes,
        f"*{message.action}*" if message.action else "",
        f"{message.dashboard_url} {message.runbook_url}".strip(),
    ]
    text = "\n".join(_CONTROL.sub(" ", line) for line in lines if line)
    text = _MENTION.sub("@\u200b", text)
    for plain, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, safe)
    return msgspec.json.encode({"text": text})


FORMATS: Final[Mapping[str, Callable[[Message], bytes]]] = {
    "alignment": as_own,
    "alertmanager": as_alertmanager,
    "slack": as_slack,
}
"""As `outputs.webhook.format` names them."""


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(message: Message) -> dict[str, Any]:
    """As it is kept in a snapshot."""
    found: dict[str, Any] = msgspec.to_builtins(message)
    return found
