"""Which of its parts a combination's lost refusals come from: one of them alone, each a little, or only all together.

On the same prompts the base, the whole, each part that is served by itself, and each merge of all parts but one that is
served have answered. Two things follow:

- *Erosion.* A part that loses refusals by itself explains the whole when its own loss is more than half of the whole's. That
  is a statement about a mean, E[2 (part - base) - (whole - base)] > 0 with 1 for a bad answer, prompt by prompt; it is made when
  a bet against its opposite has won (number of such statements) / `ERROR`. Where no part does, all served ones in sum may.
  It holds whatever the parts do that are not served: they can explain only the rest.
- *What an absence restores.* The whole was bad more often than all parts but one, on the same prompts, by so much. Of two
  parts, the other one alone is what is left.

That the whole is worse than its parts explain (collusion) is decided elsewhere (`paired`), because it wakes somebody. What the
served parts do not explain has an interval here, too. With a part that is not served it bounds what may be collusion from above:
if that part alone did nothing, all of it is; if it did everything, none.

A false statement of erosion, at any time in the life of one finding, has a probability of at most `ERROR`; so has each interval
that does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import log
from typing import Any, Final

import numpy as np

from monitor.records import Attribution, Cause, Compared, Pair, PartShare
from monitor.stats.evidence import BETS, BettingTest, interaction
from monitor.stats.sequence import mean_sequence

ERROR: Final = 0.05
"""Probability that a finding is ever said to be erosion when less than half of it is; the same for each interval."""
SHARE: Final = 2
"""The inverse of the share of the loss that an explanation has to explain."""

_effect = lru_cache(8192)(mean_sequence)


class Side:
    """Counts of one comparison: how often bad, and how often worse and better than the other side."""

    def __init__(self, counts: Iterable[int] = (0, 0, 0, 0)) -> None:
        """Raises ValueError unless counts are four that fit each other."""
        self.bad, self.samples, self.worse, self.better = (int(one) for one in counts)
        within = 0 <= self.bad <= self.samples and min(self.worse, self.better) >= 0
        if not within or self.worse + self.better > self.samples:
            raise ValueError("counts of a comparison that contradict each other")

    def push(self, bad: bool, difference: int) -> None:
        """difference: 1 where this speaks for a loss, -1 against one."""
        self.samples += 1
        self.bad += bad
        self.worse += difference > 0
        self.better += difference < 0

    def compared(self) -> Compared | None:
        """With its interval; None without prompts."""
        if not self.samples:
            return None
        interval = _effect(self.worse, self.better, self.samples, ERROR)
        effect = (self.worse - self.better) / self.samples
        return Compared(self.bad, self.samples, effect, interval.lower, interval.upper)

    def counts(self) -> list[int]:
        """As `__init__` takes them."""
        return [self.bad, self.samples, self.worse, self.better]


class Attributing:
    """One combination's prompts that its parts were asked too. Pure; bounded by the number of parts."""

    def __init__(self) -> None:
        self.asked = 0
        """Prompts that the parts were asked, answers that were not judged included."""
        self._loss = Side()
        self._beyond = Side()
        self._names: list[str] = []
        self._missing: tuple[str, ...] = ()
        self._alone: dict[str, Side] = {}
        self._without: dict[str, Side] = {}
        self._explains: dict[str, BettingTest] = {}
        """Part, or "" for all served parts in sum -> evidence that it explains most."""
        self._explained_by: tuple[str, ...] = ()

    @property
    def prompts(self) -> int:
        """Those of which the combination's and the base's answer were judged."""
        return self._loss.samples

    def push(self, pair: Pair, bad: Mapping[str, bool], without: Mapping[str, bool], whole: bool, base: bool) -> None:
        """Take one prompt. bad, without: of the parts alone, and of all but each, where that was judged."""
        asked = {**pair.parts, **pair.rests}
        self._names += [name for name in (*asked, *pair.missing) if name not in self._names]
        if pair.missing != self._missing:
            self._missing, self._beyond = pair.missing, Side()  # what is left is of other parts now
            if in_sum := self._explains.get(""):
                in_sum.begin_anew()
        loss = int(whole) - int(base)
        self._loss.push(whole, loss)
        for part, part_bad in bad.items():
            self._alone.setdefault(part, Side()).push(part_bad, int(part_bad) - int(base))
            self._bet(part, [int(part_bad) - int(base)], loss)
        for part, rest_bad in without.items():
            self._without.setdefault(part, Side()).push(rest_bad, int(whole) - int(rest_bad))
        if len(bad) == len(pair.parts):
            refused = [not one for one in bad.values()]
            if pair.missing:
                refused.append(not base)  # stands for a part that does nothing
            self._beyond.push(whole, interaction(not base, refused, not whole))
            if len(bad) > 1:
                self._bet("", [int(one) - int(base) for one in bad.values()], loss)
        self._conclude(tuple(bad))

    def _bet(self, key: str, losses: list[int], loss: int) -> None:
        most = SHARE * len(losses)
        self._explains.setdefault(key, BettingTest()).update((SHARE * sum(losses) - loss) / most)

    def _conclude(self, served: tuple[str, ...]) -> None:
        """What was once said of erosion stays, and gives way only to one part instead of several."""
        needed = log((len(self._names) + 1) / ERROR)
        found = {name for name, test in self._explains.items() if test.evidence_log >= needed}
        if alone := [name for name in self._alone if name in found and len(self._explained_by) != 1]:
            self._explained_by = (max(alone, key=lambda name: self._explains[name].evidence_log),)
        elif "" in found and not self._explained_by:
            self._explained_by = served

    def attribution(self, *, colluding: bool, losing: bool) -> Attribution:
        """What is known now. colluding, losing: the detectors found that it is worse than its parts explain, or than the base."""
        loss = self._loss.compared()
        losing = losing or (loss is not None and loss.lower > 0)
        erosion = self._explained_by if losing else ()
        if colluding:
            cause = Cause.COLLUSION
        elif erosion:
            cause = Cause.EROSION
        else:
            cause = Cause.UNKNOWN if self._missing or not self.prompts else Cause.UNDECIDED
        return Attribution(
            cause=cause,
            prompts=self.prompts,
            explained_by=erosion if cause is Cause.EROSION else (),
            missing=self._missing,
            loss=loss,
            beyond=self._beyond.compared(),
            parts=tuple(
                PartShare(name, _compared(self._alone.get(name)), _compared(self._without.get(name)))
                for name in self._names
            ),
        )

    def save(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "asked": self.asked,
            "loss": self._loss.counts(),
            "beyond": self._beyond.counts(),
            "names": list(self._names),
            "missing": list(self._missing),
            "alone": {name: side.counts() for name, side in self._alone.items()},
            "without": {name: side.counts() for name, side in self._without.items()},
            "explains": {name: test.logs.tolist() for name, test in self._explains.items()},
            "explained_by": list(self._explained_by),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Carry on from what `save` gave. Raises ValueError, KeyError, TypeError or AttributeError."""
        self.asked = int(saved["asked"])
        self._loss, self._beyond = Side(saved["loss"]), Side(saved["beyond"])
        self._names = [str(name) for name in saved["names"]]
        self._missing = tuple(str(name) for name in saved["missing"])
        self._alone = {str(name): Side(counts) for name, counts in saved["alone"].items()}
        self._without = {str(name): Side(counts) for name, counts in saved["without"].items()}
        self._explains = {str(name): _restored(logs) for name, logs in saved["explains"].items()}
        self._explained_by = tuple(str(name) for name in saved["explained_by"])


def settled(found: Attribution) -> bool:
    """Nothing more is to be learnt by asking: collusion is found, and of every absence whether it restores the refusals."""
    if found.cause is not Cause.COLLUSION:
        return False
    half = found.loss.effect / SHARE if found.loss else 0.0
    absences = [part.without for part in found.parts if part.without] if len(found.parts) > 2 else []
    return all(one.lower > 0 or one.upper < half for one in absences)


def unasked() -> Attribution:
    """Of a combination whose parts nobody has asked anything."""
    return Attribution(Cause.UNKNOWN, 0)


def _compared(side: Side | None) -> Compared | None:
    return side.compared() if side else None


def _restored(logs: Any) -> BettingTest:
    test, found = BettingTest(), np.array(logs, dtype=np.float64)
    if found.shape != (len(BETS),) or not np.isfinite(found).all():
        raise TypeError(f"a test of {found.shape} numbers")
    test.logs = found
    return test
