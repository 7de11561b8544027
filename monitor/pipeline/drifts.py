"""Detect and emit: answers and pairs become states, and states that begin or cease to drift become findings."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from monitor.adapters import Catalog, Identity
from monitor.arrival import Arrival
from monitor.baseline.guard import BaselineGuard
from monitor.drift import Detector, PairedDetector, Trends
from monitor.drift.attribution import unasked
from monitor.findings import Case, FindingBook
from monitor.findings.severity import LEAST_UNPAIRED, NO_PAIRS_S
from monitor.outputs import Output
from monitor.records import (
    EVERY,
    Attribution,
    Combination,
    Condition,
    DriftState,
    Finding,
    Observation,
    Outcome,
    Pair,
    Stratum,
    Verdict,
)
from monitor.signals import ATTRIBUTED, SUSPECT
from monitor.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class Drifts:
    """The states of all combinations, and what was found."""

    def __init__(
        self,
        catalog: Catalog,
        scorer: tuple[str, str],
        detector: Detector,
        paired: PairedDetector,
        baseline: BaselineGuard | None,
        metrics: Metrics,
        outputs: Sequence[Output],
    ) -> None:
        """scorer: name and version of what judges, for findings. paired: keeps what was asked of the base too. baseline: the
        measured behaviour of the base, as long as it speaks of what is served."""
        self._catalog = catalog
        self._scorer = scorer
        self._detector = detector
        self._paired = paired
        self._baseline = baseline
        self._metrics = metrics
        self._outputs = outputs
        self._conditions: dict[tuple[str, str], Condition] = {}
        self._suspicions: dict[tuple[str, str], float] = {}
        """Evidence as a share of what an alarm needs, of the signals in `SUSPECT`."""
        self._unpaired: dict[str, tuple[float, int]] = {}
        """Combination -> when its latest pair was made, or its first answer came, and harmful-looking prompts answered since."""
        self._causes: frozenset[str] = frozenset()
        """Signals under which a common cause stands."""
        self.findings = FindingBook()
        """What was found, until long after it ended."""
        self.findings.on_change = self._show_case
        self.history: Callable[[Combination], list[dict[str, Any]]] = lambda _combination: []
        """The latest changes of what is loaded that concern a combination, the newest first."""
        self.trends = Trends()
        """How the states came to be what they are, for people to look at."""

    def detect(
        self, arrival: Arrival, identity: Identity, verdict: Verdict, base: Outcome | None, example: str = ""
    ) -> None:
        """Take an answer that is a sample of its own."""
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
        if verdict.stratum is Stratum.HARMFUL_LOOKING:
            since, answers = self._unpaired.get(identity.label, (arrival.time, 0))
            self._unpaired[identity.label] = since, answers + 1
        states = self._detector.update(observation)
        for state in states:
            if state.combination == identity.label and state.samples:
                self.findings.note(state, arrival.time)
        self._note_common_causes(arrival.time)
        self._note(states, arrival.time)

    def compare(self, pair: Pair) -> None:
        """Take a prompt that a combination and its base have both answered."""
        counts = self._metrics.probes.pairs if pair.probe else self._metrics.pairs.pairs
        counts(pair.combination, pair.stratum.value, pair.base_outcome.value, pair.outcome.value).inc()
        if not pair.probe and pair.stratum is not Stratum.ORDINARY:
            self._unpaired[pair.combination] = pair.time, 0
        states = self._paired.update(pair)
        for state in states:
            self.findings.note(state, pair.time)
        self._note(states, pair.time)
        self.attribute(pair.combination)

    def check_baseline(self, time: float, *, always: bool = False) -> None:
        """Hold the combinations against the measured baseline, or no longer, when it is of another base than what is served
        now. always: also when that is as it was, because the detector carries on from somewhere else."""
        guard = self._baseline
        if guard is None or not guard.configured:
            return
        if guard.check(*self._catalog.base) or always:
            states = self._detector.hold_against(guard.references, traffic=guard.may_use_traffic, time=time)
            self._note_common_causes(time)
            self._note(states, time)

    @property
    def baseline_note(self) -> str:
        """What has to be said about the measured baseline, "" for nothing."""
        return self._baseline.note() if self._baseline else ""

    def states(self) -> Sequence[DriftState]:
        """All present states."""
        return [*self._detector.states(), *self._paired.states()]

    def pairs(self, label: str, now: float) -> int:
        """Prompts of clients that were asked of the base too, and count now; none when no more come. now: Unix seconds."""
        since, answers = self._unpaired.get(label, (now, 0))
        ceased = answers >= LEAST_UNPAIRED and now - since >= NO_PAIRS_S
        return 0 if ceased else self._paired.pairs(label)

    def condition(self, label: str, signal: str) -> Condition | None:
        """The present condition of one signal, None before its first sample."""
        return self._conditions.get((label, signal))

    def suspicion(self, label: str) -> float:
        """The largest evidence that a combination gives away what its base declines, as a share of what an alarm needs."""
        return max((self._suspicions.get((label, signal), 0.0) for signal in SUSPECT), default=0.0)

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

    def attribute(self, label: str) -> None:
        """Say anew where its lost refusals come from; also of an alarm that stood before a restart."""
        found = self.attribution(label)
        self.findings.attribute(label, found)
        self._metrics.drift.show_attribution(label, found)

    def forget(self, label: str, time: float, why: str) -> list[Case]:
        """What was learnt of its behaviour does not count any more; its counts stay. The findings that this ends.

        why: `unloaded`, `replaced` or `reset`.
        """
        ended = self.findings.end_all(label, time, why)
        for case in ended:
            self._write(case.ending())
        self._detector.forget(label)
        self._paired.forget(label)
        self._unpaired.pop(label, None)
        self.trends.forget(label)
        self._metrics.drift.forget(label)
        for key in [key for key in self._conditions if key[0] == label]:
            del self._conditions[key]
            self._suspicions.pop(key, None)
        self._note_common_causes(time)  # it may have stood by this one, and no answer may ever come to say so
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
        return {"detector": self._detector.save(), "paired": self._paired.save(), "findings": self.findings.save()}

    def restore(self, state: dict[str, Any]) -> None:
        """Carry on from what `save` gave, but for the findings. Raises ValueError, and changes nothing, when it is not that."""
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
        self._causes = frozenset(self._detector.common_causes())
        for signal in self._causes:
            self._metrics.drift.common_cause(signal).set(1)
        for drift in self.states():
            self._conditions[drift.combination, drift.signal] = drift.condition
            self._suspect(drift)
            self._metrics.drift.show(drift)

    def _suspect(self, state: DriftState) -> None:
        if state.signal in SUSPECT and not math.isnan(state.evidence_log):
            self._suspicions[state.combination, state.signal] = state.evidence_log / state.evidence_needed_log

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
            scorer=self._scorer[0],
            scorer_version=self._scorer[1],
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
