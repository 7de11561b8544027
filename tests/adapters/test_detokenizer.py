"""Against a real HTTP server that answers as vLLM's /detokenize does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from blockbuster import blockbuster_ctx

from monitor.adapters.detokenizer import (
    BUSY,
    FAILED,
    MAX_WAITING,
    STOPPED,
    DetokenizeClient,
    DetokenizeError,
    Detokenizer,
)
from monitor.records import Choice, Dialogue, Prompt, TokenIds

WORDS = {1: "How ", 2: "are you?", 3: "Fine", 4: ".", 5: "<|im_end|>", 6: "\n"}


class Server:
    """Turns ids into words; can be told to answer something else, or nothing."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.keys: list[str] = []
        self.answer: web.Response | None = None
        self.hold = asyncio.Event()
        self.hold.set()

    async def detokenize(self, request: web.Request) -> web.Response:
        self.asked.append((await request.json())["tokens"])
        self.keys.append(request.headers.get("Authorization", ""))
        await self.hold.wait()
        if self.answer:
            return web.Response(status=self.answer.status, body=self.answer.body)
        return web.json_response({"prompt": "".join(WORDS[one] for one in self.asked[-1])})


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def session(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application()
    app.router.add_post("/detokenize", server.detokenize)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session
    server.hold.set()
    await runner.cleanup()


def dialogue(*answers: tuple[int, ...], texts: tuple[str, ...] = ()) -> Dialogue:
    given = texts or ("",) * len(answers)
    return Dialogue(
        prompts=(Prompt(""),),
        choices=tuple(Choice(index, 0, text, finish_reason="stop") for index, text in enumerate(given)),
        model_requested="alpha",
        model_answered="",
        tokens=TokenIds((1, 2), answers),
    )


async def resolved(detokenizer: Detokenizer, *dialogues: Dialogue) -> list[Dialogue | str]:
    """What becomes of these dialogues."""
    results: list[Dialogue | str] = []
    finished = asyncio.Event()

    def done(result: Dialogue | str) -> None:
        results.append(result)
        if len(results) == len(dialogues):
            finished.set()

    assert [detokenizer.offer(one, done) for one in dialogues] == [""] * len(dialogues)
    task = asyncio.create_task(detokenizer.run())
    try:
        await asyncio.wait_for(finished.wait(), 20)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return results


def quick(session: aiohttp.ClientSession, key_file: Path | None = None) -> Detokenizer:
    return Detokenizer(DetokenizeClient(session, key_file), calls_per_s=1000)


async def test_prompt_and_answers_become_text_without_the_marks_that_end_a_turn(
    session: aiohttp.ClientSession, server: Server
) -> None:
    (found,) = await resolved(quick(session), dialogue((3, 4, 5, 6), (3,)))
    assert isinstance(found, Dialogue)
    assert found.prompts == (Prompt("How are you?"),)
    assert [choice.text for choice in found.choices] == ["Fine.", "Fine"]
    assert found.tokens is None
    assert server.asked == [[1, 2], [3, 4, 5, 6], [3]]


async def test_an_answer_that_has_its_text_is_not_asked_for(session: aiohttp.ClientSession, server: Server) -> None:
    (found,) = await resolved(quick(session), dialogue((), texts=("Already <there>",)))
    assert isinstance(found, Dialogue)
    assert (found.choices[0].text, server.asked) == ("Already <there>", [[1, 2]])


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=401, body=b"{}"),
        web.Response(status=404, body=b"Not Found"),
        web.Response(body=b"not json"),
        web.Response(body=b'{"prompt": 7}'),
        web.Response(body=b'{"prompt": "' + b"x" * 2**20 + b'"}'),
    ],
    ids=["wants a key", "no such route", "no json", "no text", "too long"],
)
async def test_what_gives_no_text_is_a_failure_and_the_next_is_tried(
    session: aiohttp.ClientSession, server: Server, answer: web.Response
) -> None:
    server.answer = answer
    assert await resolved(quick(session), dialogue((3,)), dialogue((4,))) == [FAILED, FAILED]


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    async with aiohttp.ClientSession("http://127.0.0.1:9") as session:
        with pytest.raises(DetokenizeError):
            await DetokenizeClient(session).text([1])


async def test_a_defect_on_one_dialogue_is_a_failure_and_the_next_is_tried(
    session: aiohttp.ClientSession, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    broken = dialogue((3,))
    broken = replace(broken, choices=(*broken.choices, *broken.choices))  # more answers than token ids
    failed, found = await resolved(quick(session), broken, dialogue((3,)))
    assert failed == FAILED
    assert isinstance(found, Dialogue)
    assert "asking for the text of token ids failed (0 more before): ValueError at " in caplog.text


async def test_the_monitors_own_key_is_sent(session: aiohttp.ClientSession, server: Server, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sesame\n")
    with blockbuster_ctx():
        await resolved(quick(session, tmp_path / "key"), dialogue((3,)))
    assert server.keys == ["Bearer sesame", "Bearer sesame"]


async def test_no_more_wait_than_there_is_room_for_and_what_waits_at_the_end_is_told(
    session: aiohttp.ClientSession, server: Server
) -> None:
    detokenizer = quick(session)
    results: list[Dialogue | str] = []
    offers = [detokenizer.offer(dialogue((3,)), results.append) for _ in range(MAX_WAITING + 2)]
    assert offers == [""] * MAX_WAITING + [BUSY] * 2
    detokenizer.stop()
    assert results == [STOPPED] * MAX_WAITING
    assert server.asked == []


async def test_one_that_is_being_asked_for_when_the_monitor_stops_is_told(
    session: aiohttp.ClientSession, server: Server
) -> None:
    server.hold.clear()
    detokenizer = quick(session)
    results: list[Dialogue | str] = []
    detokenizer.offer(dialogue((3,)), results.append)
    task = asyncio.create_task(detokenizer.run())
    async with asyncio.timeout(20):
        while not server.asked:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    detokenizer.stop()
    assert results == [STOPPED]


async def test_the_servers_time_is_spent_sparingly(session: aiohttp.ClientSession, server: Server) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await resolved(Detokenizer(DetokenizeClient(session), calls_per_s=50), dialogue((3,), (4,)))
    assert loop.time() - began >= 3 / 50
    assert len(server.asked) == 3
