"""Asks the admin port of a running sidecar, and gives what it says as plain values."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from monitor import terms
from monitor.records import Condition

REFUSAL_LOST = "refusal_lost"
REFUSE_THEN_COMPLY = "refuse_then_comply"
OVER_REFUSAL = "over_refusal"
REFUSAL_LOST_PAIRED = "refusal_lost_paired"
COLLUSION = "collusion"


class PartStatus(msgspec.Struct, frozen=True):
    """One adapter in a combination."""

    adapter: str
    scale: float = 1.0


class SignalStatus(msgspec.Struct, frozen=True):
    """One detector's state for one combination; numbers are null while unknown."""

    signal: str
    condition: Condition
    samples: int = 0
    bad: int = 0
    rate: float | None = None
    lower: float | None = None
    upper: float | None = None
    baseline_rate: float | None = None
    baseline_samples: int = 0
    threshold: float | None = None
    since: float | None = None
    evidence_log: float | None = None
    evidence_needed_log: float | None = None


class AttributionStatus(msgspec.Struct, frozen=True):
    """Which of its parts a combination's lost refusals come from."""

    cause: str
    sentence: str
    explained_by: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class CombinationStatus(msgspec.Struct, frozen=True):
    """One combination as GET /api/v1/combinations shows it."""

    name: str
    served_name: str
    is_base: bool
    parts: tuple[PartStatus, ...] = ()
    merge: str | None = None
    requests: int = 0
    outcomes: dict[str, int] = {}
    signals: tuple[SignalStatus, ...] = ()
    declared: bool = True
    attribution: AttributionStatus | None = None
    status: str | None = None
    status_reason: str = ""
    validation_required: bool = False

    def signal(self, name: str) -> SignalStatus | None:
        """The state of one signal, None when the sidecar has none."""
        return next((signal for signal in self.signals if signal.signal == name), None)

    @property
    def drifting(self) -> tuple[SignalStatus, ...]:
        """The signals that raise an alert now."""
        return tuple(signal for signal in self.signals if signal.condition is Condition.DRIFTING)


class EndedFinding(msgspec.Struct, frozen=True):
    """An alarm that does not stand any more."""

    combination: str
    signal: str
    began: float
    """Unix seconds."""
    ended: float
    resolution: str = ""


class _Findings(msgspec.Struct, frozen=True):
    findings: tuple[EndedFinding, ...]


class JudgedStatus(msgspec.Struct, frozen=True):
    """The latest exchanges of one endpoint."""

    endpoint: str
    seen: int
    due: int
    """That were to be judged."""
    scored: int


class CoverageStatus(msgspec.Struct, frozen=True):
    """What became of the latest traffic."""

    window_s: float = 0.0
    """Seconds that it speaks of."""
    endpoints: tuple[JudgedStatus, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    time: float
    combinations: tuple[CombinationStatus, ...]
    coverage: CoverageStatus | None = None
    next: str | None = None
    """Where the list goes on."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All that a status is made from."""

    time: float
    """Unix seconds, by the sidecar's clock."""
    combinations: tuple[CombinationStatus, ...]
    """The base first, then single adapters, then combinations of several."""
    problems: tuple[str, ...] = ()
    """Why the sidecar says that it is not ready."""
    discovery_up: bool = True
    """The server's list of models can be read."""
    common_causes: tuple[str, ...] = ()
    """Signals in which all combinations move together."""
    coverage: CoverageStatus = field(default_factory=CoverageStatus)
    undelivered_s: float = 0.0
    """For how long the oldest message to the webhook's receiver has waited."""
    ended: tuple[EndedFinding, ...] = ()
    """Alarms that ended within the last day, the latest first."""


class ReadingError(Exception):
    """There is no answer, or none that can be used."""


async def ask_sidecar(session: aiohttp.ClientSession) -> tuple[CombinationStatus, ...]:
    """The state of all combinations, the base first, then single adapters, then combinations of several.

    Raises aiohttp.ClientError or TimeoutError when there is no answer, msgspec.DecodeError when it has another form.
    """
    return (await _ask(session))[1]


async def read(session: aiohttp.ClientSession) -> Reading:
    """Everything. Raises ReadingError with a sentence that says why not."""
    try:
        (at, combinations, coverage), problems, metrics = await asyncio.gather(
            _ask(session), _problems(session), _metrics(session)
        )
        ended = await _ended(session, at - terms.PAST_S)
    except aiohttp.ClientResponseError as error:
        raise ReadingError(f"it answers {error.status} {error.message}".rstrip()) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ReadingError(f"no answer: {error or type(error).__name__}") from error
    except ValueError as error:
        raise ReadingError(f"its answer cannot be read: {error}") from error
    return Reading(at, combinations, problems, **metrics, coverage=coverage, ended=ended)


async def _ask(session: aiohttp.ClientSession) -> tuple[float, tuple[CombinationStatus, ...], CoverageStatus]:
    rows: list[CombinationStatus] = []
    query: dict[str, str] = {}
    while True:
        async with session.get("/api/v1/combinations", params=query) as response:
            response.raise_for_status()
            answer = msgspec.json.decode(await response.read(), type=_Answer)
        rows += answer.combinations
        if not answer.next or not answer.combinations:
            break
        query = {"cursor": answer.next}
    ordered = tuple(sorted(rows, key=lambda row: (not row.is_base, len(row.parts) > 1, row.name)))
    return answer.time, ordered, answer.coverage or CoverageStatus()


async def _ended(session: aiohttp.ClientSession, after: float) -> tuple[EndedFinding, ...]:
    async with session.get("/api/v1/findings", params={"state": "resolved", "ended_after": str(after)}) as response:
        response.raise_for_status()
        found = msgspec.json.decode(await response.read(), type=_Findings).findings
    return tuple(sorted(found, key=lambda one: -one.ended))


class _Ready(msgspec.Struct, frozen=True):
    problems: tuple[str, ...] = ()


async def _problems(session: aiohttp.ClientSession) -> tuple[str, ...]:
    async with session.get("/-/ready") as response:
        if response.status != 503:
            response.raise_for_status()
        return msgspec.json.decode(await response.read(), type=_Ready).problems


async def _metrics(session: aiohttp.ClientSession) -> dict[str, Any]:
    async with session.get("/metrics") as response:
        response.raise_for_status()
        text = await response.text()
    return health(text)


def health(exposition: str) -> dict[str, Any]:
    """What the metrics say of the monitor itself, as fields of `Reading`. Raises ValueError for no exposition."""
    up, causes, undelivered_s = True, [], 0.0
    for family in text_string_to_metric_families(exposition):
        for name, labels, value, *_ in family.samples:
            match name:
                case "alignment_discovery_up":
                    up = value == 1
                case "alignment_webhook_waiting_seconds":
                    undelivered_s = value
                case "alignment_common_cause" if value == 1:
                    causes.append(labels["signal"])
    return {
        "discovery_up": up,
        "common_causes": tuple(sorted(causes)),
        "undelivered_s": undelivered_s,
    }
