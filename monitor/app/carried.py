"""What a successor of this process carries on from."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from monitor.app.served import Served
from monitor.app.switched_on import SwitchedOn
from monitor.pipeline import Pipeline
from monitor.snapshot import Snapshot

log = logging.getLogger(__name__)


class Carried:
    """Saves the state of all parts, and gives each its own back."""

    def __init__(self, snapshot: Snapshot, served: Served, pipeline: Pipeline, switched_on: SwitchedOn) -> None:
        self._snapshot = snapshot
        self._served = served
        self._pipeline = pipeline
        self._switched_on = switched_on

    def save(self) -> None:
        """Keep the present state."""
        state = self._state()
        trends = self._pipeline.drifts.trends.save()  # may be as large as all the rest: left out before that is lost
        if not self._snapshot.save({**state, "trends": trends}) and not self._snapshot.save(state):
            log.warning("the state is too large for a snapshot")

    def restore(self, state: dict[str, Any]) -> None:
        """Carry on from what the process before this one left; what of it cannot be used begins anew."""
        if not state:
            return
        drifts, others = self._pipeline.drifts, self._switched_on
        _give_back("the snapshot's events of adapters", lambda: self._served.adapters.restore(state.get("adapters")))
        _give_back("the snapshot's findings", lambda: drifts.findings.restore(state.get("findings") or {}))
        if (prober := others.prober) and "probing" in state:
            _give_back("the snapshot's rounds of probing", lambda: prober.restore(state["probing"]))
        if (webhook := others.webhook) and "webhook" in state:
            _give_back("the snapshot's messages", lambda: webhook.restore(state["webhook"]))
        if _give_back("the snapshot", lambda: self._restore_states(state)):
            log.info("carries on from the last snapshot")
            _give_back("the snapshot's trends", lambda: drifts.trends.restore(state.get("trends") or {}))
        drifts.end_stale(time.time())

    def _restore_states(self, state: dict[str, Any]) -> None:
        self._pipeline.restore(state)
        self._pipeline.drifts.check_baseline(time.time(), always=True)

    def _state(self) -> dict[str, Any]:
        prober, webhook = self._switched_on.prober, self._switched_on.webhook
        return {
            **self._pipeline.save(),
            **({"probing": prober.save()} if prober else {}),
            **({"webhook": webhook.save()} if webhook else {}),
            "adapters": self._served.adapters.save(),
            "registry": self._served.registry_saved,
        }


def _give_back(what: str, restore: Callable[[], None]) -> bool:
    try:
        restore()
    except ValueError as error:
        log.error("%s cannot be used: %s", what, error)
        return False
    return True
