from __future__ import annotations

import asyncio
import gc
import io
import json
import logging

import pytest

from monitor.telemetry.logs import JsonFormatter, Repeats, TextFormatter, where_it_failed


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


def failing(error: BaseException, cause: BaseException | None = None) -> logging.LogRecord:
    try:
        raise error from cause
    except type(error) as raised:
        found = (type(raised), raised, raised.__traceback__)
    return logging.LogRecord("aiohttp.server", logging.ERROR, __file__, 1, "Error handling request", (), found)


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_logged_exception_tells_types_and_places_and_nothing_that_it_quotes(formatter: logging.Formatter) -> None:
    group = ExceptionGroup("the text of a prompt", [KeyError("the text of an answer")])
    line = formatter.format(failing(group, ValueError("Authorization: Bearer of-somebody")))
    assert "text" not in line.replace("context", "")
    assert "Bearer" not in line
    for told in ("ExceptionGroup", "KeyError", "ValueError", "which led to", "test_logs.py"):
        assert told in line


def test_a_name_cannot_begin_a_line_of_its_own_in_the_log() -> None:
    line = TextFormatter().format(record("combination %s is served", "a\n2026-01-01T00:00:00Z ERROR forged\x1b[2J"))
    assert "\n" not in line
    assert "\x1b" not in line
    assert "forged" in line


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
async def test_what_an_event_loop_says_of_a_failure_quotes_nobody(formatter: logging.Formatter) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    log = logging.getLogger("asyncio")
    log.addHandler(handler)
    try:
        loop = asyncio.get_running_loop()
        loop.call_soon(fail_with, "the text of a prompt")
        failed = loop.create_task(fail("the text of an answer"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del failed
        gc.collect()
    finally:
        log.removeHandler(handler)
    said = stream.getvalue()
    assert "Exception in callback fail_with" in said
    assert "Task exception was never retrieved" in said
    assert "the text" not in said


def fail_with(text: str) -> None:
    raise ValueError(text)


async def fail(text: str) -> None:
    raise ValueError(text)
