"""Every exchange is accounted for, whatever is asked, however it ends, and whoever dies:

seen = sampled + skipped{reason} for every endpoint, and sampled = scored + unscored{reason} + dropped{reason}.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

from made_exchanges import chat_response, chunk, sse
from running_sidecar import Sidecar, SidecarStarter, eventually
from scripted_upstream import Gone, Peer, ScriptedUpstream, plain
from wire import Wire, get, post

ANSWER = "Sure, here is how it goes. You gather the parts, mix them with care and follow each step in order until it is done."
PATHS = {
    "/v1/chat/completions": "chat_completions",
    "/v1/chat/completions/batch": "batch",
    "/v1/completions": "completions",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
    "/inference/v1/generate": "generate",
    "/invocations": "invocations",
    "/v1/embeddings": "other",
}
TURN = [{"role": "user", "content": "How do I bake bread?"}]
REQUEST = json.dumps({"model": "alpha", "messages": TURN, "prompt": "Hi", "input": "Hi", "token_ids": [1, 2]}).encode()
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def whole(path: str) -> bytes:
    """An answer in the words of this API."""
    if path == "/v1/messages":
        content = [{"type": "text", "text": ANSWER}]
        return json.dumps({"type": "message", "model": "alpha", "content": content, "stop_reason": "end_turn"}).encode()
    if path == "/v1/responses":
        item = {"type": "message", "content": [{"type": "output_text", "text": ANSWER}]}
        return json.dumps({"id": "r", "model": "alpha", "status": "completed", "output": [item]}).encode()
    choice = {"index": 0, "text": ANSWER, "message": {"content": ANSWER}, "finish_reason": "stop"}
    return chat_response(model="alpha", choices=[choice])


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


STREAM = chunked(sse(chunk(content="Sure, ", model="alpha"), chunk(content="fine.", finish="stop", model="alpha")))
BROKEN_EVENT = chunked(sse(chunk(content="Sure", model="alpha"), {"error": {"type": "InternalServerError"}}))
HOW: dict[str, Callable[[str], list[bytes]]] = {
    "whole": lambda path: [plain(whole(path))],
    "streamed": lambda path: [EVENTS, STREAM, b"0\r\n\r\n"],
    "error event": lambda path: [EVENTS, BROKEN_EVENT, b"0\r\n\r\n"],
    "gzip": lambda path: [
        plain(gzip.compress(whole(path)), headers=b"content-type: application/json\r\ncontent-encoding: gzip\r\n")
    ],
    "brotli": lambda path: [plain(b"\x01\x02", headers=b"content-type: application/json\r\ncontent-encoding: br\r\n")],
    "not found": lambda path: [plain(b'{"error": {"type": "NotFoundError"}}', status="404 Not Found")],
    "failed": lambda path: [plain(b"oops", status="500 Internal Server Error")],
    "nonsense": lambda path: [plain(b"{nonsense")],
    "no choices": lambda path: [plain(b'{"model": "alpha", "choices": []}')],
    "never listed": lambda path: [plain(whole(path).replace(b"alpha", b"nobody"))],
    "refused": lambda path: [b""],
    "broken off": lambda path: [plain(whole(path))[:-9], b""],
    "stream broken off": lambda path: [EVENTS, STREAM[:60], b""],
    "silent": lambda path: [],
    "falls silent": lambda path: [EVENTS, STREAM[:60]],
}
"""What the server sends; an empty piece breaks off, and without one more it waits until its client is gone."""
WAITS = {"silent", "falls silent"}


async def script(peer: Peer) -> None:
    seen = await peer.read_request()
    path = seen.line.split(" ")[1]
    if path == "/v1/models":
        cards = [{"id": "base"}, {"id": "alpha", "parent": "base"}]
        await peer.send(plain(json.dumps({"data": cards}).encode()))
        return
    if path == "/detokenize":
        await peer.send(plain(b'{"prompt": "Hi"}'))
        return
    how = (seen.header("x-request-id") or "whole").replace("_", " ")
    for piece in HOW[how](path):
        if not piece:
            peer.close()
            raise Gone
        await peer.send(piece)
    if how in WAITS:
        await peer.wait_gone()
        raise Gone


async def ask(running: Sidecar, path: str, how: str, body: bytes = REQUEST, *, leaves: bool = False) -> None:
    async with await Wire.open(running.port) as wire:
        extra = b"Connection: close\r\nX-Request-Id: %b\r\n" % how.replace(" ", "_").encode()
        if body[:2] == b"\x1f\x8b":
            extra += b"Content-Encoding: gzip\r\n"
        await wire.send(post(body, path, extra))
        if leaves:
            if how != "silent":
                await wire.read_until(b"\r\n\r\n")
        else:
            await wire.rest()


BODIES = (REQUEST, gzip.compress(REQUEST), b"", b"{", b'{"model": "alpha", "messages": 3, "prompt": {}, "input": 4}')


async def ask_everything(running: Sidecar) -> int:
    """Every endpoint in every way; how many exchanges that were."""
    asked = [ask(running, path, how) for path in PATHS for how in HOW]
    asked += [ask(running, path, how, leaves=True) for path in PATHS for how in ("silent", "falls silent")]
    asked += [ask(running, path, how, body) for path in PATHS for body in BODIES for how in ("whole", "streamed")]
    gate = asyncio.Semaphore(40)

    async def one(coming: Any) -> None:
        async with gate:
            await coming

    await asyncio.gather(*map(one, asked))
    async with await Wire.open(running.port) as wire:
        for path in ("/v1/models", "/v1/models"):
            await wire.send(get(path))
            await wire.answer()
    return len(asked) + 2


def counts(metrics: dict[str, float], what: str) -> Counter[str]:
    """Endpoint (or reason, where there is no endpoint) -> number."""
    found: Counter[str] = Counter()
    for name, value in metrics.items():
        if match := re.match(rf'alignment_exchanges_{what}_total{{(?:endpoint|reason)="(\w+)"', name):
            found[match.group(1)] += int(value)
    return found


def balanced(metrics: dict[str, float], seen: int) -> bool:
    if sum(counts(metrics, "seen").values()) != seen:
        return False
    assert counts(metrics, "seen") == counts(metrics, "sampled") + counts(metrics, "skipped")
    accounted = sum(sum(counts(metrics, what).values()) for what in ("scored", "unscored", "dropped"))
    return accounted == sum(counts(metrics, "sampled").values())


CONFIG = {
    "proxy": {"first_byte_timeout_s": 1.0, "stream_idle_timeout_s": 1.0, "drain_grace_s": 1.0},
    "sampling": {"rate": 0.7, "minimum_per_hour": 0},
}


async def test_every_exchange_is_accounted_for_in_every_shape_and_however_it_ends(
    sidecar: SidecarStarter, scripted: ScriptedUpstream
) -> None:
    scripted.script = script
    running = await sidecar(scripted.url, CONFIG)
    seen = await ask_everything(running)

    async def all_accounted() -> dict[str, float] | None:
        metrics = await running.metrics()
        return metrics if balanced(metrics, seen) else None

    metrics: dict[str, float] = await eventually(all_accounted, "the accounts are balanced", 60)
    assert set(counts(metrics, "seen")) >= set(PATHS.values())
    assert all(counts(metrics, "scored")[endpoint] for endpoint in PATHS.values() if endpoint not in ("other", "batch"))
    endings = {
        re.search('ending="(.*?)"', name).group(1)
        for name, value in metrics.items()
        if "proxy_endings" in name and value
    }
    assert endings == {"complete", "client_gone", "upstream_error", "upstream_broke", "timeout"}
    reasons = {
        re.search('reason="(.*?)"', name).group(1) for name, value in metrics.items() if "_unscored_" in name and value
    }
    assert {"no_response", "error_status", "malformed_request", "malformed_response", "encoding"} <= reasons


async def test_the_accounts_stay_balanced_when_the_analysis_is_killed_again_and_again(
    sidecar: SidecarStarter, scripted: ScriptedUpstream
) -> None:
    scripted.script = script
    running = await sidecar(scripted.url, CONFIG | {"sampling": {"rate": 1.0}})
    seen = 0
    scored = 0.0
    for _ in range(3):
        (analysis,) = running.children("analysis")
        asking = asyncio.ensure_future(ask_everything(running))
        await asyncio.sleep(0.5)
        os.kill(analysis, signal.SIGKILL)
        seen += await asking

        async def up(dead: int = analysis) -> bool:
            return running.children("analysis") not in ([], [dead]) and await running.ready()

        await eventually(up, "the analysis runs again", 60)

        async def all_accounted(expected: int = seen) -> dict[str, float] | None:
            metrics = await running.metrics()
            return metrics if balanced(metrics, expected) else None

        metrics: dict[str, float] = await eventually(all_accounted, "the accounts are balanced", 60)
        assert sum(counts(metrics, "scored").values()) >= scored, "no count goes back"
        scored = sum(counts(metrics, "scored").values())
        elsewhere = {reason: count for reason, count in counts(metrics, "dropped").items() if count}
        assert elsewhere.keys() <= {"analysis_died", "fragment_lost"}
    assert await running.metric('alignment_process_restarts_total{process="analysis"}') == 3
