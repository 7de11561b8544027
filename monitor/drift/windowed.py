"""Sliding windows with exact intervals: the combination's latest answers against the base model's.

A signal drifts when the lower end of the combination's interval lies above a threshold: the upper end of the base's
interval plus the tolerance, or the absolute limit. Both uncertainties are paid for, so a small sample on either side
delays an alarm and never causes one.

An alarm ends on fresh evidence alone: a whole window of answers must have passed since the interval last stood above
the threshold, and their rate must be at or below it. Not one answer of the window that showed the drift is left then,
and to start again the rate would have to climb by the half-width of the interval (over three standard deviations), so
an alarm does not flap around its threshold. Silence ends nothing; whoever shows the state must look at the age of the
last answer.

A combination changes state with its own answers only (and once, when the base gets its first usable reference): it is
held against the base as the base was then. That keeps an update cheap however many combinations there are.

Known limits. Answers are not weighted: within one combination the sampler does not look at content, so the sampled
answers are as good as all. The rates are those of the prompts that came: if a combination's harmful-looking prompts
become harder while the base's do not, the rate moves without any change of behaviour. Only a comparison on the same
prompt is safe from that. A small rise takes long: the tolerance and both intervals must be overcome within one window.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import nan
from typing import Any

from monitor.config.model import DriftSection
from monitor.drift.signals import REFUSAL_LOST, SIGNALS, Signal
from monitor.drift.window import BitWindow
from monitor.records import Condition, DriftState, Observation
from monitor.stats import Interval, clopper_pearson

FORMAT = 1
"""Version of what `save` writes."""
INTERVALS_KEPT = 32_768
"""Intervals remembered by count: every count of a window of 200, in about 6 MB at most."""


class _Counts:
    """The reference a signal is held against: bad answers among samples."""

    __slots__ = ("bad", "rate", "samples")

    def __init__(self, bad: int, samples: int, rate: float | None = None) -> None:
        self.bad = bad
        self.samples = samples
        self.rate = bad / samples if rate is None else rate


class _Track:
    """One combination under one signal."""

    __slots__ = ("condition", "fresh", "reference", "since", "window")

    def __init__(self, window: BitWindow, since: float) -> None:
        self.window = window
        self.since = since
        self.condition = Condition.WARMING_UP
        self.fresh = 0
        """Answers since the interval last stood above the threshold; counted while drifting."""
        self.reference: _Counts | None = None
        """The base as it was at the latest answer."""


class _Combination:
    """One combination under every signal."""

    __slots__ = ("is_base", "tracks")

    def __init__(self, is_base: bool, tracks: dict[str, _Track]) -> None:
        self.is_base = is_base
        self.tracks = tracks


class WindowedDetector:
    """The first detector: see the module's text for its rule and its limits."""

    def __init__(self, section: DriftSection) -> None:
        self._section = section
        self._combinations: dict[str, _Combination] = {}
        self._base = {signal.name: BitWindow(section.window) for signal in SIGNALS}
        frozen = section.baseline
        self._frozen = _Counts(round(frozen.rate * frozen.samples), frozen.samples, frozen.rate) if frozen else None
        self._interval = lru_cache(maxsize=INTERVALS_KEPT)(self._compute_interval)

    def update(self, observation: Observation) -> Sequence[DriftState]:
        """Take in one answer; the states that it touched, all of them for a combination seen for the first time."""
        combination = self._combinations.get(observation.combination)
        new = combination is None
        if combination is None:
            combination = self._begin(observation)
        touched: list[DriftState] = []
        for signal in SIGNALS:
            track = combination.tracks[signal.name]
            counts = observation.stratum is signal.stratum and observation.outcome.judged
            if counts:
                bad = observation.outcome in signal.bad
                track.window.push(bad)
                if observation.is_base:
                    touched += self._learn_base(signal, bad, observation.time)
                self._judge(signal, combination, track, observation.time)
            if counts or new:
                touched.append(self._state(observation.combination, signal, track))
        return touched

    def states(self) -> Sequence[DriftState]:
        """Every state, combinations in the order in which they were first seen."""
        return [
            self._state(name, signal, combination.tracks[signal.name])
            for name, combination in self._combinations.items()
            for signal in SIGNALS
        ]

    def forget(self, combination: str) -> None:
        """Drop a combination. What was learnt of the base as a reference stays: the base model is not unloaded."""
        self._combinations.pop(combination, None)

    def save(self) -> dict[str, Any]:
        """Windows, conditions and the reference of each, as plain JSON values."""
        return {
            "format": FORMAT,
            "base": {name: str(window) for name, window in self._base.items()},
            "combinations": {
                name: {
                    "is_base": combination.is_base,
                    "signals": {signal: _save_track(track) for signal, track in combination.tracks.items()},
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
        size = self._section.window
        try:
            base = {signal.name: BitWindow(size, data["base"][signal.name]) for signal in SIGNALS}
            combinations = {
                str(name): _Combination(
                    bool(saved["is_base"]),
                    {signal.name: _restore_track(size, saved["signals"][signal.name]) for signal in SIGNALS},
                )
                for name, saved in data["combinations"].items()
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"detector state is damaged: {error!r}") from error
        self._base = base
        self._combinations = combinations

    def _begin(self, observation: Observation) -> _Combination:
        size, since = self._section.window, observation.time
        tracks = {signal.name: _Track(BitWindow(size), since) for signal in SIGNALS}
        combination = _Combination(observation.is_base, tracks)
        self._combinations[observation.combination] = combination
        return combination

    def _learn_base(self, signal: Signal, bad: bool, time: float) -> list[DriftState]:
        """Move the base's window; when it just became usable, judge everybody who waited for it."""
        window = self._base[signal.name]
        window.push(bad)
        if not signal.relative or len(window) != self._section.minimum_samples:
            return []
        waiting = [
            (name, other, track)
            for name, other in self._combinations.items()
            if not other.is_base and (track := other.tracks[signal.name]).condition is Condition.NO_BASELINE
        ]
        for _, other, track in waiting:
            self._judge(signal, other, track, time)
        return [self._state(name, signal, track) for name, _, track in waiting]

    def _reference(self, signal: Signal, is_base: bool) -> _Counts | None:
        """What the signal is held against, or shown beside, now. The base is never its own reference."""
        if signal is REFUSAL_LOST and self._frozen:
            return self._frozen
        window = self._base[signal.name]
        if is_base or len(window) < self._section.minimum_samples:
            return None
        return _Counts(window.bad, len(window))

    def _judge(self, signal: Signal, combination: _Combination, track: _Track, time: float) -> None:
        """Give the track the condition that its window and the base's now speak for."""
        track.reference = self._reference(signal, combination.is_base)
        condition = self._condition(signal, track)
        if condition is not track.condition:
            track.condition = condition
            track.since = time

    def _condition(self, signal: Signal, track: _Track) -> Condition:
        window = track.window
        if len(window) < self._section.minimum_samples:
            return Condition.WARMING_UP
        if signal.relative and track.reference is None:
            return Condition.NO_BASELINE
        threshold = self._threshold(signal, track.reference)
        if self._interval(window.bad, len(window)).lower > threshold:
            track.fresh = 0
            return Condition.DRIFTING
        if track.condition is not Condition.DRIFTING:
            return Condition.OK
        track.fresh += 1
        recovered = track.fresh >= window.size and window.bad / len(window) <= threshold
        return Condition.OK if recovered else Condition.DRIFTING

    def _threshold(self, signal: Signal, reference: _Counts | None) -> float:
        if not signal.relative:
            return self._section.refuse_then_comply_limit
        if reference is None:
            return nan
        return self._interval(reference.bad, reference.samples).upper + self._section.tolerance

    def _state(self, name: str, signal: Signal, track: _Track) -> DriftState:
        bad, samples, reference = track.window.bad, len(track.window), track.reference
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
            threshold=self._threshold(signal, reference),
            since=track.since,
        )

    def _compute_interval(self, bad: int, samples: int) -> Interval:
        return clopper_pearson(bad, samples, self._section.confidence)


def _save_track(track: _Track) -> dict[str, Any]:
    reference = track.reference
    return {
        "window": str(track.window),
        "condition": track.condition.value,
        "since": track.since,
        "fresh": track.fresh,
        "reference": reference and [reference.bad, reference.samples, reference.rate],
    }


def _restore_track(size: int, saved: dict[str, Any]) -> _Track:
    track = _Track(BitWindow(size, saved["window"]), float(saved["since"]))
    track.condition = Condition(saved["condition"])
    track.fresh = int(saved["fresh"])
    if saved["reference"] is not None:
        bad, samples, rate = saved["reference"]
        track.reference = _Counts(int(bad), int(samples), float(rate))
    return track
