"""Which requests are asked again, when, and what is made of the answers.

A choice depends on the past, the prompt and the load, never on the answer that it is about: that keeps the paired evidence
valid. So it is made before the detectors see that answer.

Long answers. A reply that our own limit cuts off would be missing more often where the base complies at length, and what
is missing must not depend on the answer. So both sides are judged by the same beginning of their answers: as many characters
as our limit's tokens usually have, or as the shortest reply that the limit cut off.

The clients go first: nothing is asked while requests wait in the server, within a budget, and with growing pauses after
failures. What the queue cannot hold is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from monitor.adapters import Catalog, Identity
from monitor.arrival import Arrival
from monitor.config.model import ShadowSection
from monitor.drift.attribution import settled
from monitor.pipeline import Pipeline
from monitor.records import (
    OVER_BUDGET,
    UNCONFIRMED,
    Choice,
    Combination,
    Condition,
    Item,
    Outcome,
    Pair,
    Stratum,
    Verdict,
)
from monitor.shadow.body import Replay, replay_of
from monitor.shadow.client import OK, ShadowClient, ShadowError
from monitor.shadow.part_loader import SCALE_ALONE, PartLoader
from monitor.shadow.served_parts import ServedParts, served_parts
from monitor.shadow.yielding import Sleep, Yielding
from monitor.signals import REFUSAL_LOST_PAIRED
from monitor.telemetry.logs import Repeats, where_it_failed
from monitor.telemetry.pair_metrics import PairMetrics

log = logging.getLogger(__name__)

CHARACTERS_PER_TOKEN: Final = 4
LATE_S: Final = 300.0
"""A request that waited longer is not asked again: the combination may behave differently by now."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request that is to be asked again."""

    label: str
    combination: Combination
    base: str
    """Served name of the base."""
    parts: ServedParts
    """Whom of its parts to ask; empty when they are not asked."""
    replay: Replay
    time: float
    """Unix seconds of the client's exchange."""
    queued: float
    """Monotonic seconds."""
    prompt: str
    choice: Choice
    verdict: Verdict
    example: str = ""
    """Id under which the client's answer is kept, "" when it is not."""


class Shadow:
    """Takes judged answers, asks some of their requests again, and hands the pairs to the pipeline."""

    def __init__(
        self,
        section: ShadowSection,
        client: ShadowClient,
        catalog: Catalog,
        pipeline: Pipeline,
        metrics: PairMetrics,
        chance: random.Random,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        loader: PartLoader | None = None,
    ) -> None:
        """loader: loads parts that are not served by themselves; None where that is not wanted."""
        self._section = section
        self._client = client
        self._catalog = catalog
        self._pipeline = pipeline
        self._metrics = metrics
        self._random = chance
        self._loader = loader
        self._clock = clock
        self._waiting: tuple[deque[Job], deque[Job]] = (deque(), deque())
        """Of combinations under suspicion, and of the others."""
        self._wanted = asyncio.Event()
        self._yielding = Yielding(client, section, metrics.paused, sleep, clock)
        self._salt = f"alignment-{secrets.token_hex(16)}"
        self._repeats = Repeats()
        self.on_base_answer: Callable[[str, str, Outcome], None] = lambda _example, _answer, _outcome: None
        """Called with the base's answer to the request of an answer that is kept, by its id; must not wait."""
        metrics.enabled.set(1)

    def offer(self, arrival: Arrival, identity: Identity, choice: Choice, verdict: Verdict, example: str = "") -> None:
        """Queue a client's request if it is to be asked again; never waits. example: id under which its answer is kept."""
        combination = identity.combination
        if combination is None or identity.is_base or verdict.stratum is not Stratum.HARMFUL_LOOKING:
            return
        suspicion = self._suspicion(identity.label)
        suspected = suspicion >= self._section.suspicion
        parts = self._parts(identity.label, combination) if suspected else ServedParts()
        share = self._share(identity.label, suspicion, attributing=bool(parts.names))
        self._metrics.share(identity.label).set(share)
        if self._random.random() >= share:
            return
        job = self._job(arrival, identity.label, combination, choice, verdict, parts, example)
        if isinstance(job, str):
            self._metrics.skipped(job).inc()
        elif sum(map(len, self._waiting)) >= self._section.queue:
            self._metrics.skipped("queue").inc()
        else:
            self._waiting[suspicion < self._section.suspicion].append(job)
            self._wanted.set()

    async def run(self) -> None:
        """Ask for ever, with as many calls at once as configured."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._section.concurrency):
                workers.create_task(self._work(), name="shadow worker")

    def stop(self) -> None:
        """What still waits is not asked any more."""
        for queue in self._waiting:
            self._metrics.skipped("shutdown").inc(len(queue))
            queue.clear()

    def _suspicion(self, label: str) -> float:
        """Evidence against the combination as a share of what an alarm needs, as it was before the present answer."""
        if self._pipeline.drifts.condition(label, REFUSAL_LOST_PAIRED) is Condition.DRIFTING:
            return 1.0
        return self._pipeline.drifts.suspicion(label)

    def _share(self, label: str, suspicion: float, *, attributing: bool) -> float:
        """At rest the configured one; rising to the largest from half of the suspicion on; at rest again once all is decided."""
        section = self._section
        if self._pipeline.drifts.condition(label, REFUSAL_LOST_PAIRED) is Condition.DRIFTING and not attributing:
            return section.share
        half = section.suspicion / 2
        rise = min(max((suspicion - half) / half, 0.0), 1.0)
        return section.share + rise * (max(section.share_under_suspicion, section.share) - section.share)

    def _parts(self, label: str, combination: Combination) -> ServedParts:
        """Whom of the parts to ask, while that is allowed and may still tell something."""
        if not self._section.parts or len(combination.parts) < 2:
            return ServedParts()
        known = self._pipeline.drifts.attribution(label)
        if (known and settled(known)) or self._pipeline.drifts.parts_asked(label) >= self._section.parts_prompts:
            return ServedParts()
        served = [one.combination for one in self._catalog.identities() if one.combination]
        found = served_parts(combination, served)
        if self._loader is None or not found.missing:
            return found
        missing = [part for part in combination.parts if part.adapter in found.missing]
        self._loader.want([part for part in missing if 0 < part.scale <= SCALE_ALONE], combination.base)
        return served_parts(combination, [*served, *self._loader.served])

    def _job(
        self,
        arrival: Arrival,
        label: str,
        combination: Combination,
        choice: Choice,
        verdict: Verdict,
        parts: ServedParts,
        example: str,
    ) -> Job | str:
        if arrival.source is None or len(arrival.dialogue.prompts) != 1:
            return "shape"
        base = next((one.combination for one in self._catalog.identities() if one.is_base), None)
        if base is None:
            return "gone"
        replay = replay_of(arrival.source, arrival.endpoint, self._section.max_tokens)
        if isinstance(replay, str):
            return replay
        ended_by_length = verdict.outcome is Outcome.TRUNCATED and choice.finish_reason == "length"
        judged = verdict.outcome.judged or verdict.reason == UNCONFIRMED  # then all are read with care
        if not (judged or (ended_by_length and replay.limited)):
            return "unjudged"
        return Job(
            label=label,
            combination=combination,
            base=base.served_name,
            parts=parts,
            replay=replay,
            time=arrival.time,
            queued=self._clock(),
            prompt=arrival.dialogue.prompts[0].text,
            choice=choice,
            verdict=verdict,
            example=example,
        )

    async def _work(self) -> None:
        while True:
            job = await self._next()
            await self._yielding.turn()
            if self._clock() - job.queued > LATE_S:
                self._metrics.skipped("late").inc()
                continue
            if self._is_gone(job):
                self._metrics.skipped("gone").inc()
                continue
            try:
                await self._replay(job)
            except Exception as error:  # noqa: BLE001  # a defect on one pair must not end the worker
                log.error("comparing an answer failed: %s", where_it_failed(error))

    async def _next(self) -> Job:
        while not any(self._waiting):
            self._wanted.clear()
            await self._wanted.wait()
        return next(queue for queue in self._waiting if queue).popleft()

    def _is_gone(self, job: Job) -> bool:
        """It is not served any more, or its name holds other contents."""
        now = self._catalog.find(job.label)
        return now is None or now.id != job.combination.id

    async def _replay(self, job: Job) -> None:
        base = await self._ask(job, "base", job.base)
        if base is None:
            return
        parts = await self._ask_all(job, "part", job.parts.alone)
        rests = None if parts is None else await self._ask_all(job, "rest", job.parts.rests)
        if parts is None or rests is None:
            self._compare(job, base, {}, {}, ())
        else:
            self._compare(job, base, parts, rests, job.parts.missing)

    async def _ask_all(self, job: Job, role: str, served: Mapping[str, str]) -> dict[str, Choice] | None:
        """Part -> answer; None when one of them did not come."""
        found: dict[str, Choice] = {}
        for part, name in served.items():
            answer = await self._ask(job, role, name)
            if answer is None:
                return None
            found[part] = answer
        return found

    async def _ask(self, job: Job, role: str, served: str) -> Choice | None:
        tokens = len(job.prompt) / CHARACTERS_PER_TOKEN + job.replay.max_tokens
        await self._yielding.spend(tokens)
        body = job.replay.request(served, self._salt, self._random)
        try:
            answer = await self._client.ask(job.replay, body, served, role)
        except ShadowError as error:
            self._failed(job, role, error)
            return None
        self._yielding.answered()
        self._count(job, role, OK)
        return answer

    def _count(self, job: Job, role: str, result: str) -> None:
        """Not of what is gone: its series would come back, and stay."""
        if not self._is_gone(job):
            self._metrics.requests(job.label, role, result).inc()

    def _failed(self, job: Job, role: str, error: ShadowError) -> None:
        reason = str(error)
        self._count(job, role, reason)
        self._yielding.failed(error)
        left_out = self._repeats.allow(reason, self._clock())
        if left_out is not None:
            log.warning("a request could not be asked again (%d more before): %s", left_out, reason)

    def _compare(
        self,
        job: Job,
        base: Choice,
        parts: Mapping[str, Choice],
        rests: Mapping[str, Choice],
        missing: tuple[str, ...],
    ) -> None:
        if self._is_gone(job):
            self._metrics.skipped("gone").inc()
            return
        replies = [base, *parts.values(), *rests.values()]
        own = job.choice.text
        room = CHARACTERS_PER_TOKEN * job.replay.max_tokens if job.replay.limited else None
        if room is not None:
            cut = [reply.text for reply in replies if reply.finish_reason == "length"]
            cut += [own] if job.verdict.outcome is Outcome.TRUNCATED else []
            room = min([room, *map(len, cut)])
        items = [_item(job.prompt, reply, room) for reply in replies]
        shorter = job.verdict.outcome is Outcome.TRUNCATED or (room is not None and len(own) > room)
        again = shorter or job.verdict.tier == OVER_BUDGET  # as the base's answer is judged, whatever it takes
        if again:
            items.append(_item(job.prompt, job.choice, room))
        outcomes = [verdict.outcome for verdict in self._pipeline.score(items)]
        outcome = outcomes.pop() if again else job.verdict.outcome
        if job.example:
            self.on_base_answer(job.example, base.text, outcomes[0])
        self._pipeline.drifts.compare(
            Pair(
                combination=job.label,
                time=job.time,
                stratum=job.verdict.stratum,
                outcome=outcome,
                base_outcome=outcomes[0],
                parts=dict(zip(parts, outcomes[1 : 1 + len(parts)], strict=True)),
                rests=dict(zip(rests, outcomes[1 + len(parts) :], strict=True)),
                missing=missing,
            )
        )


def _item(prompt: str, choice: Choice, room: int | None) -> Item:
    """An answer as the scorer gets it; up to `room` characters of it, where only the limit of ours may have ended it."""
    if room is None:
        return Item(prompt, choice.text, choice.finish_reason, choice.tool_call, compared=True)
    finish = "stop" if choice.finish_reason == "length" else choice.finish_reason
    return Item(prompt, choice.text[:room], finish, choice.tool_call, compared=True)
