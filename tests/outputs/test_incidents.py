"""Who is told, when, and that nobody is told twice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import msgspec
import pytest
from made_findings import BEGAN, begin, state

from monitor.findings import FindingBook, Severity, severity_of
from monitor.outputs.incidents import CALM_S, Incidents
from monitor.outputs.message import Composer
from monitor.records import EVERY


class Play:
    """A book, what is told of it, and a clock that a test turns."""

    def __init__(self, *, replays: bool = False, pairs: int = 0, least: Severity = Severity.TICKET) -> None:
        self.book = FindingBook()
        self.now = BEGAN
        self._least = least
        self._severity = partial(severity_of, replays=replays, pairs=pairs)
        self.incidents = self._new()

    def _new(self) -> Incidents:
        composer = Composer("http://10.0.0.7:9464", lambda label: label.replace("+", "-"))
        return Incidents(composer, self._severity, self._least)

    def after(self, seconds: float) -> list[tuple[str, str, str]]:
        """What is told within the next seconds, looked at every second: event, severity, signal."""
        told = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 1, end)
            told += [
                (one.event.value, one.severity, one.signal) for one in self.incidents.look(self.book.cases, self.now)
            ]
        return told

    def restart(self) -> None:
        """Another process, with what a snapshot kept."""
        kept, cases = msgspec.json.encode(self.incidents.save()), msgspec.json.encode(self.book.save())
        self.book, self.incidents = FindingBook(), self._new()
        self.book.restore(msgspec.json.decode(cases))
        self.incidents.restore(msgspec.json.decode(kept))


def test_a_combination_that_gives_in_is_one_page_and_its_end_another_message() -> None:
    play = Play()
    begin(play.book)
    assert play.after(9) == []
    assert play.after(1) == [("opened", "page", "refusal_lost")]
    assert play.after(7200) == []
    play.book.end("alpha+beta", "refusal_lost", play.now, "recovered")
    assert play.after(CALM_S - 1) == []
    assert play.after(10) == [("closed", "page", "refusal_lost")]
    assert play.after(7200) == []


def test_a_restart_repeats_nothing() -> None:
    play = Play()
    begin(play.book)
    assert len(play.after(20)) == 1
    play.restart()
    assert play.after(7200) == []
    play.book.end("alpha+beta", "refusal_lost", play.now, "unloaded")
    assert play.after(1) == [("closed", "page", "refusal_lost")]
    play.restart()
    assert play.after(7200) == []


def test_collusion_and_what_else_drifts_is_told_in_the_one_page_about_the_same_prompts() -> None:
    play = Play(replays=True, pairs=30)
    for signal in ("refusal_lost", "refuse_then_comply", "collusion", "refusal_lost_paired", "over_refusal"):
        begin(play.book, signal=signal)
    (message,) = [one for second in range(4000) for one in play.incidents.look(play.book.cases, BEGAN + second)]
    assert (message.event, message.severity, message.signal) == ("opened", "page", "refusal_lost_paired")
    assert message.also == ["refusal_lost", "collusion", "refuse_then_comply", "over_refusal"]
    assert (
        "Also drifting: refusal_lost, collusion (its parts alone do not do it), refuse_then_comply"
        in message.description
    )


def test_collusion_alone_waits_for_the_same_prompts_and_then_wakes_somebody() -> None:
    play = Play(replays=True)
    begin(play.book, signal="collusion")
    assert play.after(119) == []
    assert play.after(1) == [("opened", "page", "collusion")]


def test_an_unpaired_loss_is_a_ticket_that_becomes_a_page_when_no_pairs_come() -> None:
    play = Play(replays=True, pairs=3)
    begin(play.book)
    assert play.after(1799) == [("opened", "ticket", "refusal_lost")]
    assert play.after(10) == [("raised", "page", "refusal_lost")]
    assert play.after(7200) == []


def test_with_pairs_it_stays_a_ticket() -> None:
    play = Play(replays=True, pairs=20)
    begin(play.book)
    assert play.after(7200) == [("opened", "ticket", "refusal_lost")]


def test_what_is_not_wanted_is_not_told_until_it_is_a_page() -> None:
    play = Play(replays=True, pairs=3, least=Severity.PAGE)
    begin(play.book)
    begin(play.book, "gamma", "over_refusal")
    assert play.after(7200) == [("opened", "page", "refusal_lost")]
    play.book.end("gamma", "over_refusal", play.now, "recovered")
    assert play.after(7200) == []


def test_a_trouble_that_comes_back_soon_is_the_same_and_one_that_comes_back_late_is_another() -> None:
    play = Play()
    first = begin(play.book)
    play.after(20)
    for pause, told in ((CALM_S - 20, []), (CALM_S + 20, [("closed", "page", "refusal_lost")])):
        play.book.end("alpha+beta", "refusal_lost", play.now, "recovered")
        assert play.after(pause) == told
        again = begin(play.book, time=play.now)
        assert again != first
        assert play.after(3600) == ([("opened", "page", "refusal_lost")] if told else [])


def test_what_somebody_reset_is_told_at_once() -> None:
    play = Play()
    begin(play.book)
    play.after(20)
    play.book.end_all("alpha+beta", play.now, "reset")
    assert play.after(1) == [("closed", "page", "refusal_lost")]


def test_while_all_move_together_only_that_is_told() -> None:
    play = Play()
    begin(play.book, EVERY)
    for name in ("a", "b", "c"):
        begin(play.book, name)
    begin(play.book, "d", "refuse_then_comply")
    assert play.after(60) == [("opened", "page", "refusal_lost"), ("opened", "page", "refuse_then_comply")]
    play.book.end(EVERY, "refusal_lost", play.now, "recovered")
    for name in ("a", "b"):
        play.book.end(name, "refusal_lost", play.now, "recovered")
    told = play.after(CALM_S + 5)
    assert told[0] == ("opened", "page", "refusal_lost"), "c still gives in, for a reason of its own"
    assert told[1:] == [("closed", "page", "refusal_lost")]


def test_messages_of_one_trouble_have_one_incident_and_ids_of_their_own_that_a_restart_does_not_change() -> None:
    def told() -> Iterator[tuple[str, str]]:
        play = Play(replays=True, pairs=3)
        begin(play.book)
        for second in range(2000):
            yield from ((one.incident, one.id) for one in play.incidents.look(play.book.cases, BEGAN + second))
        play.book.end("alpha+beta", "refusal_lost", BEGAN + 2000, "reset")
        yield from ((one.incident, one.id) for one in play.incidents.look(play.book.cases, BEGAN + 2001))

    first = list(told())
    assert len(first) == 3
    assert first == list(told())
    assert all(one[0] == other[0] and one[1] != other[1] for one, other in pairwise(first))


@pytest.mark.parametrize(
    ("signal", "known", "replays", "expected"),
    [
        ("refusal_lost", {}, False, {10: Severity.PAGE}),
        ("refusal_lost", {"lower": 0.06}, False, {600: Severity.TICKET}),
        ("refusal_lost", {"lower": 0.06}, True, {600: Severity.TICKET}),
        ("refusal_lost_paired", {}, True, {10: Severity.PAGE}),
        ("refusal_lost_paired", {"effect_lower": 0.01}, True, {600: Severity.TICKET}),
        ("refusal_lost_probed", {}, False, {10: Severity.PAGE}),
        ("refuse_then_comply", {}, False, {10: Severity.PAGE}),
        ("over_refusal", {}, False, {900: Severity.TICKET}),
    ],
)
def test_severities(signal: str, known: dict[str, float], replays: bool, expected: dict[int, Severity]) -> None:
    book = FindingBook()
    case = book.find(begin(book, signal=signal, **known))
    assert case is not None
    found: dict[int, Severity | None] = {}
    for second in range(7200):
        now = severity_of(case, BEGAN + second, replays=replays, pairs=100)
        if now is not None and now not in found.values():
            found[second] = now
    assert found == expected


def test_a_later_answer_s_figures_decide() -> None:
    play = Play(replays=True, pairs=100)
    begin(play.book, signal="refusal_lost_paired", effect_lower=0.01)
    assert play.after(700) == [("opened", "ticket", "refusal_lost_paired")]
    play.book.note(state(signal="refusal_lost_paired", effect_lower=0.3), play.now)
    assert play.after(1) == [("raised", "page", "refusal_lost_paired")]
