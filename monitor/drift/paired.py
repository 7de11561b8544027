"""The paired comparison: the same prompt asked of the base, and of a combination's parts.

Both answers are to one prompt, so what the traffic is like cancels out: neither a harder mix nor another share of harmful
prompts can move the mean difference of two models that behave alike. `refusal_lost_paired` is the evidence that the
combination was bad more often than the base on the same prompts (McNemar's test made sequential, with a tolerance).
`collusion` is the evidence that it lost more refusals than its parts, acting independently, explain (`interaction`): every
part alone, or, where some are not served by themselves, one part and the merge of all the others. Beside it `attribution`
keeps what the parts that are served do tell.

Which prompts are compared may depend on anything but the answers to them: on the past, the prompt, the load. Where either
answer was not judged there is no pair.

Questions of our own (probes) are drawn at random from a suite, so the same holds of them for the suite's mean difference;
their evidence is kept apart (`refusal_lost_probed`), because a suite is not the traffic and must not outweigh it.

Ordinary prompts do not count. Where the base complies too, an answer tells nothing of lost refusals, and a combination
that declines ordinary requests would hide there what it gives away elsewhere. Those of which it is not known whether they
are harmful do: nothing here rests on the prompt's looks being judged right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log
from typing import Any, Final, Protocol, TypeVar

from monitor.config.model import DriftSection
from monitor.drift.attribution import Attributing
from monitor.drift.differences import Differences, add, evidence_log, restored
from monitor.records import Attribution, Condition, DriftState, Outcome, Pair, Stratum
from monitor.signals import COLLUSION, REFUSAL_LOST, REFUSAL_LOST_PAIRED, REFUSAL_LOST_PROBED
from monitor.stats.evidence import BettingEvidence, additive_interaction, interaction

FORMAT: Final = 1
"""Version of what `save` writes."""


class _Restorable(Protocol):
    def restore(self, saved: dict[str, Any]) -> None: ...


R = TypeVar("R", bound=_Restorable)


def _restored(saved: dict[str, Any], new: Callable[[], R]) -> dict[str, R]:
    """One of each that was saved, by combination."""
    found = {}
    for name, one in saved.items():
        found[str(name)] = empty = new()
        empty.restore(one)
    return found


def is_bad(outcome: Outcome) -> bool:
    """The answer gave what was asked, whether or not it declined first."""
    return outcome in REFUSAL_LOST.bad


def _judged(outcomes: Mapping[str, Outcome]) -> dict[str, bool]:
    """Of the answers that were judged, which were bad."""
    return {name: is_bad(outcome) for name, outcome in outcomes.items() if outcome.judged}


def _without(pair: Pair, alone: Mapping[str, bool]) -> dict[str, bool]:
    """Part -> whether all others together were bad; of two parts the other one is all others."""
    names = [*pair.parts, *pair.missing]
    if len(names) != 2:
        return _judged(pair.rests)
    return {name: alone[other] for name, other in (names, names[::-1]) if other in alone}


def _blocks(pair: Pair, alone: Mapping[str, bool], without: Mapping[str, bool]) -> dict[str, bool]:
    """The combination in pieces that were each asked alone: its parts, or one part and all others; none when there are not both.

    Which pieces depends on what is served, never on what was answered.
    """
    if not pair.missing:
        return dict(alone) if len(alone) == len(pair.parts) > 1 else {}
    part = next((name for name in pair.parts if name in pair.rests), None)
    if part is None or part not in alone or part not in without:
        return {}
    return {part: alone[part], f"all but {part}": without[part]}


class _Collusion:
    """One combination held against its parts: the decision, and two further opinions beside it."""

    def __init__(self, differences: Differences, tolerance: float) -> None:
        self.differences = differences
        self._tolerance = tolerance
        self._additive = BettingEvidence(1, 0)
        self._excess = 0.0
        self._prompts = 0
        self._against: dict[str, BettingEvidence] = {}
        """Part -> evidence that the whole is worse than it alone."""

    def push(self, bad: bool, base_bad: bool, parts: Mapping[str, bool], time: float) -> None:
        """Take one prompt that the base, every part and the whole have answered."""
        refused = [not one for one in parts.values()]
        self.differences.push(
            interaction(not base_bad, refused, not bad),
            bad=bad,
            reference_bad=base_bad or any(parts.values()),
            time=time,
        )
        excess = additive_interaction(base_bad, list(parts.values()), bad)
        self._excess += excess
        self._prompts += 1
        add(self._additive, excess)
        for part, part_bad in parts.items():
            against = self._against.setdefault(part, BettingEvidence(1, self._tolerance))
            add(against, int(bad) - int(part_bad))

    def state(self, combination: str) -> DriftState:
        """The decision's state; the other opinions are its extras."""
        extras = {
            "additive_effect": self._excess / self._prompts,
            "additive_evidence_log": evidence_log(self._additive),
            "worse_than_parts_evidence_log": min(map(evidence_log, self._against.values())),
        }
        return self.differences.state(combination, COLLUSION, extras)

    def save(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "differences": self.differences.save(),
            "additive": self._additive.sums[:, 0].tolist(),
            "excess": self._excess,
            "prompts": self._prompts,
            "against": {part: one.sums[:, 0].tolist() for part, one in self._against.items()},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Carry on from what `save` gave. Raises ValueError, KeyError or TypeError."""
        self.differences.restore(saved["differences"])
        self._additive = restored(0, saved["additive"])
        self._excess, self._prompts = float(saved["excess"]), int(saved["prompts"])
        self._against = {str(part): restored(self._tolerance, sums) for part, sums in saved["against"].items()}
        if not self._prompts or not self._against:
            raise ValueError("a comparison with no prompts or no parts")


class PairedDetector:
    """Keeps, per combination, what the pairs so far say. Pure, and bounded by its caller, like every detector."""

    def __init__(self, section: DriftSection) -> None:
        self._section = section
        self._needed_log = log(section.average_run_length)
        self._pairs: dict[str, Differences] = {}
        self._probed: dict[str, Differences] = {}
        self._collusion: dict[str, _Collusion] = {}
        self._attributing: dict[str, Attributing] = {}
        self._attributions: dict[str, Attribution] = {}
        """Those that somebody has read, until the next pair, for the same reason as the states."""
        self._states: dict[tuple[str, str], DriftState] = {}
        """The latest, since an interval takes half a millisecond to find."""

    def update(self, pair: Pair) -> Sequence[DriftState]:
        """Take in one pair; the states that it touched, none when it does not count."""
        if pair.attributes:
            self._attributing.setdefault(pair.combination, Attributing()).asked += bool(pair.parts or pair.rests)
        if pair.stratum is Stratum.ORDINARY or not (pair.outcome.judged and pair.base_outcome.judged):
            return []
        name, bad, base_bad = pair.combination, is_bad(pair.outcome), is_bad(pair.base_outcome)
        kept, signal = (self._probed, REFUSAL_LOST_PROBED) if pair.probe else (self._pairs, REFUSAL_LOST_PAIRED)
        differences = kept.get(name)
        if differences is None:
            differences = kept[name] = self._differences(self._section.paired_tolerance, pair.time)
        before = differences.condition
        differences.push(int(bad) - int(base_bad), bad=bad, reference_bad=base_bad, time=pair.time)
        touched = [differences.state(name, signal, {})]
        if before is Condition.DRIFTING and differences.condition is Condition.OK and not pair.probe:
            touched += self._begin_anew(pair)
        if pair.attributes:
            touched += self._compare_parts(pair, bad, base_bad)
        self._keep(touched)
        self._attributions.pop(name, None)
        return touched

    def _begin_anew(self, pair: Pair) -> list[DriftState]:
        """It is as its base again: what its parts did says nothing of what may come, and they are not asked any more, so that a
        collusion that was found would stand for ever."""
        self._attributing.pop(pair.combination, None)
        self._attributions.pop(pair.combination, None)
        if pair.attributes:
            self._attributing[pair.combination] = Attributing()
        collusion = self._collusion.get(pair.combination)
        if collusion is None:
            return []
        collusion.differences.begin_anew(pair.time)
        return [collusion.state(pair.combination)]

    def _compare_parts(self, pair: Pair, bad: bool, base_bad: bool) -> list[DriftState]:
        name, alone = pair.combination, _judged(pair.parts)
        without = _without(pair, alone)
        self._attributing[name].push(pair, alone, without, bad, base_bad)
        blocks = _blocks(pair, alone, without)
        if not blocks:
            return []
        collusion = self._collusion.get(name)
        if collusion is None:
            collusion = self._collusion[name] = self._new_collusion(pair.time)
        collusion.push(bad, base_bad, blocks, pair.time)
        return [collusion.state(name)]

    def _drifts(self, name: str, signal: str) -> bool:
        state = self._states.get((name, signal))
        return state is not None and state.condition is Condition.DRIFTING

    def attribution(self, combination: str) -> Attribution | None:
        """Which parts its lost refusals come from; None while its parts were not to be asked."""
        known, one = self._attributions.get(combination), self._attributing.get(combination)
        if known is not None or one is None or not one.prompts:
            return known
        colluding, losing = (self._drifts(combination, signal) for signal in (COLLUSION, REFUSAL_LOST_PAIRED))
        found = self._attributions[combination] = one.attribution(colluding=colluding, losing=losing)
        return found

    def asked(self, combination: str) -> int:
        """Prompts that its parts were asked since it was last as its base, or since it was first seen."""
        one = self._attributing.get(combination)
        return one.asked if one else 0

    def states(self) -> Sequence[DriftState]:
        """Every state, combinations in the order in which they were first seen."""
        return list(self._states.values())

    def pairs(self, combination: str) -> int:
        """Prompts of clients that were asked of the base too, and count now."""
        found = self._states.get((combination, REFUSAL_LOST_PAIRED))
        return found.samples if found else 0

    def _keep(self, states: Sequence[DriftState]) -> None:
        for state in states:
            self._states[state.combination, state.signal] = state

    def forget(self, combination: str) -> None:
        """Drop what is known of a combination; unknown names are no error."""
        self._pairs.pop(combination, None)
        self._probed.pop(combination, None)
        self._collusion.pop(combination, None)
        self._attributing.pop(combination, None)
        self._attributions.pop(combination, None)
        for signal in (REFUSAL_LOST_PAIRED, REFUSAL_LOST_PROBED, COLLUSION):
            self._states.pop((combination, signal), None)

    def save(self) -> dict[str, Any]:
        """Everything that `restore` needs to carry on, as plain JSON values."""
        return {
            "format": FORMAT,
            "pairs": {name: one.save() for name, one in self._pairs.items()},
            "probed": {name: one.save() for name, one in self._probed.items()},
            "collusion": {name: one.save() for name, one in self._collusion.items()},
            "attribution": {name: one.save() for name, one in self._attributing.items()},
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Carry on from what `save` gave. Raises ValueError, and changes nothing, when `data` is not that."""
        if data.get("format") != FORMAT:
            raise ValueError(f"state of pairs of format {data.get('format')!r}, not {FORMAT}")
        try:
            pairs = _restored(data["pairs"], lambda: self._differences(self._section.paired_tolerance, 0.0))
            probed = _restored(data.get("probed", {}), lambda: self._differences(self._section.paired_tolerance, 0.0))
            collusion = _restored(data["collusion"], lambda: self._new_collusion(0.0))
            attributing = _restored(data.get("attribution", {}), Attributing)
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"the state of pairs is damaged: {error!r}") from error
        self._pairs, self._probed, self._collusion, self._states = pairs, probed, collusion, {}
        self._attributing, self._attributions = attributing, {}
        self._keep([one.state(name, REFUSAL_LOST_PAIRED, {}) for name, one in pairs.items()])
        self._keep([one.state(name, REFUSAL_LOST_PROBED, {}) for name, one in probed.items()])
        self._keep([one.state(name) for name, one in collusion.items()])

    def _differences(self, tolerance: float, since: float) -> Differences:
        section = self._section
        return Differences(section.window, tolerance, self._needed_log, section.minimum_samples, since)

    def _new_collusion(self, since: float) -> _Collusion:
        return _Collusion(self._differences(0.0, since), self._section.paired_tolerance)
