"""The bounded, non-blocking hand-off from the reply path to the analysis process."""

from monitor.handoff.frames import Stats
from monitor.handoff.receiver import Inbox
from monitor.handoff.sender import BoundedSender

__all__ = ["BoundedSender", "Inbox", "Stats"]
