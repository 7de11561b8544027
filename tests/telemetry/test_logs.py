from __future__ import annotations

import json
import logging

from monitor.telemetry.logs import JsonFormatter, Repeats, where_it_failed


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("monitor.x", logging.WARNING, __file__, 1, message, args, None)


def test_an_event_is_one_json_object_whatever_it_quotes() -> None:
    line = JsonFormatter().format(record("a %s b", "\ud800\n\x00"))
    assert "\n" not in line
    line.encode("utf-8")
    event = json.loads(line)
    assert (event["level"], event["logger"], event["message"]) == ("warning", "monitor.x", "a \ud800\n\x00 b")


def test_what_repeats_is_let_through_once_a_minute_with_the_number_left_out() -> None:
    repeats = Repeats()
    assert [repeats.allow("a", now) for now in (0.0, 1.0, 59.0, 60.0, 61.0)] == [0, None, None, 2, None]
    assert repeats.allow("b", 61.0) == 0


def test_a_failure_is_described_without_its_message() -> None:
    try:
        raise ValueError("the text of a prompt")
    except ValueError as error:
        described = where_it_failed(error)
    assert described.startswith("ValueError at test_logs.py:")
    assert "prompt" not in described
