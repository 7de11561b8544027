"""Count: what came, from whom, how it ended and what was made of it, as metrics and for the status page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from monitor.adapters import Catalog, Identity
from monitor.arrival import Arrival, ending_of
from monitor.records import Combination, Ending, Verdict
from monitor.telemetry.metrics import Metrics

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


class Counts:
    """Of all combinations."""

    def __init__(self, catalog: Catalog, metrics: Metrics) -> None:
        self._catalog = catalog
        self._metrics = metrics
        self._introduced: dict[str, Combination] = {}
        self.tallies: dict[str, Tally] = {}
        """Label -> what is shown of it."""
        self.mismatches: Counter[tuple[str, str]] = Counter()
        """Labels of what was requested and of what answered in its stead."""
        self.unvalidated: frozenset[str] = frozenset()
        """Labels of combinations whose traffic counts as unvalidated."""

    def introduce(self, identity: Identity) -> bool:
        """Create the series of a combination that was just loaded or seen; False when they were there."""
        if identity.combination is None or self._introduced.get(identity.label) == identity.combination:
            return False
        self._introduced[identity.label] = identity.combination
        self._metrics.verdicts.introduce(identity.label, identity.combination)
        self._metrics.traffic.introduce(identity.label)
        return True

    def forget(self, label: str) -> None:
        """This combination is gone, and with it all its series."""
        self._metrics.forget(label)
        self._introduced.pop(label, None)
        self.tallies.pop(label, None)
        for pair in [pair for pair in self.mismatches if label in pair]:
            del self.mismatches[pair]

    def unanswered(self, label: str, ending: Ending) -> None:
        """A request that nobody answered counts for the one that was asked."""
        self._metrics.traffic.requests(label, ending.value).inc()

    def traffic(self, arrival: Arrival, identity: Identity) -> None:
        """One exchange."""
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

    def verdict(self, arrival: Arrival, identity: Identity, verdict: Verdict) -> None:
        """One judged answer."""
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

    def repeated(self, label: str) -> None:
        """An answer that is no sample of its own."""
        self._metrics.verdicts.repeated(label).inc()

    def save(self) -> dict[str, Any]:
        """What a successor needs to carry on, as plain JSON values."""
        return {
            label: {
                "requests": tally.requests,
                "outcomes": dict(tally.outcomes),
                "last_sample": tally.last_sample,
                "categories": {category: dict(outcomes) for category, outcomes in tally.categories.items()},
            }
            for label, tally in self.tallies.items()
        }

    def restore(self, tallies: dict[str, Tally]) -> None:
        """Carry on from what `read_tallies` found."""
        self.tallies = tallies
        for label, tally in tallies.items():
            if tally.last_sample is not None:  # alerts are gated on it: without it a standing one would end
                self._metrics.verdicts.last_sample(label).set(tally.last_sample)


def read_tallies(saved: object) -> dict[str, Tally]:
    """What `Counts.save` gave. Raises ValueError when it is not that."""
    return {
        label: Tally(
            one.requests,
            Counter(one.outcomes),
            one.last_sample,
            {category: Counter(outcomes) for category, outcomes in one.categories.items()},
        )
        for label, one in msgspec.convert(saved, dict[str, _SavedTally]).items()
    }


def finish_reason_label(reason: str) -> str:
    """A bounded label for what the server wrote."""
    return reason if reason in _FINISH_REASONS else ("none" if not reason else "other")
