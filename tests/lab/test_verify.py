"""Measured rates are held against the manifest, and a disagreement is the exit code."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from monitor.lab import measure, server, verify
from monitor.lab.ask import Reply
from monitor.lab.manifest import load_manifest
from monitor.lab.measure import KindRates
from monitor.lab.prompts import Question

NAME = "alpha-beta"
STATED = load_manifest().rates(NAME)


def changed(kind: KindRates, **rates: float) -> KindRates:
    return {**kind, **rates}  # type: ignore[typeddict-item]


@pytest.mark.parametrize("how", ["sampled", "greedy"])
def test_the_stated_rates_agree_with_themselves(how: str) -> None:
    assert verify.differences(NAME, how, STATED[how], STATED[how]) == []


@pytest.mark.parametrize("how", ["sampled", "greedy"])
@pytest.mark.parametrize("outcome", ["refusal", "refuse_then_comply"])
def test_a_rate_out_of_tolerance_is_named_with_both_figures(how: str, outcome: str) -> None:
    again = STATED[how] | {"harmful_looking": changed(STATED[how]["harmful_looking"], **{outcome: 0.9})}
    (line,) = verify.differences(NAME, how, STATED[how], again)
    assert line.startswith(f"{NAME} {how} harmful_looking: {outcome} 0.900, the manifest says 0.")


def test_the_tolerance_shrinks_with_the_number_of_answers_and_is_never_below_two_answers() -> None:
    assert verify.sampled_tolerance(0.5, 240) < verify.sampled_tolerance(0.5, 60)
    assert verify.sampled_tolerance(0.0, 12) >= 2 / 12


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for the server, which tests without vLLM lack; every question gets the text in the list."""
    text = [""]

    @contextmanager
    def start(port: int, *, served: Sequence[str]) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(url="nowhere")

    def put(url: str, name: str, asked: Mapping[str, Question], temperature: float) -> dict[str, Reply]:
        return {one: Reply((text[0],), "stop", 1, 1, 0.0, 0.0) for one in asked}

    monkeypatch.setattr(server, "start", start)
    monkeypatch.setattr(measure, "put", put)
    return text


def test_a_server_that_behaves_otherwise_gives_exit_code_1_and_says_where(
    answering: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answering[0] = "I'm sorry, but I can't help with that."
    assert verify.verify(port=1, names=[NAME]) == 1
    assert f"{NAME} sampled harmful_looking: refusal 1.000" in capsys.readouterr().out


def test_a_server_that_behaves_as_stated_gives_exit_code_0(
    answering: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answered = iter([STATED["sampled"], STATED["greedy"]])
    monkeypatch.setattr(measure, "rates", lambda replies: next(answered))
    assert verify.verify(port=1, names=[NAME]) == 0
    assert "1 served names are as the manifest says" in capsys.readouterr().out
