"""Sequential detection: evidence gathered with every answer, against the base model's rate.

A signal drifts when the evidence that its rate lies above a threshold reaches the configured average run length: then, as
long as the rate does not lie above it, the alarm comes after that many answers on average at the least, however often
anybody looks (see `stats.evidence`). The threshold is the largest rate that the base's own answers do not contradict, plus
the tolerance, or the absolute limit. A small reference delays an alarm and never causes one.

Beside the decision stands what a person wants to read: the rate of the latest answers, and once there is evidence of a
change, of those since it most likely began, with an interval that holds at every look.

An alarm ends on fresh answers alone: a whole window of them must have passed since the evidence last reached what is
needed, and their rate must be at or below the threshold. Silence ends nothing; whoever shows the state must look at the age
of the last answer.

A new combination begins with a share of the evidence that is needed, so that one which is bad from its first answer is found
soon. When at least half of all combinations gather evidence together, or the base itself drifts, a common cause stands: the
base, the scorer or the prompts, rather than any of them (see `fleet`).

A combination changes state with its own answers only (and once, when the base gets its first usable reference): it is
held against the base as the base was then. That keeps an update cheap however many combinations there are.

Known limits. The rates are those of the prompts that came: if a combination's harmful-looking prompts become harder while
the base's do not, the rate moves without any change of behaviour, and the tolerance is all that absorbs it. Only a
comparison on the same prompt is safe from that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import log, nan
from typing import Any, Final

import numpy as np

from monitor.config.model import DriftSection
from monitor.drift.fleet import CommonCause, Pace, share_of_each
from monitor.drift.interface import Reference
from monitor.drift.window import BitWindow
from monitor.records import EVERY, Condition, DriftState, Observation
from monitor.signals import OVER_REFUSAL, REFUSAL_LOST, SIGNALS, Signal
from monitor.stats import Interval, rate_sequence
from monitor.stats.evidence import ALTERNATIVES, RateEvidence, fleet_threshold, head_start, likeliest_change, null_rate

FORMAT: Final = 3
"""Version of what `save` writes."""
BASE_WINDOW: Final = 3000
"""Latest answers of the base that are its reference: more would tell little more, and a base that was replaced would count on."""
ERROR: Final = 0.05
"""Probability that the interval that is shown ever misses the rate."""
ABOVE: Final = 10.0
"""Evidence grows to so many times what is needed, so that it is gone soon after a change is over."""
LEAST_NEEDED: Final = 100.0
"""Evidence below which nothing is said, however little traffic there is."""
NEW_NULL: Final = 0.01
"""Relative change of the threshold below which the streams keep theirs."""
INTERVALS_KEPT: Final = 32_768
"""Intervals remembered by count: every count of a window of 200, in about 6 MB at most."""


class _Counts:
    """The reference a signal is held against: bad answers among samples."""

    __slots__ = ("bad", "null", "rate", "samples")

    def __init__(self, bad: int, samples: int, rate: float | None = None, null: float | None = None) -> None:
        self.bad = bad
        self.samples = samples
        self.rate = bad / samples if rate is None else rate
        self.null = null
        """Rate that counts as unchanged, where it was measured with the counts; it is computed from them otherwise."""


def _differ(before: _Counts | None, now: _Counts | None) -> bool:
    """Whether evidence against the one says nothing against the other. The base's own window moves all the time, and stays
    the same reference."""
    if before is None or now is None:
        return before is not now
    return before.null != now.null


class _Track:
    """One combination under one signal."""

    __slots__ = ("column", "condition", "evidence", "fresh", "null", "reference", "since", "window")

    def __init__(self, window: BitWindow, since: float, column: int) -> None:
        self.window = window
        self.since = since
        self.column = column
        """Its column in the signal's evidence."""
        self.condition = Condition.WARMING_UP
        self.fresh = 0
        """Answers since the evidence last reached what is needed; counted while drifting."""
        self.reference: _Counts | None = None
        """The base as it was at the latest answer."""
        self.null = nan
        """The threshold that the evidence is gathered against; NaN while there is none."""
        self.evidence = 0.0
        """What its column says."""


class _Combination:
    """One combination under every signal."""

    __slots__ = ("is_base", "tracks")

    def __init__(self, is_base: bool, tracks: dict[str, _Track]) -> None:
        self.is_base = is_base
        self.tracks = tracks


class _Streams:
    """The evidence of one signal: a column for each combination, used again when one is gone."""

    def __init__(self, ceiling: float) -> None:
        self.evidence = RateEvidence(np.full(8, 0.5), ceiling)
        self.shared = np.zeros(8)
        """(N,): evidence of the combinations that may share in a common cause; 0 for all other columns."""
        self.sharing: set[int] = set()
        """Columns of those combinations."""
        self.base_drifts = False
        """The base itself does, against a frozen baseline or an absolute limit, and all that is built on it with it."""
        self.cause = CommonCause()
        self._free = list(range(8))[::-1]

    def take(self, start: float = 0.0) -> int:
        """A column with this evidence to begin with."""
        if not self._free:
            size = self.evidence.sums.shape[1]
            self.evidence.grow(2 * size)
            self.shared = np.pad(self.shared, (0, size))
            self._free = list(range(size, 2 * size))[::-1]
        column = self._free.pop()
        self.clear(column, start)
        return column

    def clear(self, column: int, start: float) -> None:
        """Drop a column's evidence, and its part in a common cause."""
        self.evidence.sums[:, column] = start
        self.shared[column] = 0
        self.sharing.discard(column)

    def give_back(self, column: int) -> None:
        """Nobody needs this one any more."""
        self._free.append(column)
        self.shared[column] = 0
        self.sharing.discard(column)

    def share(self, column: int, evidence: float) -> None:
        """This combination's part in a common cause."""
        self.sharing.add(column)
        self.shared[column] = evidence

    def mean_of(self, column: int) -> float:
        """A column's evidence."""
        sums = self.evidence.sums[:, column]
        return float(sums.sum()) / len(sums)


class SequentialDetector:
    """See the module's text for its rule and its limits."""

    def __init__(self, section: DriftSection) -> None:
        self._section = section
        self._needed = section.average_run_length
        self._needed_log = log(self._needed)
        self._pace = Pace()
        self._combinations: dict[str, _Combination] = {}
        self._streams = {signal.name: self._no_streams() for signal in SIGNALS}
        self._base = {signal.name: BitWindow(BASE_WINDOW) for signal in SIGNALS}
        self._frozen = {
            signal.name: _Counts(round(one.rate * one.samples), one.samples, one.rate)
            for signal, one in ((REFUSAL_LOST, section.baseline), (OVER_REFUSAL, section.over_refusal_baseline))
            if one
        }
        """Signal -> the reference that was measured beforehand."""
        self._traffic = section.baseline_file is None
        """The base's own answers are the reference where nothing is frozen."""
        self._interval = lru_cache(maxsize=INTERVALS_KEPT)(self._compute_interval)
        self._null = lru_cache(maxsize=INTERVALS_KEPT)(self._compute_null)

    def update(self, observation: Observation) -> Sequence[DriftState]:
        """Take in one answer; the states that it touched, all of them for a combination seen for the first time."""
        combination = self._combinations.get(observation.combination)
        new = combination is None
        if combination is None:
            combination = self._begin(observation)
        touched: list[DriftState] = []
        gathered = 0
        for signal in SIGNALS:
            track = combination.tracks[signal.name]
            counts = observation.stratum is signal.stratum and observation.outcome.judged
            if counts:
                bad = observation.outcome in signal.bad
                track.window.push(bad)
                if observation.is_base:
                    touched += self._learn_base(signal, bad, observation.time)
                self._gather(signal, combination, track, bad)
                self._judge(track, observation.time)
                self._share(signal, combination, track, observation.time)
                gathered += 1
            if counts or new:
                touched.append(self._state(observation.combination, signal, track))
        if self._pace.count(observation.time, gathered) and self._section.days_per_false_alarm is not None:
            self._set_pace(self._section.days_per_false_alarm)
        return touched

    def common_causes(self) -> Sequence[str]:
        """Names of the signals in which at least half of all combinations, or the base itself, have moved."""
        return [name for name, streams in self._streams.items() if streams.cause.standing]

    def states(self) -> Sequence[DriftState]:
        """Every state, combinations in the order in which they were first seen."""
        return [
            self._state(name, signal, combination.tracks[signal.name])
            for name, combination in self._combinations.items()
            for signal in SIGNALS
        ]

    def hold_against(self, references: Mapping[str, Reference], *, traffic: bool, time: float) -> Sequence[DriftState]:
        """Take these as the references. Only signals that are relative to the base are held against one; for the others
        it is what is shown beside them."""
        self._frozen = {name: _Counts(one.bad, one.samples, null=one.null) for name, one in references.items()}
        self._traffic = traffic
        touched = []
        for name, combination in self._combinations.items():
            for signal in SIGNALS:
                track = combination.tracks[signal.name]
                reference = self._reference(signal, combination.is_base)
                if signal.relative and _differ(track.reference, reference):
                    self._start_anew(signal, combination, track)
                    self._judge(track, time)
                    self._share(signal, combination, track, time)
                    touched.append(self._state(name, signal, track))
        return touched

    def _start_anew(self, signal: Signal, combination: _Combination, track: _Track) -> None:
        """Drop the evidence, and take the latest answers as evidence against what is the reference now."""
        streams = self._streams[signal.name]
        streams.clear(track.column, self._start)
        track.null, track.reference, track.evidence = nan, None, streams.mean_of(track.column)
        if len(track.window):
            self._gather(signal, combination, track)

    def forget(self, combination: str) -> None:
        """Drop a combination. What was learnt of the base as a reference stays: the base model is not unloaded."""
        gone = self._combinations.pop(combination, None)
        if gone is None:
            return
        for signal, track in gone.tracks.items():
            streams = self._streams[signal]
            streams.give_back(track.column)
            streams.base_drifts = streams.base_drifts and not gone.is_base
            streams.cause.standing = streams.cause.standing and self._look(streams)

    def save(self) -> dict[str, Any]:
        """Windows, conditions, references and evidence of each, as plain JSON values."""
        return {
            "format": FORMAT,
            "hours": sorted(self._pace.hours.items()),
            "causes": {name: [one.cause.standing, one.cause.since] for name, one in self._streams.items()},
            "base": {name: str(window) for name, window in self._base.items()},
            "combinations": {
                name: {
                    "is_base": combination.is_base,
                    "signals": {
                        signal: self._save_track(signal, track) for signal, track in combination.tracks.items()
                    },
                }
                for name, combination in self._combinations.items()
            },
        }

    def restore(self, data: dict[str, Any]) -> None:
        """Carry on from what `save` gave, also under another configuration (of a longer window the latest stay).

        Raises ValueError, and changes nothing, when `data` is not of this format.
        """
        if data.get("format") != FORMAT:
            raise ValueError(f"detector state of format {data.get('format')!r}, not {FORMAT}")
        streams = {signal.name: self._no_streams() for signal in SIGNALS}
        try:
            pace = Pace({int(hour): int(count) for hour, count in data["hours"]})
            for name, one in streams.items():
                standing, since = data["causes"][name]
                one.cause = CommonCause(standing=bool(standing), since=float(since))
            base = {signal.name: BitWindow(BASE_WINDOW, data["base"][signal.name]) for signal in SIGNALS}
            combinations = {
                str(name): _Combination(
                    bool(saved["is_base"]),
                    {
                        signal.name: self._restore_track(streams[signal.name], saved["signals"][signal.name])
                        for signal in SIGNALS
                    },
                )
                for name, saved in data["combinations"].items()
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"detector state is damaged: {error!r}") from error
        self._base, self._combinations, self._streams, self._pace = base, combinations, streams, pace
        for combination in combinations.values():
            for signal in SIGNALS:
                self._take_part(signal, combination, combination.tracks[signal.name])
        if self._section.days_per_false_alarm is not None:
            self._set_pace(self._section.days_per_false_alarm)

    def _no_streams(self) -> _Streams:
        return _Streams(ABOVE * self._needed)

    def _set_pace(self, days_per_false_alarm: float) -> None:
        """Ask for as much evidence as the traffic of the last day needs; it was known before the answers that it is asked of."""
        a_day = self._pace.a_day
        if not a_day:
            return
        self._needed = max(fleet_threshold(a_day, days_per_false_alarm), LEAST_NEEDED)
        self._needed_log = log(self._needed)
        for streams in self._streams.values():
            streams.evidence.ceiling = ABOVE * self._needed

    def _begin(self, observation: Observation) -> _Combination:
        size, since, start = self._section.window, observation.time, self._start
        tracks = {
            signal.name: _Track(BitWindow(size), since, self._streams[signal.name].take(start)) for signal in SIGNALS
        }
        combination = _Combination(observation.is_base, tracks)
        self._combinations[observation.combination] = combination
        return combination

    def _learn_base(self, signal: Signal, bad: bool, time: float) -> list[DriftState]:
        """Move the base's window; when it just became usable, judge everybody who waited for it."""
        window = self._base[signal.name]
        window.push(bad)
        if not signal.relative or len(window) != self._section.minimum_base_samples:
            return []
        waiting = [
            (name, other, track)
            for name, other in self._combinations.items()
            if not other.is_base and (track := other.tracks[signal.name]).reference is None and len(track.window)
        ]
        for _, other, track in waiting:
            self._gather(signal, other, track)
            self._judge(track, time)
            self._share(signal, other, track, time)
        return [self._state(name, signal, track) for name, _, track in waiting]

    def _reference(self, signal: Signal, is_base: bool) -> _Counts | None:
        """What the signal is held against, or shown beside, now. The base is never its own reference."""
        frozen = self._frozen.get(signal.name)
        if frozen is not None:
            return frozen
        window = self._base[signal.name]
        if is_base or len(window) < self._section.minimum_base_samples or (signal.relative and not self._traffic):
            return None
        return _Counts(window.bad, len(window))

    def _gather(self, signal: Signal, combination: _Combination, track: _Track, bad: bool | None = None) -> None:
        """Take the newest answer as evidence; with the first reference, all of the window."""
        track.reference = self._reference(signal, combination.is_base)
        threshold = self._threshold(signal, track.reference)
        if threshold != threshold:
            return
        evidence = self._streams[signal.name].evidence
        first = track.null != track.null
        if first or abs(threshold - track.null) > NEW_NULL * track.null:
            track.null = threshold
            evidence.set_null(track.column, threshold)
        for bit in track.window.bits() if first or bad is None else (bad,):
            evidence.update_one(track.column, bool(bit))
        track.evidence = self._streams[signal.name].mean_of(track.column)

    def _share(self, signal: Signal, combination: _Combination, track: _Track, time: float) -> None:
        """See whether what happened to this combination happens to all."""
        self._take_part(signal, combination, track)
        streams = self._streams[signal.name]
        _, each = share_of_each(len(streams.sharing), self._needed, self._start)
        if not streams.cause.standing and not combination.is_base and track.evidence < each:
            return  # one that has little changes nothing: told without looking at all of them
        if streams.cause.standing is not self._look(streams):
            streams.cause = CommonCause(standing=not streams.cause.standing, since=time)

    def _look(self, streams: _Streams) -> bool:
        return streams.base_drifts or streams.cause.look(
            streams.shared, len(streams.sharing), self._needed, self._start
        )

    def _take_part(self, signal: Signal, combination: _Combination, track: _Track) -> None:
        if combination.is_base:
            self._streams[signal.name].base_drifts = track.condition is Condition.DRIFTING
            return
        known = track.null == track.null and len(track.window) >= self._section.minimum_samples
        if known:
            self._streams[signal.name].share(track.column, track.evidence)

    @property
    def _start(self) -> float:
        """Evidence that a new combination begins with."""
        return head_start(self._needed, self._section.head_start)

    def all_together(self, name: str) -> DriftState:
        """Figures of all combinations but the base under the signal of this name; its condition is that of the common cause."""
        signal = next(one for one in SIGNALS if one.name == name)
        streams = self._streams[name]
        tracks = [
            track
            for one in self._combinations.values()
            if (track := one.tracks[signal.name]).column in streams.sharing and not one.is_base
        ]
        samples, bad = sum(len(track.window) for track in tracks), sum(track.window.bad for track in tracks)
        reference = self._reference(signal, is_base=False)
        interval = rate_sequence(bad, samples, ERROR)
        return DriftState(
            combination=EVERY,
            signal=signal.name,
            condition=Condition.DRIFTING if streams.cause.standing else Condition.OK,
            samples=samples,
            bad=bad,
            rate=bad / samples if samples else nan,
            lower=interval.lower,
            upper=interval.upper,
            baseline_rate=reference.rate if reference else nan,
            baseline_samples=reference.samples if reference else 0,
            threshold=self._threshold(signal, reference),
            since=streams.cause.since,
            evidence_log=log(max(float(streams.shared.sum()), 1.0)),
            evidence_needed_log=self._needed_log,
        )

    def _judge(self, track: _Track, time: float) -> None:
        """Give the track the condition that its evidence speaks for."""
        condition = self._condition(track)
        if condition is not track.condition:
            track.condition = condition
            track.since = time

    def _condition(self, track: _Track) -> Condition:
        window = track.window
        if len(window) < self._section.minimum_samples:
            return Condition.WARMING_UP
        if track.null != track.null:
            return Condition.NO_BASELINE
        if track.evidence >= self._needed:
            track.fresh = 0
            return Condition.DRIFTING
        if track.condition is not Condition.DRIFTING:
            return Condition.OK
        track.fresh += 1
        recovered = track.fresh >= window.size and window.bad / len(window) <= track.null
        return Condition.OK if recovered else Condition.DRIFTING

    def _threshold(self, signal: Signal, reference: _Counts | None) -> float:
        if not signal.relative:
            return self._section.refuse_then_comply_limit
        if reference is None:
            return nan
        if reference.null is not None:
            return min(reference.null + self._section.tolerance, 1.0)
        return self._null(reference.bad, reference.samples)

    def _state(self, name: str, signal: Signal, track: _Track) -> DriftState:
        reference = track.reference
        evidence_log = nan if track.null != track.null else log(max(track.evidence, 1.0))
        samples, bad = self._shown(track, evidence_log)
        interval = self._interval(bad, samples)
        return DriftState(
            combination=name,
            signal=signal.name,
            condition=track.condition,
            samples=samples,
            bad=bad,
            rate=bad / samples if samples else nan,
            lower=interval.lower,
            upper=interval.upper,
            baseline_rate=reference.rate if reference else nan,
            baseline_samples=reference.samples if reference else 0,
            threshold=track.null,
            since=track.since,
            evidence_log=evidence_log,
            evidence_needed_log=self._needed_log,
        )

    def _shown(self, track: _Track, evidence_log: float) -> tuple[int, int]:
        """Answers that are shown, and the bad ones among them."""
        window = track.window
        if not evidence_log > self._needed_log / 2:
            return len(window), window.bad
        bits = np.frombuffer(window.bits(), dtype=np.bool_)
        since = bits[likeliest_change(bits, track.null) :]
        return len(since), int(since.sum())

    def _compute_interval(self, bad: int, samples: int) -> Interval:
        return rate_sequence(bad, samples, ERROR)

    def _compute_null(self, bad: int, samples: int) -> float:
        return min(null_rate(bad, samples) + self._section.tolerance, 1.0)

    def _save_track(self, signal: str, track: _Track) -> dict[str, Any]:
        reference = track.reference
        return {
            "window": str(track.window),
            "condition": track.condition.value,
            "since": track.since,
            "fresh": track.fresh,
            "reference": reference and [reference.bad, reference.samples, reference.rate, reference.null],
            "null": None if track.null != track.null else track.null,
            "sums": self._streams[signal].evidence.sums[:, track.column].tolist(),
        }

    def _restore_track(self, streams: _Streams, saved: dict[str, Any]) -> _Track:
        track = _Track(BitWindow(self._section.window, saved["window"]), float(saved["since"]), streams.take())
        track.condition = Condition(saved["condition"])
        track.fresh = int(saved["fresh"])
        if saved["reference"] is not None:
            bad, samples, rate, *null = saved["reference"]
            track.reference = _Counts(int(bad), int(samples), float(rate), *map(_known, null))
        sums = np.array(saved["sums"], dtype=np.float64)
        if sums.shape != (ALTERNATIVES,):
            raise TypeError(f"evidence of {sums.shape} numbers")
        streams.evidence.sums[:, track.column] = sums
        if saved["null"] is not None:
            track.null = float(saved["null"])
            streams.evidence.set_null(track.column, track.null)
            track.evidence = streams.mean_of(track.column)
        return track


def _known(value: float | None) -> float | None:
    return None if value is None else float(value)
