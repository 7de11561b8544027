"""What became of the latest traffic, whatever came before it."""

from __future__ import annotations

from collections import Counter

from monitor import terms
from monitor.admin.view import _coverage
from monitor.telemetry.recent import STEP_S, WINDOW_S, Judged, RecentCoverage, judged


def told(recent: RecentCoverage) -> tuple[str, list[str]]:
    found = recent.coverage()
    assert found is not None
    shown = _coverage(found)
    return terms.covered(shown), terms.uncovered(shown)


class Traffic:
    """Cumulative counts of one endpoint, looked at every five seconds."""

    def __init__(self) -> None:
        self.recent = RecentCoverage()
        self.now = 0.0
        self.counts = Judged(0, 0, 0)

    def go_on(self, minutes: float, per_minute: Judged) -> None:
        for _ in range(round(minutes * 12)):
            self.now += 5
            self.counts = Judged(*(a + b / 12 for a, b in zip(self.counts, per_minute, strict=True)))  # type: ignore[arg-type]
            self.recent.note(self.now, {"messages": Judged(*map(round, self.counts))})


def test_judging_that_stopped_shows_within_minutes_although_it_went_well_for_weeks() -> None:
    traffic = Traffic()
    traffic.go_on(24 * 60, Judged(120, 120, 120))
    text, wrong = told(traffic.recent)
    assert text == "In the last 15 min 1800 exchanges passed and 1800 were judged (100% of those that were to be)."
    assert wrong == []
    traffic.go_on(10, Judged(120, 120, 0))
    assert told(traffic.recent)[1] == ["only 33% of 1800 exchanges on messages were scored in the last 15 min"]
    traffic.go_on(5, Judged(120, 120, 0))
    assert told(traffic.recent)[1] == ["only 0% of 1800 exchanges on messages were scored in the last 15 min"]
    traffic.go_on(15, Judged(120, 120, 120))
    assert told(traffic.recent)[1] == []


def test_a_sampling_that_chooses_none_shows_although_nothing_was_due() -> None:
    traffic = Traffic()
    traffic.go_on(60, Judged(120, 60, 60))
    text, wrong = told(traffic.recent)
    assert (
        "1800 exchanges passed and 900 were judged (100% of those that were to be); the sampling left out 900." in text
    )
    assert wrong == []
    traffic.go_on(15, Judged(120, 0, 0))
    (wrong_now,) = told(traffic.recent)[1]
    assert wrong_now == "none of 1800 exchanges was judged in the last 15 min: the sampling chose none (sampling.rate)"


def test_a_little_traffic_says_nothing() -> None:
    traffic = Traffic()
    traffic.go_on(60, Judged(3, 3, 0))
    assert told(traffic.recent)[1] == []
    traffic.go_on(60, Judged(0, 0, 0))
    assert told(traffic.recent) == ("In the last 15 min nothing passed that generates text.", [])


def test_right_after_the_start_it_speaks_of_less_and_never_of_what_was_before() -> None:
    recent = RecentCoverage()
    assert recent.coverage() is None
    for second in (100.0, 105.0, 160.0):
        recent.note(second, {"messages": Judged(5000 + round(second), 5000 + round(second), 4000)})
    found = recent.coverage()
    assert found is not None
    assert (found.window_s, found.endpoints) == (60.0, {"messages": Judged(60, 60, 0)})


def test_no_more_is_judged_than_passed_when_there_was_a_backlog() -> None:
    recent = RecentCoverage()
    recent.note(0.0, {"messages": Judged(300, 300, 0)})  # passed while the analysis was being started
    recent.note(60.0, {"messages": Judged(600, 590, 580)})
    assert told(recent) == (
        "In the last 60 s 300 exchanges passed and 290 were judged (100% of those that were to be); the sampling left out 10.",
        [],
    )


def test_the_past_is_bounded_and_a_look_that_comes_late_does_no_harm() -> None:
    recent = RecentCoverage()
    for second in range(0, 50_000, 5):
        recent.note(float(second), {})
    assert len(recent._past) <= WINDOW_S / STEP_S + 2
    recent.note(90_000.0, {"messages": Judged(10, 10, 10)})
    found = recent.coverage()
    assert found is not None
    assert found.endpoints == {"messages": Judged(10, 10, 10)}


def test_what_was_due_is_what_the_sampling_chose_and_had_an_answer_of_its_own() -> None:
    found = judged(
        Counter({"messages": 200, "other": 999}),
        Counter({"messages not_sampled": 60, "messages too_large": 10}),
        {"messages repeated": 40, "messages language": 7},
        {"messages": 30},
    )
    assert found == {"messages": Judged(200, 100, 30)}
