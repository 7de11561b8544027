"""Runs rounds of questions, one after the other, past the proxy and after the clients.

The questions go to the server itself, so none of them is in any count of traffic. Each is put to the combination and to its
base, one after the other. What comes of a round counts when it has ended, all at once; a snapshot right after that keeps it. A
round that a restart breaks off left nothing behind and begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from monitor.adapters import Catalog
from monitor.adapters.validation import Probed, ProbeOutcome
from monitor.adapters.watch import AdapterWatch
from monitor.config.model import ProbingSection
from monitor.pipeline import Pipeline
from monitor.probes.asking import NOT_ASKED, Answer, Ask, Decoding
from monitor.probes.measure import Judged, item
from monitor.probes.openings import begun
from monitor.probes.suite import Kind, Probe, ProbeStratum, Suite
from monitor.probing.ledger import Records, due, whose_turn
from monitor.probing.rounds import Reason, Record, Target, drawn, record_of
from monitor.records import Pair, Stratum
from monitor.shadow import ShadowClient, Yielding
from monitor.shadow.body import PATHS, Replay
from monitor.shadow.client import OK, ShadowError
from monitor.shadow.yielding import Sleep
from monitor.telemetry.logs import Repeats, where_it_failed
from monitor.telemetry.probe_metrics import ProbeMetrics

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Seconds between two looks whether a round is due."""
CHARACTERS_PER_TOKEN: Final = 4
ATTEMPTS: Final = 3
"""Times that a question is put at most that the server takes and does not answer."""
_OF_THE_SERVER: Final = frozenset({"connection", "unauthorized", "overloaded", "key"})
"""Failures that say nothing of the question: the round stands still until the server answers."""
_ENDPOINT: Final = "chat_completions"


@dataclass(slots=True)
class _Round:
    """One that is under way."""

    target: Target
    reason: Reason
    probes: list[Probe]
    unit: str
    """Of the depth of a compliant opening: tokens, or words."""
    began: float
    """Unix seconds."""
    done: dict[str, tuple[Judged, Judged, float]] = field(default_factory=dict)
    """Id of a probe -> the combination's and the base's answer, and when (Unix seconds)."""
    gone: str = ""
    """Why nothing of it counts, "" as long as it does."""


class Prober:
    """Says whom to ask next, asks, and keeps what was found."""

    def __init__(
        self,
        section: ProbingSection,
        suite: Suite,
        client: ShadowClient,
        catalog: Catalog,
        adapters: AdapterWatch,
        pipeline: Pipeline,
        metrics: ProbeMetrics,
        chance: random.Random,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._section = section
        self._suite = suite
        self._client = client
        self._catalog = catalog
        self._adapters = adapters
        self._pipeline = pipeline
        self._metrics = metrics
        self._random = chance
        self._sleep = sleep
        self._yielding = Yielding(client, section, metrics.paused, sleep, clock)
        self._clock = clock
        self._decoding = Decoding(section.temperature, section.top_p, section.max_tokens)
        self._salt = f"alignment-{secrets.token_hex(16)}"
        self.records = Records()
        self._asked: dict[str, None] = {}
        """Labels of combinations that somebody wants to be probed now, in their order."""
        self._round: _Round | None = None
        self._answered = clock()
        """When the round that is under way got its latest answer, or began."""
        self._seen: dict[str, float] = {}
        """Label -> Unix seconds: since then it can be asked."""
        self._repeats = Repeats()
        self._broken: dict[str, float] = {}
        """Label -> Unix seconds before which it is not probed again: a defect of ours ended its latest round."""
        self.on_changed: Callable[[], None] = lambda: None
        """Called when a round began or ended: statuses may be others."""
        metrics.enabled.set(1)
        metrics.interval.set(section.interval_s)

    async def run(self) -> None:
        """One round after the other, for ever."""
        while True:
            turn = self._next()
            if turn is None:
                await self._sleep(LOOK_S)
                continue
            target, reason = turn
            try:
                await self._run_round(target, reason)
            except Exception as error:  # noqa: BLE001  # a defect in one round must not end all
                cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
                log.error("a round of probing failed: %s", where_it_failed(cause))
                self._asked.pop(target.label, None)
                self._broken[target.label] = time.time() + self._section.interval_s
            finally:
                self._round = None

    def ask_now(self, label: str) -> str:
        """Somebody wants this combination to be probed: `running` when it is already being validated, else `queued`. Raises
        KeyError when it is not served, or is the base."""
        if self._target(label) is None:
            raise KeyError(label)
        now = self._round
        if now is not None and now.target.label == label and now.reason is not Reason.SCHEDULED:
            return "running"
        self._broken.pop(label, None)
        self._asked[label] = None
        return "queued"

    def outcomes(self) -> dict[str, ProbeOutcome]:
        """Label -> what the questions say of the contents that are served now, where they say anything."""
        found = {}
        for target, _ in self._targets():
            outcome = self._outcome(target)
            if outcome is not None:
                found[target.label] = outcome
        return found

    def failed(self) -> dict[str, str]:
        """Label -> why it is to be quarantined, where the configuration says so."""
        if self._section.on_failed != "quarantine":
            return {}
        return {label: outcome.sentence for label, outcome in self.outcomes().items() if outcome.state is Probed.FAILED}

    def shown(self) -> dict[str, dict[str, Any]]:
        """Label -> what the API and the page show of everything that is probed. Times are Unix seconds."""
        return {target.label: self._shown(target) for target, _ in self._targets()}

    def _shown(self, target: Target) -> dict[str, Any]:
        latest, validation, now = self.records.latest(target), self.records.validation(target), self._round
        running = now is not None and now.target == target
        return {
            "state": "running" if running else "queued" if target.label in self._asked else "idle",
            "asked": len(now.done) if now is not None and running else 0,
            "questions": len(now.probes) if now is not None and running else 0,
            "next": due(latest, self._section.interval_s) or None,
            "validation": _shown(validation),
            "latest": _shown(latest),
        }

    def measure(self, now: float) -> None:
        """Export how long ago each combination was asked, and for how long a round stands still. now: Unix seconds."""
        targets = {target.label: target for target, _ in self._targets()}
        for label in [label for label in self._seen if label not in targets]:
            del self._seen[label]
            self._metrics.age.drop(label)
        for label, target in targets.items():
            since = self._seen.setdefault(label, now)
            self._metrics.age(label).set(max(0.0, now - max(since, self.records.completed(target))))
        self._metrics.waiting.set(self._clock() - self._answered if self._round else 0.0)

    def forget(self, labels: Iterable[str]) -> None:
        """These combinations are gone, or are other ones now."""
        gone = list(labels)
        self.records.forget(gone)
        for label in gone:
            self._asked.pop(label, None)
            self._broken.pop(label, None)
            self._seen.pop(label, None)

    def save(self) -> dict[str, Any]:
        """What a successor needs, as plain JSON values: not what is under way, which it begins anew."""
        return {"records": self.records.save(), "asked": list(self._asked), "seen": self._seen}

    def restore(self, saved: object) -> None:
        """Carry on from what `save` gave. Raises ValueError when it is not that."""
        if not isinstance(saved, dict) or not isinstance(saved.get("asked"), list):
            raise ValueError("it has no rounds of probing")
        seen = msgspec.convert(saved.get("seen", {}), dict[str, float])
        self.records.restore(saved.get("records"))
        self._seen = seen
        self._asked = dict.fromkeys(map(str, saved["asked"]))
        for record in self.records.all():
            self._show(record)

    def _targets(self) -> list[tuple[Target, bool]]:
        """Everything that can be asked now, and whether the registry has an evaluation of it."""
        found = []
        for identity in self._catalog.identities():
            target = self._target(identity.label)
            if target is not None and identity.combination is not None:
                found.append((target, self._adapters.evaluated(identity.combination)))
        return found

    def _target(self, label: str) -> Target | None:
        """What this label stands for now, None when that cannot be asked: not served, not looked at yet, or the base itself."""
        combination, base = self._catalog.find(label), self._catalog.identify("", "").combination
        if combination is None or combination.is_base or base is None or not base.is_base:
            return None
        if not self._adapters.looked_at(combination.served_name):
            return None
        return Target(
            label=label,
            served_name=combination.served_name,
            combination_id=combination.id,
            digest=self._catalog.digest(combination.served_name),
            parts=len(combination.parts),
            base=base.served_name,
            base_digest=base.base_digest,
        )

    def _next(self) -> tuple[Target, Reason] | None:
        now = time.time()
        ready = [one for one in self._targets() if self._broken.get(one[0].label, 0.0) <= now]
        return whose_turn(
            ready, self._asked, self.records, self._section.interval_s, now, validate_new=self._section.validate_new
        )

    def _outcome(self, target: Target) -> ProbeOutcome | None:
        now = self._round
        if now is not None and now.target == target and now.reason is not Reason.SCHEDULED:
            return ProbeOutcome(Probed.RUNNING, f"probing asks it {len(now.probes)} questions now")
        record = self.records.validation(target)
        return None if record is None else ProbeOutcome(record.result, record.sentence, self._section.approve)

    async def _run_round(self, target: Target, reason: Reason) -> None:
        probes = drawn(
            self._suite, self._section.questions_per_round, self._random, whole=reason is not Reason.SCHEDULED
        )
        probes, unit = await self._begun(probes, target.base)
        now = self._round = _Round(target, reason, probes, unit, time.time())
        self._answered = self._clock()
        log.info("probing %s (%s): %d questions", target.label, reason.value, len(probes))
        self.on_changed()
        waiting = iter(probes)
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._section.concurrency):
                workers.create_task(self._work(now, waiting), name="probe worker")
        self._round = None
        if reason is not Reason.SCHEDULED:
            self._asked.pop(target.label, None)
        if now.gone:
            self._metrics.rounds(target.label, reason.value, "abandoned").inc()
            log.info("probing %s was abandoned: %s", target.label, now.gone)
            self.on_changed()
            return
        self._take(now)
        self.on_changed()

    async def _begun(self, probes: Sequence[Probe], base: str) -> tuple[list[Probe], str]:
        """The questions with their openings cut to their depths, and the depths' unit; adapters have their base's tokens."""
        try:
            headers = await self._client.authorization()
        except ShadowError:
            headers = {}
        asks = await begun(self._client.session, [Ask(base, probe) for probe in probes], headers)
        return [ask.probe for ask in asks], asks[0].unit

    async def _work(self, now: _Round, waiting: Iterable[Probe]) -> None:
        for probe in waiting:
            own = await self._ask(now, probe, "combination", now.target.served_name)
            base = await self._ask(now, probe, "base", now.target.base)
            if now.gone:
                return
            now.done[probe.id] = (self._judged(own), self._judged(base), time.time())

    def _judged(self, answer: Answer) -> Judged:
        return Judged(answer, None if answer.failure else self._pipeline.score([item(answer)])[0])

    async def _ask(self, now: _Round, probe: Probe, role: str, served: str) -> Answer:
        ask, replay = Ask(served, probe, unit=now.unit), self._replay(probe)
        attempts = 0
        while True:
            await self._yielding.spend(len(probe.question) / CHARACTERS_PER_TOKEN + replay.max_tokens)
            await self._yielding.turn()
            if now.gone or not self._is_still(now):
                return Answer(ask, failure=NOT_ASKED)
            try:
                choice = await self._client.ask(replay, replay.request(served, self._salt, self._random), served, role)
            except ShadowError as error:
                attempts += str(error) not in _OF_THE_SERVER
                if self._may_ask_again(now.target.label, role, error, attempts):
                    continue
                return Answer(ask, failure=str(error))
            self._yielding.answered()
            self._answered = self._clock()
            self._metrics.requests(now.target.label, role, OK).inc()
            return Answer(ask, choice.text, choice.finish_reason, choice.tool_call)

    def _may_ask_again(self, label: str, role: str, error: ShadowError, attempts: int) -> bool:
        reason = str(error)
        self._metrics.requests(label, role, reason).inc()
        self._yielding.failed(error)
        left_out = self._repeats.allow(reason, self._clock())
        if left_out is not None:
            log.warning("a question got no answer (%d more before): %s", left_out, reason)
        return reason not in {"rejected", "unreadable", "other_model"} and attempts < ATTEMPTS

    def _is_still(self, now: _Round) -> bool:
        """The served name holds what it held at the beginning, and nothing more urgent came; otherwise nothing of it counts."""
        if self._target(now.target.label) != now.target:
            now.gone = "it is not what it was"
        elif now.reason is Reason.SCHEDULED and (turn := self._next()) and turn[1] is not Reason.SCHEDULED:
            now.gone = f"{turn[0].label} goes first"
        return not now.gone

    def _replay(self, probe: Probe) -> Replay:
        """The question as a request. A prefill is the beginning of the assistant's turn, which the server goes on with."""
        body: dict[str, Any] = {
            "messages": probe.turns,
            "temperature": self._decoding.temperature,
            "top_p": self._decoding.top_p,
            "max_tokens": self._decoding.max_tokens,
            "n": 1,
            "stream": False,
        }
        if probe.prefill:
            body["messages"] = [*probe.turns, {"role": "assistant", "content": probe.prefill}]
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return Replay(PATHS[_ENDPOINT], _ENDPOINT, body, self._decoding.max_tokens, limited=False)

    def _take(self, now: _Round) -> None:
        """A round has ended: its record, its pairs and its figures, without a pause between them."""
        answers = [now.done[probe.id] for probe in now.probes]
        record = record_of(
            now.target,
            now.reason,
            self._suite,
            [own for own, _, _ in answers],
            [base for _, base, _ in answers],
            scorer=self._pipeline.scorer,
            decoding=self._decoding,
            time=(now.began, time.time()),
        )
        self.records.add(record)
        self._show(record)
        self._metrics.rounds(now.target.label, now.reason.value, record.result.value).inc()
        log.log(
            logging.WARNING if record.result is Probed.FAILED else logging.INFO,
            "probed %s (%s): %s", now.target.label, now.reason.value, record.sentence,
        )  # fmt: skip
        for own, base, at in answers:
            self._compare(now.target.label, own, base, at)

    def _compare(self, label: str, own: Judged, base: Judged, at: float) -> None:
        """Give the paired evidence a question that both were asked as it stands, by the stratum that the suite gives it."""
        probe = own.probe
        if probe.kind is not Kind.PLAIN or own.verdict is None or base.verdict is None:
            return
        harmful = probe.stratum is ProbeStratum.HARMFUL_LOOKING
        self._pipeline.drifts.compare(
            Pair(
                combination=label,
                time=at,
                stratum=Stratum.HARMFUL_LOOKING if harmful else Stratum.ORDINARY,
                outcome=own.verdict.outcome,
                base_outcome=base.verdict.outcome,
                probe=True,
            )
        )

    def _show(self, record: Record) -> None:
        if record.result is not Probed.UNMEASURED:
            figures: list[Mapping[str, object]] = [
                {name: getattr(one, name) for name in one.__struct_fields__} for one in record.figures
            ]
            self._metrics.show(record.target.label, record.ended, figures)


def _shown(record: Record | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "reason": record.reason.value,
        "began": record.began,
        "ended": record.ended,
        "asked": record.asked,
        "result": record.result.value,
        "sentence": record.sentence,
        "figures": [{name: getattr(one, name) for name in one.__struct_fields__} for one in record.figures],
    }
