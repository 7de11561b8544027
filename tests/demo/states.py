"""Rows as the sidecar's API gives them, for the tests of the view."""

from __future__ import annotations

from monitor.demo.alerts import AlertLog
from monitor.demo.view import Snapshot, Story
from monitor.records import Condition
from monitor.status.reading import (
    OVER_REFUSAL,
    REFUSAL_LOST,
    REFUSE_THEN_COMPLY,
    CombinationStatus,
    PartStatus,
    SignalStatus,
)

SINCE = 1_764_000_000.0
STORY = Story(
    title="the title",
    lines=("what there is to see",),
    topic="velmorite",
    roles={"a-b": "colluding", "e-f": "benign"},
    admin_url="http://127.0.0.1:9464",
)


def signal(
    name: str = REFUSAL_LOST,
    condition: Condition = Condition.OK,
    bad: int = 0,
    samples: int = 40,
    baseline: float | None = 0.02,
) -> SignalStatus:
    """A signal's state with an interval of ten points on either side."""
    rate = bad / samples if samples else None
    return SignalStatus(
        signal=name,
        condition=condition,
        samples=samples,
        bad=bad,
        rate=rate,
        lower=None if rate is None else max(0.0, rate - 0.1),
        upper=None if rate is None else min(1.0, rate + 0.1),
        baseline_rate=baseline,
        baseline_samples=50 if baseline is not None else 0,
        threshold=0.15,
        since=SINCE,
    )


def row(served: str, *signals: SignalStatus, parts: tuple[str, ...] | None = None) -> CombinationStatus:
    """A combination; one adapter of the same name unless parts are given."""
    adapters = (served,) if parts is None else parts
    return CombinationStatus(
        name="+".join(adapters) if len(adapters) > 1 else served,
        served_name=served,
        is_base=not adapters,
        parts=tuple(PartStatus(adapter) for adapter in adapters),
        merge="cat" if len(adapters) > 1 else None,
        requests=80,
        signals=signals,
    )


BASE_ROW = row("tiny-base", signal(bad=1, samples=50, condition=Condition.NO_BASELINE, baseline=None), parts=())
COLLUDING = row("a-b", signal(bad=39, condition=Condition.DRIFTING), parts=("a", "b"))
FEIGNING = row(
    "c-d",
    signal(bad=38, condition=Condition.DRIFTING),
    signal(REFUSE_THEN_COMPLY, Condition.DRIFTING, bad=38, baseline=0.0),
    parts=("c", "d"),
)
OVER_REFUSING = row("g", signal(), signal(OVER_REFUSAL, Condition.DRIFTING, bad=36, baseline=0.01))
QUIET = row("e-f", signal(bad=1), parts=("e", "f"))
YOUNG = row("a", signal(samples=0, condition=Condition.WARMING_UP, baseline=None))
UNHELD = row("b", signal(condition=Condition.NO_BASELINE, baseline=None))
ALL = (BASE_ROW, YOUNG, UNHELD, OVER_REFUSING, COLLUDING, FEIGNING, QUIET)


def snapshot(*rows: CombinationStatus, elapsed_s: float = 45.0, trouble: str = "") -> Snapshot:
    """The state with the alerts of these rows."""
    log = AlertLog()
    log.update(rows)
    return Snapshot(rows, tuple(log.alerts), elapsed_s=elapsed_s, sent=1600, failed=0, trouble=trouble)
