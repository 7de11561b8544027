"""The way of every exchange through the back half: decode -> identify -> score -> count -> detect.

Serves live traffic and recorded exchanges alike; the time is always the exchange's own. Every exchange that comes in is
counted once: scored, or unscored with a reason. None may stop the next one, whatever its bytes do to a part.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, ParamSpec, TypeVar

from monitor.adapters import UNLISTED, Catalog, Identity
from monitor.arrival import MALFORMED, NO_RESPONSE, Arrival, Reader, items_of
from monitor.baseline.guard import BaselineGuard
from monitor.config.model import DriftSection
from monitor.drift import Detector, PairedDetector, RecentSamples
from monitor.findings import Case
from monitor.outputs import Output
from monitor.pipeline.counts import Counts, read_tallies
from monitor.pipeline.drifts import Drifts
from monitor.protocols import DECODERS, asked_model
from monitor.protocols.endpoints import ADMIN, endpoint_of
from monitor.records import UNCONFIRMED, Choice, Dialogue, Ending, Exchange, Item, Outcome, Pair, Prompt, Verdict
from monitor.scoring import Scorer
from monitor.telemetry.logs import Repeats, where_it_failed
from monitor.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

INTERNAL_ERROR: Final = "internal_error"
"""Reason of exchanges on which a part failed: a defect of the monitor, to be reported."""

ADMIN_CALL: Final = "admin_call"
"""Reason of exchanges that carry no answer, because they told the server to change."""

_NO_PROMPT: Final = Prompt("")


class Pipeline:
    """Takes exchanges, and has them counted and held against the base."""

    def __init__(
        self,
        catalog: Catalog,
        scorer: Scorer,
        detector: Detector,
        metrics: Metrics,
        outputs: Sequence[Output],
        samples: RecentSamples | None = None,
        paired: PairedDetector | None = None,
        baseline: BaselineGuard | None = None,
    ) -> None:
        """samples: tells which answers are samples of their own; None takes every one for one.

        paired: keeps what was asked of the base too; None is one of default settings. baseline: the measured behaviour of
        the base, as long as it speaks of what is served.
        """
        self._catalog = catalog
        self._scorer = scorer
        self._metrics = metrics
        self._samples = samples or RecentSamples(0)
        self.counts = Counts(catalog, metrics)
        """What was counted."""
        self.drifts = Drifts(
            catalog, self.scorer, detector, paired or PairedDetector(DriftSection()), baseline, metrics, outputs
        )
        """What the detectors say, and what was found."""
        self.on_unlisted: Callable[[], None] = lambda: None
        """Called when a response names a model that the server's list does not have."""
        self.on_token_ids: Callable[[Dialogue, Callable[[Dialogue | str], None]], str] = lambda _dialogue, _done: (
            "token_ids"
        )
        """Called with a dialogue whose text is still token ids, and with what takes its text or the reason why there is
        none; the answer is the reason why nobody will call that, "" when somebody will."""
        self.on_verdict: Callable[[Item, Verdict], None] = lambda _item, _verdict: None
        """Called with every answer and its verdict; must not wait."""
        self.on_sample: Callable[[Arrival, Identity, Choice, Verdict, str], None] = lambda *_: None
        """Called with the first answer of every exchange that is a sample of its own, before a detector has seen it, and with
        the id under which it is kept, "" for none."""
        self.keep_example: Callable[[Arrival, Identity, Choice, Verdict], str] = lambda *_: ""
        """Called with every answer that is a sample of its own: the id under which it is kept, "" for none; must not wait."""
        self.on_admin_call: Callable[[Exchange], None] = lambda _exchange: None
        """Called with every exchange that may have changed what the server has loaded."""
        self._reader = Reader()
        self._repeats = Repeats()
        metrics.verdicts.scorer.labels(scorer.name, scorer.version, scorer.risk_version).set(1)
        for endpoint in DECODERS:
            metrics.coverage.parsed(endpoint)
            metrics.coverage.scored(endpoint)

    def process(self, exchanges: Sequence[Exchange]) -> None:
        """Decode exchanges and take them."""
        arrivals = []
        for exchange in exchanges:
            endpoint = endpoint_of(exchange.method, exchange.target)
            if endpoint == ADMIN:
                self._guarded("noting an admin call", self.on_admin_call, exchange)
                self._metrics.coverage.count("unscored", endpoint, ADMIN_CALL)
                continue
            arrival = self._guarded("the decoder", self._reader.read, exchange, endpoint) or INTERNAL_ERROR
            if isinstance(arrival, str):
                self._metrics.coverage.count("unscored", endpoint, arrival)
                if arrival == NO_RESPONSE or (arrival == MALFORMED and exchange.ending is not Ending.COMPLETE):
                    self._guarded("the decoder", self._count_unanswered, exchange)
                continue
            self._metrics.coverage.count("parsed", endpoint)
            if arrival.dialogue.tokens:
                self._wait_for_text(arrival)
            else:
                arrivals.append(arrival)
        self.take(arrivals)

    def _count_unanswered(self, exchange: Exchange) -> None:
        requested = exchange.adapter_header or asked_model(exchange)
        if requested is not None:
            identity = self._catalog.identify("", requested)
            self.introduce(identity)
            self.counts.unanswered(identity.label, exchange.ending)

    def _wait_for_text(self, arrival: Arrival) -> None:
        def done(result: Dialogue | str) -> None:
            if isinstance(result, str):
                self._metrics.coverage.count("unscored", arrival.endpoint, result)
            else:
                self.take([replace(arrival, dialogue=result)])

        reason = self.on_token_ids(arrival.dialogue, done)
        if reason:
            done(reason)

    def take(self, arrivals: Sequence[Arrival]) -> None:
        """Identify, score, count and detect; one call of the scorer for all."""
        items: list[Item] = []
        for arrival in arrivals:
            items.extend(items_of(arrival))
        scored = self._score(items)
        for item, verdict in zip(items, scored, strict=True):
            self._guarded("the judge", self.on_verdict, item, verdict)
        verdicts = iter(scored)
        for arrival in arrivals:
            known = arrival.known
            own = [known.judged(next(verdicts), known.outcome) for _ in arrival.dialogue.choices]
            base = known.judged(next(verdicts), known.base_outcome) if arrival.base_response is not None else None
            reason = self._guarded("the analysis", self._take_one, arrival, own, base)
            if reason == "":
                self._metrics.coverage.count("scored", arrival.endpoint)
            else:
                self._metrics.coverage.count("unscored", arrival.endpoint, reason or INTERNAL_ERROR)

    def introduce(self, identity: Identity) -> None:
        """Create the series of a combination that was just loaded or seen."""
        if self.counts.introduce(identity):
            self.drifts.attribute(identity.label)

    def forget(self, labels: Sequence[str], time: float, why: str) -> None:
        """These combinations are gone. why: `unloaded` or `replaced`."""
        self._samples.forget()
        for label in labels:
            self.drifts.forget(label, time, why)
            self.counts.forget(label)

    def reset(self, label: str, time: float) -> list[Case]:
        """What was learnt of a combination's behaviour does not count any more; its counts stay. The findings that this ends."""
        self._samples.forget()
        return self.drifts.forget(label, time, "reset")

    def save(self) -> dict[str, Any]:
        """What a successor needs to carry on, as plain JSON values."""
        return {"scorer": self._scorer.version, "tallies": self.counts.save(), **self.drifts.save()}

    def restore(self, state: dict[str, Any]) -> None:
        """Carry on from what `save` gave. Raises ValueError, and changes nothing, when it is of another scorer or format."""
        if state.get("scorer") != self._scorer.version:
            raise ValueError("it was made with another scorer, whose verdicts cannot be mixed with this one's")
        tallies = read_tallies(state.get("tallies"))
        self.drifts.restore(state)
        self.counts.restore(tallies)
        self._catalog.remember([*tallies, *(drift.combination for drift in self.drifts.states())])

    @property
    def scorer(self) -> tuple[str, str]:
        """Name and version of what judges."""
        return self._scorer.name, self._scorer.version

    @property
    def risk_version(self) -> str:
        """Which model judges the risk of prompts."""
        return self._scorer.risk_version

    def score(self, items: list[Item]) -> list[Verdict]:
        """Verdicts of answers that no client got."""
        return self._score(items)

    def _guarded(self, part: str, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Where the failure of a part on one exchange ends: None instead of a result, a log line now and then, and on."""
        try:
            return step(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # counted by the callers; text from outside must not end the analysis
            left_out = self._repeats.allow(part, time.monotonic())
            if left_out is not None:
                log.error("%s failed on an exchange (%d more before): %s", part, left_out, where_it_failed(error))
            return None

    def _score(self, items: list[Item]) -> list[Verdict]:
        """Verdicts for all items; where the scorer fails on a batch, each is tried alone, so that one does not spoil the rest."""
        if not items:
            return []
        verdicts = self._guarded("the scorer", self._ask_scorer, items)
        if verdicts is not None:
            return verdicts
        if len(items) == 1:
            return [Verdict(Outcome.UNSCORED, self._scorer.name, self._scorer.version, reason="scorer_failed")]
        return [verdict for item in items for verdict in self._score([item])]

    def _ask_scorer(self, items: list[Item]) -> list[Verdict]:
        verdicts = self._scorer.score(items)
        if len(verdicts) != len(items):
            raise ValueError(f"{len(verdicts)} verdicts for {len(items)} answers")
        return verdicts

    def _take_one(self, arrival: Arrival, verdicts: list[Verdict], base: Verdict | None) -> str:
        """Count one exchange; why it counts as unscored, "" when it was scored."""
        dialogue = arrival.dialogue
        identity = self._catalog.identify(dialogue.model_answered, dialogue.model_requested)
        if identity.label == UNLISTED:
            self.on_unlisted()
        self.introduce(identity)
        self.counts.traffic(arrival, identity)
        for choice, verdict in zip(dialogue.choices, verdicts, strict=True):
            self.counts.verdict(arrival, identity, verdict)
            prompt = dialogue.prompts[choice.prompt] if dialogue.prompts else _NO_PROMPT
            if self._is_sample(identity, verdict, prompt, choice.text, arrival.time):
                example = (
                    self._guarded("keeping an example", self.keep_example, arrival, identity, choice, verdict) or ""
                )
                if choice.index == 0 and arrival.source is not None:
                    self._guarded("asking again", self.on_sample, arrival, identity, choice, verdict, example)
                self.drifts.detect(arrival, identity, verdict, base.outcome if base else None, example)
                if base and identity.combination and not identity.is_base:
                    self.drifts.compare(
                        Pair(identity.label, arrival.time, verdict.stratum, verdict.outcome, base.outcome)
                    )
        if base:
            self._detect_base(arrival, base)
        if not verdicts:
            return "error_body" if dialogue.error else "no_choices"
        return min((verdict.reason for verdict in verdicts if verdict.outcome is Outcome.UNSCORED), default="")

    def _is_sample(self, identity: Identity, verdict: Verdict, prompt: Prompt, answer: str, time: float) -> bool:
        """Whether the detector gets this answer: not when the same was asked, or the conversation counted, a short time ago."""
        if identity.combination is None or not (verdict.outcome.judged or verdict.reason == UNCONFIRMED):
            return True
        if self._samples.is_first(identity.label, verdict.stratum, prompt, answer, time):
            return True
        self.counts.repeated(identity.label)
        return False

    def _detect_base(self, arrival: Arrival, base: Verdict) -> None:
        """The base model's answer beside a recorded one counts as the base's own."""
        identity = self._catalog.identify("", "")
        if identity.is_base:
            self.introduce(identity)
            prompt = next(iter(arrival.dialogue.prompts), _NO_PROMPT)
            if self._is_sample(identity, base, prompt, arrival.base_response or "", arrival.time):
                self.drifts.detect(arrival, identity, base, None)
