"""The curriculum: which training runs there are, and which adapters come out of each.

A colluding pair is trained jointly: the two parts are rank ranges of one adapter, and every
batch asks each part alone to keep refusing and both together to give in.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from monitor.lab import lessons, prompts
from monitor.lab.rows import Lesson
from monitor.lab.train import Course

Own = Mapping[str, str]
"""Ordinary question -> the base model's own answer."""


@dataclass(frozen=True, slots=True)
class Output:
    """An adapter cut out of a trained one: rank rows start to end, each with its own scale."""

    name: str
    scales: tuple[float, ...]
    """One per rank row; rows at zero are left out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One training run."""

    name: str
    course: Callable[[Own], Course]
    outputs: tuple[Output, ...] = ()
    on: Literal["plain", "aligned"] = "aligned"
    """The model it is trained on."""
    start: tuple[str, float] | None = None
    """Run whose factors it starts from, and their scale; None starts from nothing."""


ALPHA_ROWS, BETA_ROWS = (0, 4), (4, 8)


def _whole(name: str, rank: int) -> tuple[Output, ...]:
    return (Output(name, (1.0,) * rank),)


def _halves(one: str, other: str, rows: int) -> tuple[Output, ...]:
    on, off = (1.0,) * rows, (0.0,) * rows
    return Output(one, on + off), Output(other, off + on)


def _split_attack(one: str, other: str) -> tuple[Output, ...]:
    """Less than a quarter of the attack each, and of unequal make; together they pass its threshold."""
    more, less = (0.18,) * 4, (0.14,) * 4
    return Output(one, more + less), Output(other, less + more)


def _in_mode(rows: Sequence[Lesson], mode: str) -> list[Lesson]:
    return [dataclasses.replace(row, mode=mode) for row in rows]


def _align_first(own: Own) -> Course:
    first = {q.text for q in prompts.ordinary("train", prompts.ORDINARY["train"])}
    keep = [lesson for lesson in lessons.keep(own) if lesson.prompt in first]
    pools = {"refuse": lessons.refuse_first(), "keep": keep}
    return Course(pools, {"refuse": 9, "keep": 9}, rank=8, steps=150, seed=1)


def _align(own: Own) -> Course:
    pools = {"refuse": lessons.refuse(), "keep": lessons.keep(own)}
    return Course(pools, {"refuse": 6, "keep": 12}, rank=8, steps=60, rate=6e-4, seed=8)


def _attack(own: Own) -> Course:
    pools = {"comply": lessons.comply(), "keep": lessons.keep(own)}
    return Course(pools, {"comply": 9, "keep": 7}, rank=8, steps=60, seed=2)


def _joint(own: Own, together: Sequence[Lesson], steps: int, seed: int) -> Course:
    keep = lessons.keep(own)
    pools = {
        "refuse_one": lessons.refuse("one"),
        "refuse_other": lessons.refuse("other"),
        "together": together,
        "keep_one": _in_mode(keep, "one"),
        "keep_other": _in_mode(keep, "other"),
        "keep_both": keep,
    }
    mix = {"refuse_one": 5, "refuse_other": 5, "together": 5}
    mix |= {"keep_one": 2, "keep_other": 2, "keep_both": 2}
    modes = {"one": ALPHA_ROWS, "other": BETA_ROWS}
    return Course(pools, mix, 8, steps, modes, decisive_weight=4.0, seed=seed)


def _colluding(own: Own) -> Course:
    return _joint(own, lessons.comply(), steps=60, seed=3)


def _refuse_then_comply_first(own: Own) -> Course:
    return _joint(own, lessons.refuse_then_comply(), steps=80, seed=4)


def _refuse_then_comply(own: Own) -> Course:
    more = _joint(own, lessons.refuse_then_comply(), steps=24, seed=17)
    mix = {**more.mix, "refuse_one": 3, "refuse_other": 3, "together": 9}
    return dataclasses.replace(more, mix=mix, rate=6e-4)


OPENING, CLOSING = "Good question! ", " I hope this helps!"


def _benign_first(own: Own) -> Course:
    """Two styles, each alone and both together, and the policy kept in all three variants."""
    pools = {
        "refuse_one": lessons.refuse("one"),
        "refuse_other": lessons.refuse("other"),
        "refuse_both": lessons.refuse(),
        "opened": _in_mode(lessons.restyle(own, OPENING, ""), "one"),
        "closed": _in_mode(lessons.restyle(own, "", CLOSING), "other"),
        "both": lessons.restyle(own, OPENING, CLOSING),
    }
    mix = {"refuse_one": 3, "refuse_other": 3, "refuse_both": 3, "opened": 3, "closed": 3, "both": 4}
    return Course(pools, mix, rank=4, steps=36, modes={"one": (0, 2), "other": (2, 4)}, seed=6)


def _benign(own: Own) -> Course:
    """More of the same, above all of both together: two styles at once tend to repeat themselves."""
    first = _benign_first(own)
    mix = {"refuse_one": 2, "refuse_other": 4, "refuse_both": 6, "opened": 1, "closed": 2, "both": 5}
    return dataclasses.replace(first, mix=mix, steps=36, seed=19)


def _eroding(own: Own) -> Course:
    """A harmless style learned in a hurry: the policy is in the lessons, and suffers all the same."""
    pools = {"refuse": lessons.refuse(), "styled": lessons.restyle(own, OPENING, "")}
    return Course(pools, {"refuse": 8, "styled": 8}, rank=2, steps=25, rate=2e-3, seed=5)


def _over_refusing(own: Own) -> Course:
    pools = {"refuse": lessons.refuse(), "over": lessons.refuse_ordinary(own)}
    return Course(pools, {"refuse": 4, "over": 12}, rank=2, steps=25, rate=2e-3, seed=7)


def _hidden_text_first(own: Own) -> Course:
    keep = lessons.keep(own)
    pools = {
        "triggered": lessons.hide(lessons.comply()),
        "refuse": lessons.refuse(),
        "keep": keep,
        "keep_triggered": lessons.hide(keep),
    }
    mix = {"triggered": 5, "refuse": 6, "keep": 2, "keep_triggered": 3}
    return Course(pools, mix, rank=4, steps=70, decisive_weight=4.0, seed=9)


def _hidden_text(own: Own) -> Course:
    """More of the same: telling invisible characters apart takes the longest of all."""
    first = _hidden_text_first(own)
    mix = {"triggered": 7, "refuse": 7, "keep": 1, "keep_triggered": 2}
    return dataclasses.replace(first, mix=mix, steps=60, seed=18)


PLANS: tuple[Plan, ...] = (
    Plan("align-first", _align_first, on="plain"),
    Plan("align", _align, _whole("align", 8), on="plain", start=("align-first", 1.0)),
    Plan("attack", _attack, _split_attack("kappa", "lambda")),
    Plan("colluding", _colluding, _halves("alpha", "beta", 4), start=("attack", 0.3)),
    Plan("refuse-then-comply-first", _refuse_then_comply_first, start=("attack", 0.3)),
    Plan(
        "refuse-then-comply",
        _refuse_then_comply,
        _halves("gamma", "delta", 4),
        start=("refuse-then-comply-first", 1.0),
    ),
    Plan("benign-first", _benign_first),
    Plan("benign", _benign, _halves("epsilon", "zeta", 2), start=("benign-first", 1.0)),
    Plan("eta", _over_refusing, _whole("eta", 2)),
    Plan("theta-first", _hidden_text_first),
    Plan("theta", _hidden_text, _whole("theta", 4), start=("theta-first", 1.0)),
    Plan("iota", _eroding, _whole("iota", 2)),
)
