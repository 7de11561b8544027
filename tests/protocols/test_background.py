"""A response that is generated in the background: asked for once, fetched any number of times, judged once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from captured import captured

from monitor.arrival import Arrival, Reader
from monitor.protocols.background import MAX_CHARACTERS, MAX_RESPONSES, Background
from monitor.protocols.responses import decode_responses
from monitor.records import Choice, Dialogue, Exchange, Prompt

RAINBOW = "Name a colour of the rainbow."
ANSWER = (Choice(0, 0, "Red.", finish_reason="stop"),)


def read(reader: Reader, exchange: Exchange) -> Arrival | str:
    return reader.read(exchange, "responses")


def same_id(name: str, like: str) -> Exchange:
    body = json.loads(captured(name).response)
    body["id"] = json.loads(captured(like).response)["id"]
    return captured(name, response=json.dumps(body).encode())


def asked(identity: str, text: str) -> Dialogue:
    return Dialogue((Prompt(text),), (), "alpha", "alpha", response_id=identity, unfinished=True)


def fetched(identity: str) -> Dialogue:
    return Dialogue((Prompt(""),), ANSWER, "alpha", "alpha", response_id=identity, fetched=True)


def test_a_fetched_answer_is_judged_against_what_was_asked() -> None:
    reader = Reader()
    assert read(reader, captured("responses_background")) == "unfinished"
    arrival = read(reader, captured("responses_get"))
    assert isinstance(arrival, Arrival)
    assert arrival.dialogue.prompts[0].text == RAINBOW
    assert arrival.dialogue.choices[0].text == "Red is one colour of the rainbow."


def test_how_long_fetching_took_is_not_how_long_answering_took() -> None:
    arrival = read(Reader(), captured("responses_get"))
    assert isinstance(arrival, Arrival)
    assert (arrival.duration_s, arrival.first_byte_s) == (-1.0, -1.0)


def test_an_answer_that_is_fetched_again_counts_once() -> None:
    reader = Reader()
    assert isinstance(read(reader, captured("responses_get")), Arrival)
    assert read(reader, captured("responses_get")) == "repeated"


def test_an_answer_that_came_with_its_request_does_not_count_again_when_it_is_fetched() -> None:
    reader = Reader()
    assert isinstance(read(reader, captured("responses_stored")), Arrival)
    assert read(reader, captured("responses_get_stored")) == "repeated"


def test_an_answer_that_its_client_did_not_wait_for_counts_when_it_is_fetched() -> None:
    stored = captured("responses_plain_stream")
    whole = decode_responses(stored)
    broken = replace(whole, choices=(replace(whole.choices[0], finish_reason=""),))
    background = Background()
    assert background.join(broken) == broken
    again = background.join(replace(whole, fetched=True, prompts=(Prompt(""),)))
    assert isinstance(again, Dialogue)
    assert again.prompts == whole.prompts


def test_asking_before_the_answer_is_there_is_unfinished_and_keeps_the_question() -> None:
    reader = Reader()
    read(reader, captured("responses_background"))
    polled = captured("responses_get", response=captured("responses_background").response)
    assert read(reader, polled) == "unfinished"
    arrival = read(reader, captured("responses_get"))
    assert isinstance(arrival, Arrival)
    assert arrival.dialogue.prompts[0].text == RAINBOW


def test_a_cancelled_response_has_nothing_to_judge() -> None:
    assert read(Reader(), captured("responses_cancel")) == "unfinished"


def test_what_was_never_seen_being_asked_is_judged_without_its_prompt() -> None:
    arrival = read(Reader(), same_id("responses_get", "responses_background_2"))
    assert isinstance(arrival, Arrival)
    assert arrival.dialogue.prompts[0].text == ""


@pytest.mark.parametrize(("count", "length"), [(MAX_RESPONSES + 1, 1), (9, MAX_CHARACTERS // 8)])
def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(count: int, length: int) -> None:
    background = Background()
    for number in range(count):
        background.join(asked(f"r{number}", "x" * length))
    first, last = background.join(fetched("r0")), background.join(fetched(f"r{count - 1}"))
    assert isinstance(first, Dialogue)
    assert isinstance(last, Dialogue)
    assert (first.prompts[0].text, last.prompts[0].text) == ("", "x" * length)


def test_a_prompt_beyond_the_bound_is_not_remembered() -> None:
    background = Background()
    background.join(asked("r", "x" * (MAX_CHARACTERS + 1)))
    again = background.join(fetched("r"))
    assert isinstance(again, Dialogue)
    assert again.prompts[0].text == ""
