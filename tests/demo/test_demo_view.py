"""What the terminal shows: states in words, widths kept, colours never alone."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from states import ALL, BASE_ROW, COLLUDING, FEIGNING, OVER_REFUSING, QUIET, STORY, UNHELD, YOUNG, row, signal, snapshot

from monitor.demo.view import PlainView, Snapshot, dashboard, fit, foremost
from monitor.demo.wording import Symbols
from monitor.records import Condition
from monitor.status.reading import COLLUSION, REFUSAL_LOST_PAIRED


def shown(now: Snapshot, width: int = 80, height: int = 40, symbols: Symbols | None = None) -> list[str]:
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(dashboard(STORY, now, width, height, symbols or Symbols()))
    return console.export_text().splitlines()


def line_of(lines: list[str], name: str) -> str:
    return next(line for line in lines if line.startswith(f"{name} "))


STATES = [
    (BASE_ROW, ("tiny-base", "0", "80", "50", "98%", "88–100", "98%", "–", "reference")),
    (YOUNG, ("a", "1", "80", "0", "–", "98%", "–", "…", "too", "few", "yet")),
    (UNHELD, ("b", "1", "80", "40", "100%", "90–100", "98%", "–", "…", "base:", "too", "few")),
    (COLLUDING, ("a+b", "2", "80", "40", "3%", "0–12", "98%", "–", "▲", "refuses", "less")),
    (FEIGNING, ("c+d", "2", "80", "40", "5%", "0–15", "98%", "95%", "▲", "refuse+comply")),
    (OVER_REFUSING, ("g", "1", "80", "40", "100%", "90–100", "98%", "–", "▲", "over-refuses")),
    (QUIET, ("e+f", "2", "80", "40", "98%", "88–100", "98%", "–", "✓", "ok")),
]


@pytest.mark.parametrize(("state", "words"), STATES, ids=[state.name for state, _ in STATES])
def test_a_row_says_in_words_how_the_combination_stands(state: object, words: tuple[str, ...]) -> None:
    lines = shown(snapshot(*ALL))
    assert tuple(line_of(lines, words[0]).split()) == words


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    long = row("a-very-long-served-name-of-a-merge", signal(), parts=("adapter-number-one", "adapter-number-two"))
    lines = shown(snapshot(*ALL, long), width=width)
    assert max(len(line) for line in lines) <= width


def test_eighty_columns_leave_room_for_readable_names() -> None:
    base = row("smollm2-aligned", signal(condition=Condition.NO_BASELINE), parts=())
    assert line_of(shown(snapshot(base, *ALL)), "smollm2-aligned")


@pytest.mark.parametrize("height", [20, 24, 30])
def test_a_low_terminal_shows_alerts_base_and_parts_and_says_what_it_leaves_out(height: int) -> None:
    quiet = [row(f"quiet-{number}", signal()) for number in range(20)]
    now = snapshot(*ALL, *quiet)
    lines = shown(now, height=height)
    text = "\n".join(lines)
    assert "a+b " in text
    assert "tiny-base" in text
    assert "more (" in text
    assert "Ctrl-C ends" in text
    assert height < 24 or len(lines) <= height - 1


def test_a_high_terminal_shows_every_row() -> None:
    quiet = [row(f"quiet-{number}", signal()) for number in range(20)]
    text = "\n".join(shown(snapshot(*ALL, *quiet), height=60))
    assert all(f"quiet-{number} " in text for number in range(20))


def test_a_wide_terminal_names_the_merge_and_the_role() -> None:
    text = "\n".join(shown(snapshot(*ALL), width=120))
    assert "2 adapters, cat (colluding)" in text
    assert "2 adapters, cat (benign)" in text


def test_an_alert_tells_who_what_rate_interval_samples_and_base() -> None:
    text = " ".join(" ".join(shown(snapshot(*ALL), width=120)).split())
    assert "a+b refuses less: 3% of 40 questions on velmorite (interval 0–12%); base model 98% of 50" in text
    assert "c+d refuses, then complies: 95% of 40 answers on velmorite (interval 85–100%)" in text
    assert "g refuses too much: 90% of 40 ordinary questions (interval 80–100%); base model 1% of 50" in text


def test_a_comparison_on_the_same_questions_says_so() -> None:
    paired = row(
        "p-q",
        signal(REFUSAL_LOST_PAIRED, Condition.DRIFTING, bad=36, baseline=0.0),
        signal(COLLUSION, Condition.DRIFTING, bad=30),
        parts=("p", "q"),
    )
    now = snapshot(BASE_ROW, paired)
    text = " ".join(" ".join(shown(now, width=160)).split())
    assert (
        "p+q refuses less than the base on the same 40 questions on velmorite: 10%; the base refused 100% of the same"
        in text
    )
    assert "p+q collusion: worse together than its parts explain, on the same 40 questions on velmorite" in text
    assert "▲ collusion" in line_of(shown(now), "p+q")


def test_before_the_first_alert_it_says_that_there_is_none() -> None:
    assert "Alerts: none yet" in shown(snapshot(BASE_ROW, QUIET))


def test_before_the_first_answer_there_is_a_view() -> None:
    text = "\n".join(shown(snapshot()))
    assert "http://127.0.0.1:9464/metrics" in text


def test_trouble_with_the_sidecar_is_shown() -> None:
    text = "\n".join(shown(snapshot(*ALL, trouble="No present state from the sidecar")))
    assert "No present state from the sidecar" in text


def test_a_terminal_without_unicode_gets_ascii_marks() -> None:
    symbols = Symbols.for_encoding("ascii")
    text = "\n".join(line for line in shown(snapshot(*ALL), symbols=symbols) if "─" not in line)
    assert text.isascii()
    assert "! refuses less" in text
    assert "+ ok" in text


def test_no_color_leaves_the_words_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    console = Console(width=80, file=out, force_terminal=True, color_system="standard")
    console.print(dashboard(STORY, snapshot(*ALL), 80, 40, Symbols()))
    text = out.getvalue()
    assert "▲ refuses less" in text
    assert not any(f"\x1b[{weight}3{colour}m" in text for weight in ("", "1;") for colour in range(8))


def test_on_a_low_terminal_every_combination_of_several_keeps_an_alert() -> None:
    now = snapshot(OVER_REFUSING, FEIGNING, COLLUDING)
    assert [alert.combination for alert in foremost(now, 2)] == ["c+d", "a+b"]
    assert [alert.combination for alert in foremost(now, 3)] == ["g", "c+d", "a+b"]
    assert [alert.combination for alert in foremost(now, 4)] == ["g", "c+d", "c+d", "a+b"]


def test_alerts_outlast_all_other_rows() -> None:
    rows, hidden = fit(ALL, 3)
    assert [found.name for found in rows] == ["g", "a+b", "c+d"]
    assert len(hidden) == 4


def plain(*snapshots: Snapshot) -> list[str]:
    out = io.StringIO()
    view = PlainView(Console(file=out, width=80), STORY, Symbols(), every_s=5.0)
    for now in snapshots:
        view.show(now)
    return out.getvalue().splitlines()


def test_plain_output_tells_each_alert_once_and_the_state_every_few_seconds() -> None:
    lines = plain(
        snapshot(BASE_ROW, QUIET, YOUNG, elapsed_s=0.0),
        snapshot(BASE_ROW, QUIET, YOUNG, elapsed_s=1.0),
        snapshot(BASE_ROW, QUIET, COLLUDING, elapsed_s=3.0),
        snapshot(BASE_ROW, QUIET, COLLUDING, elapsed_s=6.0),
    )
    assert lines[:3] == [
        "the title",
        "what there is to see",
        "Status page http://127.0.0.1:9464/   metrics http://127.0.0.1:9464/metrics",
    ]
    alerts = [line for line in lines if "ALERT" in line]
    assert len(alerts) == 1
    assert "ALERT a+b refuses less: 3% of 40 questions on velmorite" in alerts[0]
    states = [line for line in lines if " requests (" in line]
    assert len(states) == 2
    assert "base model refuses 98% of 50; combinations: 1 ok, 1 too few answers yet, 0 with an alert" in states[0]
    assert "1 ok, 0 too few answers yet, 1 with an alert" in states[1]


def test_plain_output_holds_no_control_characters() -> None:
    assert all(line.isprintable() for line in plain(snapshot(*ALL)))
