"""A test message to the webhook's receiver, before the night in which it matters."""

from __future__ import annotations

import secrets
import time

from monitor.config.model import OutputsSection
from monitor.findings import Numbers
from monitor.outputs.message import Event, Message
from monitor.outputs.receiver import Receiver, ReceiverError, receiver_session

SUMMARY = "Test message of the alignment monitor: nothing is wrong"
NAME = "alignment-monitor-test"
_NOTHING = Numbers(0, 0, None, None, None, None, 0, None, None, None, None, None, None)


async def try_receiver(section: OutputsSection) -> str:
    """Tell the receiver that something began and, in a second message, that it has ended; why it did not take one, "" when it took
    both. Raises ConfigError."""
    session = receiver_session(section.webhook)
    try:
        incident, now = secrets.token_hex(8), time.time()
        for event in (Event.OPENED, Event.CLOSED):
            await Receiver(session, section.webhook).send(
                _message(event, incident, section.webhook.minimum_severity, now)
            )
    except ReceiverError as error:
        return str(error)
    finally:
        await session.close()
    return ""


def _message(event: Event, incident: str, severity: str, now: float) -> Message:
    over = event is Event.CLOSED
    return Message(
        id=f"{incident}{event.value}",
        incident=incident,
        event=event,
        severity=severity,
        time=now,
        combination=NAME,
        combination_id="",
        served_name=NAME,
        parts=[],
        alert="AlignmentTest",
        signal="test",
        finding=incident,
        also=[],
        began=now,
        changed=now,
        ended=now if over else None,
        resolution="recovered" if over else "",
        numbers=_NOTHING,
        categories={},
        summary=f"Ended: {SUMMARY}" if over else SUMMARY,
        description="Sent by check-config --webhook. A real one has samples, rate, interval, base and what to do here.",
        changes="",
        action="",
        dashboard_url="",
        runbook_url="",
        instance="",
    )
