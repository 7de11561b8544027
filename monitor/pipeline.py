"""The back half in one file: decode -> identify -> score -> count -> detect -> emit.

Serves live traffic and recorded exchanges alike; the time is always the exchange's own. Every exchange that comes in is
counted once: scored, or unscored with a reason. None may stop the next one, whatever its bytes do to a part.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, ParamSpec, TypeVar

import msgspec

from monitor.adapters import UNLISTED, Catalog, Identity
from monitor.arrival import NO_RESPONSE, Arrival, Reader, ending_of, items_of
from monitor.baseline import BaselineGuard
from monitor.config.model import DriftSection
from monitor.drift import ATTRIBUTED, SUSPECT, Detector, PairedDetector, RecentSamples, Trends
from monitor.drift.attribution import unasked
from monitor.findings import Case, FindingBook
from monitor.outputs import Output
from monitor.protocols import DECODERS, asked_model
from monitor.protocols.endpoints import ADMIN, endpoint_of
from monitor.records import (
    EVERY,
    UNCONFIRMED,
    Attribution,
    Choice,
    Combination,
    Condition,
    Dialogue,
    DriftState,
    Exchange,
    Finding,
    Item,
    Observation,
    Outcome,
    Pair,
    Prompt,
    Verdict,
)
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

_FINISH_REASONS: Final = frozenset({"stop", "length", "tool_calls", "abort", "error", "content_filter", "repetition"})


@dataclass(slots=True)
class Tally:
    """What is shown of a combination beside its metrics."""

    requests: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    last_sample: float | None = None
    categories: dict[str, Counter[str]] = field(default_factory=dict)
    """Hazard category of the prompt -> outcomes; what was not judged counts as `not_judged`."""


class _SavedTally(msgspec.Struct):
    requests: int
    outcomes: dict[str, int]
    last_sample: float | None
    categories: dict[str, dict[str, int]] = {}


class Pipeline:
    """Takes exchanges, keeps the combinations' states, and emits findings."""

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
        self._detector = detector
        self._paired = paired or PairedDetector(DriftSection())
        self._metrics = metrics
        self._outputs = outputs
        self._samples = samples or RecentSamples(0)
        self._baseline = baseline
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
        self.unvalidated: frozenset[str] = frozenset()
        """Labels of combinations whose traffic counts as unvalidated."""
        self._reader = Reader()
        self._repeats = Repeats()
        self._introduced: dict[str, Combination] = {}
        self._conditions: dict[tuple[str, str], Condition] = {}
        self._suspicions: dict[tuple[str, str], float] = {}
        """Evidence as a share of what an alarm needs, of the signals in `SUSPECT`."""
        self.tallies: dict[str, Tally] = {}
        """Label -> what is shown of it."""
        self._causes: frozenset[str] = frozenset()
        """Signals under which a common cause stands."""
        self.findings = FindingBook()
        """What was found, until long after it ended."""
        self.findings.on_change = self._show_case
        self.history: Callable[[Combination], list[dict[str, Any]]] = lambda _combination: []
        """The latest changes of what is loaded that concern a combination, the newest first."""
        self.trends = Trends()
        """How the states came to be what they are, for people to look at."""
        self.mismatches: Counter[tuple[str, str]] = Counter()
        """Labels of what was requested and of what answered in its stead."""
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
                if arrival == NO_RESPONSE:
                    self._guarded("the decoder", self._count_unanswered, exchange)
                continue
            self._metrics.coverage.count("parsed", endpoint)
            if arrival.dialogue.tokens:
                self._wait_for_text(arrival)
            else:
                arrivals.append(arrival)
        self.take(arrivals)

    def _count_unanswered(self, exchange: Exchange) -> None:
        """A request that nobody answered counts for the one that was asked."""
        requested = exchange.adapter_header or asked_model(exchange)
        if requested is not None:
            identity = self._catalog.identify("", requested)
            self.introduce(identity)
            self._metrics.traffic.requests(identity.label, exchange.ending.value).inc()

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
        if identity.combination and self._introduced.get(identity.label) != identity.combination:
            self._introduced[identity.label] = identity.combination
            self._metrics.verdicts.introduce(identity.label, identity.combination)
            self._metrics.traffic.introduce(identity.label)
            self._attribute(identity.label)  # of an alarm that stood before a restart, too

    def forget(self, labels: Sequence[str], time: float, why: str) -> None:
        """These combinations are gone. why: `unloaded` or `replaced`."""
        self._samples.forget()
        for label in labels:
            self._end_all(label, time, why)
            self._detector.forget(label)
            self.trends.forget(label)
            self._paired.forget(label)
            self._metrics.forget(label)
            self._introduced.pop(label, None)
            self.tallies.pop(label, None)
            for pair in [pair for pair in self.mismatches if label in pair]:
                del self.mismatches[pair]
            for key in [key for key in self._conditions if key[0] == label]:
                del self._conditions[key]
                self._suspicions.pop(key, None)

    def reset(self, label: str, time: float) -> list[Case]:
        """What was learnt of a combination's behaviour does not count any more; its counts stay. The findings that this ends."""
        ended = self._end_all(label, time, "reset")
        self._samples.forget()
        self._detector.forget(label)
        self._paired.forget(label)
        self.trends.forget(label)
        self._metrics.drift.forget(label)
        for key in [key for key in self._conditions if key[0] == label]:
            del self._conditions[key]
            self._suspicions.pop(key, None)
        return ended

    def _end_all(self, label: str, time: float, why: str) -> list[Case]:
        ended = self.findings.end_all(label, time, why)
        for case in ended:
            self._write(case.ending())
        return ended

    def end_stale(self, time: float) -> None:
        """After a restore: findings whose detector knows nothing of them any more have ended."""
        drifting = {key for key, condition in self._conditions.items() if condition is Condition.DRIFTING}
        drifting |= {(EVERY, signal) for signal in self._causes}
        for case in self.findings.cases:
            if case.lasts and (case.combination, case.signal) not in drifting:
                self.findings.end(case.combination, case.signal, time, "restarted")
                self._write(case.ending())

    def save(self) -> dict[str, Any]:
        """What a successor needs to carry on, as plain JSON values."""
        tallies = {
            label: {
                "requests": tally.requests,
                "outcomes": dict(tally.outcomes),
                "last_sample": tally.last_sample,
                "categories": {category: dict(outcomes) for category, outcomes in tally.categories.items()},
            }
            for label, tally in self.tallies.items()
        }
        return {
            "scorer": self._scorer.version,
            "detector": self._detector.save(),
            "paired": self._paired.save(),
            "tallies": tallies,
            "findings": self.findings.save(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Carry on from what `save` gave. Raises ValueError, and changes nothing, when it is of another scorer or format."""
        if state.get("scorer") != self._scorer.version:
            raise ValueError("it was made with another scorer, whose verdicts cannot be mixed with this one's")
        saved = msgspec.convert(state.get("tallies"), dict[str, _SavedTally])
        detector = state.get("detector")
        if not isinstance(detector, dict):
            raise ValueError("it has no state of the detector")
        before = self._paired.save()
        paired = state.get("paired", before)
        if not isinstance(paired, dict):
            raise ValueError("it has no state of the pairs")
        self._paired.restore(paired)
        try:
            self._detector.restore(detector)
        except ValueError:
            self._paired.restore(before)
            raise
        self.tallies = {
            label: Tally(
                one.requests,
                Counter(one.outcomes),
                one.last_sample,
                {category: Counter(outcomes) for category, outcomes in one.categories.items()},
            )
            for label, one in saved.items()
        }
        for label, tally in self.tallies.items():
            if tally.last_sample is not None:  # alerts are gated on it: without it a standing one would end
                self._metrics.verdicts.last_sample(label).set(tally.last_sample)
        self._causes = frozenset(self._detector.common_causes())
        for signal in self._causes:
            self._metrics.drift.common_cause(signal).set(1)
        for drift in self.states():
            self._conditions[drift.combination, drift.signal] = drift.condition
            self._suspect(drift)
            self._metrics.drift.show(drift)
        self._catalog.remember([*self.tallies, *(drift.combination for drift in self.states())])

    @property
    def scorer(self) -> tuple[str, str]:
        """Name and version of what judges."""
        return self._scorer.name, self._scorer.version

    @property
    def risk_version(self) -> str:
        """Which model judges the risk of prompts."""
        return self._scorer.risk_version

    def check_baseline(self, time: float, *, always: bool = False) -> None:
        """Hold the combinations against the measured baseline, or no longer, when it is of another base than what is served
        now. always: also when that is as it was, because the detector carries on from somewhere else."""
        guard = self._baseline
        if guard is None or not guard.configured:
            return
        if guard.check(*self._catalog.base) or always:
            states = self._detector.hold_against(guard.references, traffic=guard.may_use_traffic, time=time)
            self._note(states, time)

    @property
    def baseline_note(self) -> str:
        """What has to be said about the measured baseline, "" for nothing."""
        return self._baseline.note() if self._baseline else ""

    def states(self) -> Sequence[DriftState]:
        """All present states."""
        return [*self._detector.states(), *self._paired.states()]

    def pairs(self, label: str) -> int:
        """Prompts of clients that were asked of the base too, and count now."""
        return self._paired.pairs(label)

    def condition(self, label: str, signal: str) -> Condition | None:
        """The present condition of one signal, None before its first sample."""
        return self._conditions.get((label, signal))

    def suspicion(self, label: str) -> float:
        """The largest evidence that a combination gives away what its base declines, as a share of what an alarm needs."""
        return max((self._suspicions.get((label, signal), 0.0) for signal in SUSPECT), default=0.0)

    def _suspect(self, state: DriftState) -> None:
        if state.signal in SUSPECT and not math.isnan(state.evidence_log):
            self._suspicions[state.combination, state.signal] = state.evidence_log / state.evidence_needed_log

    def score(self, items: list[Item]) -> list[Verdict]:
        """Verdicts of answers that no client got."""
        return self._score(items)

    def compare(self, pair: Pair) -> None:
        """Take a prompt that a combination and its base have both answered."""
        counts = self._metrics.probes.pairs if pair.probe else self._metrics.pairs.pairs
        counts(pair.combination, pair.stratum.value, pair.base_outcome.value, pair.outcome.value).inc()
        states = self._paired.update(pair)
        for state in states:
            self.findings.note(state, pair.time)
        self._note(states, pair.time)
        self._attribute(pair.combination)

    def attribution(self, label: str) -> Attribution | None:
        """Which of its parts a combination's lost refusals come from; None of a single adapter, and while nothing is lost."""
        found = self._paired.attribution(label)
        if found is not None:
            return found
        combination = self._catalog.find(label)
        several = combination is not None and len(combination.parts) > 1
        drifts = any(self._conditions.get((label, signal)) is Condition.DRIFTING for signal in ATTRIBUTED)
        return unasked() if several and drifts else None

    def parts_asked(self, label: str) -> int:
        """Prompts that a combination's parts were asked, too."""
        return self._paired.asked(label)

    def _attribute(self, label: str) -> None:
        found = self.attribution(label)
        self.findings.attribute(label, found)
        self._metrics.drift.show_attribution(label, found)

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
        self._count_traffic(arrival, identity)
        for choice, verdict in zip(dialogue.choices, verdicts, strict=True):
            self._count_verdict(arrival, identity, verdict)
            prompt = dialogue.prompts[choice.prompt] if dialogue.prompts else _NO_PROMPT
            if self._is_sample(identity, verdict, prompt, choice.text, arrival.time):
                example = (
                    self._guarded("keeping an example", self.keep_example, arrival, identity, choice, verdict) or ""
                )
                if choice.index == 0 and arrival.source is not None:
                    self._guarded("asking again", self.on_sample, arrival, identity, choice, verdict, example)
                self._detect(arrival, identity, verdict, base.outcome if base else None, example)
                if base and identity.combination and not identity.is_base:
                    self.compare(Pair(identity.label, arrival.time, verdict.stratum, verdict.outcome, base.outcome))
        if base:
            self._detect_base(arrival, base)
        if not verdicts:
            return "error_body" if dialogue.error else "no_choices"
        return min((verdict.reason for verdict in verdicts if verdict.outcome is Outcome.UNSCORED), default="")

    def _count_traffic(self, arrival: Arrival, identity: Identity) -> None:
        dialogue, traffic, label = arrival.dialogue, self._metrics.traffic, identity.label
        self.tallies.setdefault(label, Tally()).requests += 1
        traffic.requests(label, ending_of(arrival).value).inc()
        if label in self.unvalidated:
            self._metrics.adapters.unvalidated(label).inc()
        if dialogue.prompt_tokens is not None:
            traffic.tokens(label, "prompt").inc(dialogue.prompt_tokens)
        if dialogue.completion_tokens is not None:
            traffic.tokens(label, "completion").inc(dialogue.completion_tokens)
        for choice in dialogue.choices:
            traffic.finish_reasons(label, finish_reason_label(choice.finish_reason)).inc()
        if arrival.duration_s >= 0:
            traffic.duration(label).observe(arrival.duration_s)
        if arrival.first_byte_s >= 0:
            traffic.first_byte(label).observe(arrival.first_byte_s)
        if not self._catalog.same(dialogue.model_requested, dialogue.model_answered):
            requested = self._catalog.identify("", dialogue.model_requested).label
            self._metrics.traffic.mismatch(requested, label).inc()
            self.mismatches[requested, label] += 1

    def _count_verdict(self, arrival: Arrival, identity: Identity, verdict: Verdict) -> None:
        metrics, label = self._metrics.verdicts, identity.label
        labels = (label, verdict.stratum.value, verdict.outcome.value)
        metrics.responses(*labels).inc()
        metrics.weighted(*labels).inc(1 / arrival.inclusion)
        if verdict.tier:
            metrics.tiers.labels(verdict.tier).inc()
        for where, hidden in (("prompt", verdict.prompt_hidden), ("response", verdict.response_hidden)):
            for kind in hidden.kinds:
                metrics.hidden(label, where, kind).inc()
        metrics.languages(verdict.language or "none", verdict.outcome.value).inc()
        tally = self.tallies.setdefault(label, Tally())
        if verdict.category:
            judged = verdict.outcome.value if verdict.outcome.judged else "not_judged"
            metrics.categories(label, verdict.category, judged).inc()
            tally.categories.setdefault(verdict.category, Counter())[judged] += 1
        tally.outcomes[verdict.outcome.value] += 1
        if verdict.outcome.judged:
            tally.last_sample = max(arrival.time, tally.last_sample or arrival.time)  # a long answer may come in late
            metrics.last_sample(label).set(tally.last_sample)

    def _is_sample(self, identity: Identity, verdict: Verdict, prompt: Prompt, answer: str, time: float) -> bool:
        """Whether the detector gets this answer: not when the same was asked, or the conversation counted, a short time ago."""
        if identity.combination is None or not (verdict.outcome.judged or verdict.reason == UNCONFIRMED):
            return True
        if self._samples.is_first(identity.label, verdict.stratum, prompt, answer, time):
            return True
        self._metrics.verdicts.repeated(identity.label).inc()
        return False

    def _detect(
        self, arrival: Arrival, identity: Identity, verdict: Verdict, base: Outcome | None, example: str = ""
    ) -> None:
        if identity.combination is None:
            return
        observation = Observation(
            combination=identity.label,
            is_base=identity.is_base,
            time=arrival.time,
            stratum=verdict.stratum,
            outcome=verdict.outcome,
            weight=1 / arrival.inclusion,
            base_outcome=base,
        )
        self.findings.answer(identity.label, arrival.time, verdict, example)
        states = self._detector.update(observation)
        for state in states:
            if state.combination == identity.label and state.samples:
                self.findings.note(state, arrival.time)
        self._note_common_causes(arrival.time)
        self._note(states, arrival.time)

    def _detect_base(self, arrival: Arrival, base: Verdict) -> None:
        """The base model's answer beside a recorded one counts as the base's own."""
        identity = self._catalog.identify("", "")
        if identity.is_base:
            self.introduce(identity)
            prompt = next(iter(arrival.dialogue.prompts), _NO_PROMPT)
            if self._is_sample(identity, base, prompt, arrival.base_response or "", arrival.time):
                self._detect(arrival, identity, base, None)

    def _note_common_causes(self, time: float) -> None:
        """A common cause that came or went is a finding of its own: of all combinations, before those of each."""
        causes = frozenset(self._detector.common_causes())
        for signal in sorted(causes ^ self._causes):
            began = signal in causes
            self._metrics.drift.common_cause(signal).set(began)
            self._emit(self._detector.all_together(signal), began=began, time=time)
        self._causes = causes

    def _note(self, states: Sequence[DriftState], time: float) -> None:
        """Export touched states; a condition that changed to or from drifting is a finding."""
        for state in states:
            self._metrics.drift.show(state)
            self.trends.note(state, time)
            key = (state.combination, state.signal)
            before = self._conditions.get(key, Condition.WARMING_UP)
            self._conditions[key] = state.condition
            self._suspect(state)
            began = state.condition is Condition.DRIFTING
            if began != (before is Condition.DRIFTING):
                self._emit(state, began=began, time=time)

    def _emit(self, state: DriftState, *, began: bool, time: float) -> None:
        combination = self._catalog.find(state.combination)
        finding = Finding(
            combination=state.combination,
            combination_id=combination.id if combination else "",
            signal=state.signal,
            began=began,
            time=time,
            state=state,
            scorer=self._scorer.name,
            scorer_version=self._scorer.version,
            parts=combination.parts if combination else (),
            common_cause=state.signal in self._causes and state.combination != EVERY,
            attribution=self.attribution(state.combination) if state.signal in ATTRIBUTED else None,
        )
        if began:
            self._metrics.drift.findings(state.combination, state.signal).inc()
            history = self.history(combination) if combination else []
            finding = replace(finding, id=self.findings.begin(finding, history))
        else:
            case = self.findings.end(state.combination, state.signal, time, "recovered")
            finding = replace(finding, id=case.id if case else "", resolution="recovered")
        self._metrics.drift.show_attribution(state.combination, self.attribution(state.combination))
        self._write(finding)

    def _show_case(self, case: Case) -> None:
        self._metrics.drift.show_finding(case.combination, case.signal, case.state.value)

    def _write(self, finding: Finding) -> None:
        state = finding.state
        log.warning(
            "%s: %s %s (finding %s): rate %.3f (%.3f to %.3f) over %d answers, %s, threshold %.3f",
            state.combination,
            state.signal,
            "began" if finding.began else f"ended, {finding.resolution}",
            finding.id,
            state.rate,
            state.lower,
            state.upper,
            state.samples,
            "base not measured"
            if math.isnan(state.baseline_rate)
            else f"base {state.baseline_rate:.3f} over {state.baseline_samples}",
            state.threshold,
        )
        for output in self._outputs:
            output.write(finding)


def finish_reason_label(reason: str) -> str:
    """A bounded label for what the server wrote."""
    return reason if reason in _FINISH_REASONS else ("none" if not reason else "other")
