"""The words and symbols of the demo's terminal view, in one place for the table, the plain lines and the summary."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.demo.alerts import Alert
from monitor.records import Condition
from monitor.status.reading import (
    COLLUSION,
    OVER_REFUSAL,
    REFUSAL_LOST,
    REFUSAL_LOST_PAIRED,
    REFUSE_THEN_COMPLY,
    CombinationStatus,
)

ALERT_WORDS = {
    REFUSE_THEN_COMPLY: "refuse+comply",
    COLLUSION: "collusion",
    REFUSAL_LOST_PAIRED: "refuses less",
    REFUSAL_LOST: "refuses less",
    OVER_REFUSAL: "over-refuses",
}
"""The few words that fit into a table, the worst finding first."""


@dataclass(frozen=True, slots=True)
class Symbols:
    """The marks beside the words; plain ASCII where the terminal cannot show others."""

    ok: str = "✓"
    alert: str = "▲"
    waiting: str = "…"
    dash: str = "–"

    @classmethod
    def for_encoding(cls, encoding: str) -> Symbols:
        """The marks that a terminal of this encoding can show."""
        if encoding.lower().replace("-", "").startswith("utf"):
            return cls()
        return cls(ok="+", alert="!", waiting="~", dash="-")


@dataclass(frozen=True, slots=True)
class Refusals:
    """How often harmful-looking prompts were refused: a rate, its interval, and on how many answers it rests."""

    rate: float | None
    lower: float | None
    upper: float | None
    samples: int

    @classmethod
    def of(cls, row: CombinationStatus) -> Refusals:
        """The share refused is what remains of the share that lost its refusal."""
        state = row.signal(REFUSAL_LOST)
        if state is None:
            return cls(None, None, None, 0)
        return cls(_rest(state.rate), _rest(state.upper), _rest(state.lower), state.samples)

    @classmethod
    def of_base(cls, rows: tuple[CombinationStatus, ...]) -> Refusals:
        """The base model's own, from its row or from what the others are held against."""
        for row in rows:
            if row.is_base and cls.of(row).rate is not None:
                return cls.of(row)
        held = [state for row in rows if (state := row.signal(REFUSAL_LOST)) and state.baseline_rate is not None]
        if not held:
            return cls(None, None, None, 0)
        return cls(_rest(held[0].baseline_rate), None, None, held[0].baseline_samples)


def percent(value: float | None) -> str:
    """A share as whole per cent; a question mark while it is unknown."""
    return "?" if value is None else f"{100 * value:.0f}%"


def interval(lower: float | None, upper: float | None, symbols: Symbols) -> str:
    """A confidence interval in per cent, empty while it is unknown."""
    if lower is None or upper is None:
        return ""
    return f"{100 * lower:.0f}{symbols.dash}{100 * upper:.0f}"


def kind(row: CombinationStatus) -> str:
    """What a served name is: the base model, one adapter, or several together."""
    if row.is_base:
        return "base model"
    return "1 adapter" if len(row.parts) < 2 else f"{len(row.parts)} adapters"


def state(row: CombinationStatus, symbols: Symbols) -> tuple[str, str]:
    """Symbol with words, and the rich style that goes with them."""
    if row.drifting:
        found = {signal.signal for signal in row.drifting}
        worst = next((words for signal, words in ALERT_WORDS.items() if signal in found), min(found))
        return f"{symbols.alert} {worst}", "bold red"
    if row.is_base:
        return "reference", "dim"
    lost = row.signal(REFUSAL_LOST)
    if lost is None or lost.condition is Condition.WARMING_UP:
        return f"{symbols.waiting} too few yet", "yellow"
    if lost.condition is Condition.NO_BASELINE:
        return f"{symbols.waiting} base: too few", "yellow"
    return f"{symbols.ok} ok", "green"


def alert_text(alert: Alert, symbols: Symbols, topic: str) -> str:
    """An alert as a sentence: who, what, rate, interval, samples, and the base model beside it."""
    found = alert.state
    rate, base = percent(found.rate), percent(found.baseline_rate)
    limits = _within(interval(found.lower, found.upper, symbols))
    beside = "" if found.baseline_rate is None else f"; base model {base} of {found.baseline_samples}"
    if found.signal == REFUSAL_LOST:
        limits = _within(interval(_rest(found.upper), _rest(found.lower), symbols))
        beside = beside and f"; base model {percent(_rest(found.baseline_rate))} of {found.baseline_samples}"
        text = f"refuses less: {percent(_rest(found.rate))} of {found.samples} questions on {topic}"
    elif found.signal == REFUSAL_LOST_PAIRED:
        limits = ""
        beside = f"; the base refused {percent(_rest(found.baseline_rate))} of the same"
        text = (
            f"refuses less than the base on the same {found.samples} questions on {topic}: {percent(_rest(found.rate))}"
        )
    elif found.signal == COLLUSION:
        limits, beside = "", ""
        text = f"collusion: worse together than its parts explain, on the same {found.samples} questions on {topic}"
    elif found.signal == REFUSE_THEN_COMPLY:
        text = f"refuses, then complies: {rate} of {found.samples} answers on {topic}"
    elif found.signal == OVER_REFUSAL:
        text = f"refuses too much: {rate} of {found.samples} ordinary questions"
    else:
        text = f"{found.signal}: {rate} of {found.samples}"
    return f"{alert.combination} {text}{limits}{beside}"


def _within(limits: str) -> str:
    return f" (interval {limits}%)" if limits else ""


def _rest(value: float | None) -> float | None:
    return None if value is None else 1 - value
