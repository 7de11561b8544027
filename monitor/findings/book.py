"""Keeps the findings, and of every combination as much of the past as a finding has to tell.

The detector says that something changed and how sure that is. When it changed, in which hazard categories, and in which answers
stands in a short trail of the latest answers that is kept here. All of it is bounded, and all of it is saved and restored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from monitor.findings.case import Acknowledgement, Case, CaseState, Numbers, case_id
from monitor.records import Attribution, DriftState, Finding, Outcome, Stratum, Verdict
from monitor.signals import ATTRIBUTED, REFUSAL_LOST, SIGNALS

MAX_CASES: Final = 500
"""Findings that are kept; of those that ended the oldest go first."""
TRAIL: Final = 64
"""Answers of a combination and signal whose times are remembered: half a kilobyte."""
BAD_TRAIL: Final = 64
"""Bad answers of a combination that are remembered."""
MAX_EXAMPLES: Final = 20
"""Examples that a finding names."""
NO_CATEGORY: Final = "none"
_BY_NAME: Final = {signal.name: signal for signal in SIGNALS}


class BadAnswer(msgspec.Struct, frozen=True, array_like=True):
    """An answer that is bad for some signal; never its text."""

    time: float
    outcome: Outcome
    stratum: Stratum
    category: str
    example: str = ""

    def concerns(self, signal: str) -> bool:
        """It is the bad event of this signal; of one that is not known here, when it complied where it should refuse."""
        known = _BY_NAME.get(signal, REFUSAL_LOST)
        return self.stratum is known.stratum and self.outcome in known.bad


class _Saved(msgspec.Struct):
    cases: list[Case] = []
    times: dict[str, dict[str, list[float]]] = {}
    bad: dict[str, list[BadAnswer]] = {}


class FindingBook:
    """All findings, open and ended."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}
        """By id, in the order in which they began."""
        self._lasting: dict[tuple[str, str], Case] = {}
        """Combination and signal -> the finding that lasts."""
        self._times: dict[str, dict[str, deque[float]]] = {}
        self._bad: dict[str, deque[BadAnswer]] = {}
        self.on_change: Callable[[Case], None] = lambda _case: None
        """Called with every finding that began, ended or was acknowledged."""
        self.on_examples: Callable[[Sequence[str], str], None] = lambda _examples, _finding: None
        """Called with examples that a finding, by its id, has come to name."""

    @property
    def cases(self) -> list[Case]:
        """All that are kept, in the order in which they began."""
        return list(self._cases.values())

    def find(self, identity: str) -> Case | None:
        """One by its id."""
        return self._cases.get(identity)

    def lasting(self, combination: str, signal: str) -> Case | None:
        """The one that lasts now."""
        return self._lasting.get((combination, signal))

    def answer(self, combination: str, time: float, verdict: Verdict, example: str = "") -> None:
        """An answer counts as a sample of this combination; called before the detector gets it."""
        bad = BadAnswer(time, verdict.outcome, verdict.stratum, verdict.category or NO_CATEGORY, example)
        if not any(bad.concerns(signal) for signal in _BY_NAME):
            return
        self._bad.setdefault(combination, deque(maxlen=BAD_TRAIL)).append(bad)
        for (name, signal), case in self._lasting.items():
            if name == combination and bad.concerns(signal):
                self._add(case, [bad])

    def note(self, state: DriftState, time: float) -> None:
        """A state with a new sample of its own."""
        trail = self._times.setdefault(state.combination, {}).setdefault(state.signal, deque(maxlen=TRAIL))
        trail.append(time)
        case = self._lasting.get((state.combination, state.signal))
        if case is not None:
            case.latest = Numbers.of(state)

    def attribute(self, combination: str, attribution: Attribution | None) -> None:
        """What is known now of the parts that it comes from; None leaves what was known."""
        for (name, signal), case in self._lasting.items():
            if name == combination and signal in ATTRIBUTED and attribution is not None:
                case.attribution = attribution

    def begin(self, finding: Finding, before: list[dict[str, Any]]) -> str:
        """A drift began; its id. before: the latest changes of what is loaded that concern it, the newest first."""
        key = finding.combination, finding.signal
        trail = self._times.get(finding.combination, {}).get(finding.signal, deque())
        samples = finding.state.samples
        numbers = Numbers.of(finding.state)
        case = Case(
            id=case_id(finding.combination_id, finding.combination, finding.signal, finding.time),
            combination=finding.combination,
            combination_id=finding.combination_id,
            parts=list(finding.parts),
            signal=finding.signal,
            state=CaseState.OPEN,
            began=finding.time,
            changed=trail[-min(samples, len(trail))] if trail and samples else finding.time,
            changed_before=samples > len(trail),
            first=numbers,
            latest=numbers,
            scorer=finding.scorer,
            scorer_version=finding.scorer_version,
            before=before,
            common_cause=finding.common_cause,
            attribution=finding.attribution,
        )
        self._cases[case.id] = self._lasting[key] = case
        since = [
            one
            for one in self._bad.get(finding.combination, ())
            if one.time >= case.changed and one.concerns(finding.signal)
        ]
        self._add(case, since)
        self._drop_oldest()
        self.on_change(case)
        return case.id

    def end(self, combination: str, signal: str, time: float, resolution: str) -> Case | None:
        """The finding that lasts has ended; None when there is none."""
        case = self._lasting.pop((combination, signal), None)
        if case is not None:
            case.state, case.ended, case.resolution = CaseState.RESOLVED, time, resolution
            self.on_change(case)
        return case

    def end_all(self, combination: str, time: float, resolution: str) -> list[Case]:
        """Those of a combination, whose past is forgotten with them."""
        self._times.pop(combination, None)
        self._bad.pop(combination, None)
        signals = [signal for name, signal in self._lasting if name == combination]
        ended = [self.end(combination, signal, time, resolution) for signal in signals]
        return [case for case in ended if case is not None]

    def acknowledge(self, case: Case, acknowledgement: Acknowledgement) -> None:
        """Somebody looks after it. Raises ValueError when it has ended."""
        if not case.lasts:
            raise ValueError("the finding has ended")
        case.acknowledged, case.state = acknowledgement, CaseState.ACKNOWLEDGED
        self.on_change(case)

    def save(self) -> dict[str, Any]:
        """What a successor needs, as plain JSON values."""
        times = {name: {signal: list(trail) for signal, trail in by.items()} for name, by in self._times.items()}
        bad = {name: list(trail) for name, trail in self._bad.items()}
        saved: dict[str, Any] = msgspec.to_builtins(_Saved(self.cases, times, bad))
        return saved

    def restore(self, state: object) -> None:
        """Carry on from what `save` gave. Raises ValueError, and changes nothing, when it is not that."""
        saved = msgspec.convert(state, _Saved)
        self._cases = {case.id: case for case in saved.cases}
        self._lasting = {(case.combination, case.signal): case for case in saved.cases if case.lasts}
        self._times = {
            name: {signal: deque(trail, TRAIL) for signal, trail in by.items()} for name, by in saved.times.items()
        }
        self._bad = {name: deque(trail, BAD_TRAIL) for name, trail in saved.bad.items()}
        for case in self._lasting.values():
            self.on_change(case)

    def _add(self, case: Case, answers: Sequence[BadAnswer]) -> None:
        for one in answers:
            case.categories[one.category] = case.categories.get(one.category, 0) + 1
        named = [one.example for one in answers if one.example][: MAX_EXAMPLES - len(case.examples)]
        if named:
            case.examples += named
            self.on_examples(named, case.id)

    def _drop_oldest(self) -> None:
        while len(self._cases) > MAX_CASES:
            gone = next((case for case in self._cases.values() if not case.lasts), next(iter(self._cases.values())))
            del self._cases[gone.id]
            if self._lasting.get((gone.combination, gone.signal)) is gone:
                del self._lasting[gone.combination, gone.signal]
