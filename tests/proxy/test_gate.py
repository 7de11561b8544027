"""Requests for models that may not answer are refused, whatever way they are written; all others pass as they came."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_exchanges import chat_request
from running_worker import RunningWorker, WorkerStarter
from scripted_upstream import Peer, ScriptedUpstream, plain
from wire import Answer, Wire, ask, get, post

from monitor.enforcement import Decision, Policy
from monitor.proxy.gate import model_of

BAD = Decision("alpha+beta", "unvalidated", "nobody evaluated this combination")
ONLY_APPROVED = Policy(
    {
        "base": Decision("base"),
        "good": Decision("good"),
        "bad": BAD,
        "new": Decision("new", "undecided", "not looked at"),
    },
    unlisted=Decision("unlisted", "unlisted", "the server does not list it"),
)
NOT_QUARANTINED = Policy({"bad": Decision("bad", "quarantined", "complies on weapons")})
ADAPTERS = {"enforcement": "block-unvalidated", "registry_file": "unused.yaml"}
ADAPTER_HEADER = b"X-Amzn-SageMaker-Adapter-Identifier: %b\r\n"


def start(
    worker: WorkerStarter, scripted: ScriptedUpstream, policy: Policy | None = ONLY_APPROVED, **more: Any
) -> RunningWorker:
    return worker(scripted.url, more.pop("proxy", None), policy, adapters=ADAPTERS | more)


def error(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body)["error"]
    assert (found["source"], found["code"], found["param"]) == ("alignment-monitor", answer.status, "model")
    return found


async def test_what_may_not_answer_gets_403_with_the_reason_and_the_server_sees_nothing_of_it(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = start(worker, scripted)
    async with await Wire.open(running.port) as wire:
        await wire.send(post(chat_request(model="bad")))
        answer = await wire.answer()
        assert answer.status == 403
        found = error(answer)
        assert found["type"] == "combination_blocked"
        assert found["message"] == (
            "the model 'bad' may not answer: combination alpha+beta: unvalidated: nobody evaluated this combination"
        )
        assert (scripted.connections, scripted.seen) == (0, [])
        for model in ("good", "base", None):
            body = chat_request(model=model)
            await wire.send(post(body))
            passed = await wire.answer()
            assert (passed.status, passed.body, scripted.seen[-1].body) == (200, body, body)
    counts = await running.stop()
    assert counts.blocked == {"unvalidated alpha+beta": 1}
    assert counts.rejected == {"combination_blocked": 1}
    assert (counts.seen, counts.sampled) == ({"chat_completions": 3}, {"chat_completions": 3})
    assert counts.endings == {"complete": 3}


async def test_a_streamed_body_passes_in_its_own_chunks_once_its_model_is_known(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = start(worker, scripted)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    for model, status in ((b"good", 200), (b"bad", 403)):
        before = len(scripted.seen)
        async with await Wire.open(running.port) as wire:
            await wire.send(head + b'6\r\n{"mode\r\n')
            await running.looks(1)
            assert len(scripted.seen) == before
            await wire.send(b'%x\r\nl": "%b"}\r\n0\r\n\r\n' % (7 + len(model), model))
            assert (await wire.answer()).status == status
        if status == 200:
            assert scripted.seen[-1].raw_body == b'6\r\n{"mode\r\nb\r\nl": "good"}\r\n0\r\n\r\n'
    assert len(scripted.seen) == 1


HIDDEN = {
    "said twice": (post(b'{"model": "good", "messages": [], "model": "bad"}'), "unvalidated"),
    "escaped": (post(b'{"m\\u006fdel": "b\\u0061d"}'), "unvalidated"),
    "UTF-16": (post('{"model": "bad"}'.encode("utf-16")), "unvalidated"),
    "with a byte order mark": (post(b'\xef\xbb\xbf{"model": "bad"}'), "unvalidated"),
    "not JSON for strict parsers": (post(b'{"temperature": NaN, "model": "bad"}'), "unvalidated"),
    "another path": (post(b'{"model": "bad"}', "//v1/%63hat/completions?x=1"), "unvalidated"),
    "completions": (post(b'{"model": "bad"}', "/v1/completions"), "unvalidated"),
    "embeddings": (post(b'{"model": "bad"}', "/v1/embeddings"), "unvalidated"),
    "in the header": (post(b'{"model": "good"}', "/invocations", ADAPTER_HEADER % b"bad"), "unvalidated"),
    "in the first of two headers": (
        post(b"{}", "/invocations", ADAPTER_HEADER % b"bad" + ADAPTER_HEADER % b"good"), "unvalidated",
    ),
    "compressed": (post(gzip.compress(b'{"model": "bad"}'), extra=b"Content-Encoding: gzip\r\n"), "unreadable"),
    "multipart": (
        post(b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nbad\r\n--x--\r\n', "/v1/audio/transcriptions"),
        "unreadable",
    ),
    "no text": (post(b'{"model": ["bad"]}'), "unreadable"),
    "no object": (post(b'["bad"]'), "unreadable"),
    "not listed": (post(b'{"model": "loaded a moment ago"}'), "unlisted"),
}  # fmt: skip


@pytest.mark.parametrize("written", HIDDEN)
async def test_no_other_way_to_write_it_leads_past(
    worker: WorkerStarter, scripted: ScriptedUpstream, written: str
) -> None:
    request, reason = HIDDEN[written]
    running = start(worker, scripted)
    answer = await ask(running.port, request)
    assert (answer.status, error(answer)["type"]) == (403, "combination_blocked")
    counts = await running.stop()
    assert [key.split(" ")[0] for key in counts.blocked] == [reason]
    assert scripted.seen == []


@pytest.mark.parametrize(
    "request_",
    [get(), get("/v1/responses/resp_1"), post(b"", "/v1/responses/resp_1/cancel"), post(b'{"model": "bad"}', "/tokenize"),
     post(b'{"model": "bad"}', "/v1/messages/count_tokens"), post(b'{"model": ""}'), post(b"")],
)  # fmt: skip
async def test_where_no_adapter_answers_everything_passes(
    worker: WorkerStarter, scripted: ScriptedUpstream, request_: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(plain(b"{}"))

    scripted.script = script
    running = start(worker, scripted)
    assert (await ask(running.port, request_)).status == 200


async def test_only_what_is_quarantined_is_refused_where_no_more_is_asked_for(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = start(worker, scripted, NOT_QUARANTINED, enforcement="block-quarantined")
    assert (await ask(running.port, post(b'{"model": "whatever"}'))).status == 200
    answer = await ask(running.port, post(b'{"model": "bad"}'))
    assert "quarantined: complies on weapons" in error(answer)["message"]


async def test_a_decision_takes_effect_within_a_look_and_stands_when_nobody_renews_it(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = start(worker, scripted)
    request = post(chat_request(model="bad"))
    assert (await ask(running.port, request)).status == 403
    running.policies.publish(Policy({"bad": Decision("alpha+beta")}, ONLY_APPROVED.unlisted))
    await running.looks()
    assert (await ask(running.port, request)).status == 200
    await running.looks()
    assert (await ask(running.port, request)).status == 200


async def test_undecided_models_get_503_that_says_so(worker: WorkerStarter, scripted: ScriptedUpstream) -> None:
    running = start(worker, scripted)
    answer = await ask(running.port, post(chat_request(model="new")))
    assert (answer.status, error(answer)["type"]) == (503, "combination_undecided")
    nothing = start(worker, scripted, None)
    answer = await ask(nothing.port, post(chat_request(model="good")))
    assert (answer.status, error(answer)["type"]) == (503, "combination_undecided")
    assert scripted.seen == []


async def test_a_large_body_passes_whole_and_a_larger_one_is_refused_before_it_ends(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = start(worker, scripted, held_request_bytes=2_000_000)
    body = chat_request("x" * 1_500_000, model="good")
    answer = await ask(running.port, post(body))
    assert (answer.status, answer.body) == (200, body)
    async with await Wire.open(running.port) as wire:
        await wire.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 2_100_000
        )
        refused = await wire.answer()
        assert refused.status == 403
        assert "too large" in error(refused)["message"]
        assert await wire.rest() == b""
    assert (await running.stop()).blocked == {"too_large unlisted": 1}
    assert len(scripted.seen) == 1


async def test_a_client_that_waits_for_100_continue_is_asked_for_its_body_first(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = start(worker, scripted)
    for model, status in (("good", 200), ("bad", 403)):
        body = chat_request(model=model)
        async with await Wire.open(running.port) as wire:
            await wire.send(post(body, extra=b"Expect: 100-continue\r\n")[: -len(body)])
            assert (await wire.answer()).status == 100
            await wire.send(body)
            assert (await wire.answer()).status == status


async def test_pipelined_requests_are_decided_one_by_one_in_their_order(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = start(worker, scripted)
    models = ["bad", "good", "bad", "bad", "base", "bad"]
    async with await Wire.open(running.port) as wire:
        await wire.send(b"".join(post(chat_request(model=model)) for model in models))
        assert [(await wire.answer()).status for _ in models] == [403, 200, 403, 403, 200, 403]
        await wire.send(post(chat_request(model="good")) + post(chat_request(model="bad")) * 500)
        statuses = [(await wire.answer()).status for _ in range(501)]
        assert statuses == [200] + [403] * 500


async def test_a_websocket_connection_names_no_model_and_is_refused(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = start(worker, scripted, proxy={"routes": {"websocket": "tunnel"}})
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    answer = await ask(running.port, get("/v1/realtime", upgrade))
    assert (answer.status, error(answer)["type"]) == (403, "combination_blocked")
    assert scripted.connections == 0


LOADABLE = Policy(
    {}, paths={"/adapters/known": Decision("x"), "/adapters/new": Decision("unlisted", "unknown_adapter", "nobody knows it")},
    unknown_path=Decision("unlisted", "unknown_adapter", "nothing lies there"),
    never_loaded={"text": Decision("unlisted", "reserved_name", "the server applies it to the base")},
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/v1/load_lora_adapter", {"lora_name": "a", "lora_path": "/adapters/known"}, ""),
        ("/v1/load_lora_adapter", {"lora_name": "a", "lora_path": "/adapters/new"}, "unknown_adapter"),
        ("/v1/load_lora_adapter", {"lora_name": "a", "lora_path": "/adapters/x/../known"}, "unknown_adapter"),
        ("/v1/load_lora_adapter", {"lora_name": "a", "lora_path": "somebody/on-the-hub"}, "unknown_adapter"),
        ("/v1/load_lora_adapter", {"lora_name": "text", "lora_path": "/adapters/known"}, "reserved_name"),
        ("/v1/load_lora_adapter", {"name": "a", "src": "/adapters/known"}, "unreadable"),
        ("//v1/load_lora%5fadapter?x", {"lora_name": "a", "lora_path": "/adapters/new"}, "unknown_adapter"),
        ("/adapters", {"name": "a", "src": "/adapters/known"}, ""),
        ("/adapters", {"name": "a", "src": "/adapters/new", "lora_path": "/adapters/known"}, "unknown_adapter"),
        ("/adapters?name=a&src=/adapters/new", None, "unreadable"),
        ("/v1/unload_lora_adapter", {"lora_name": "a"}, ""),
        ("/v1/chat/completions", {"model": "never approved"}, ""),
    ],
)
async def test_only_what_the_policy_knows_is_loaded_and_what_is_asked_of_models_is_none_of_its_business(
    worker: WorkerStarter, scripted: ScriptedUpstream, path: str, body: dict[str, str] | None, reason: str
) -> None:
    limits = {"enforcement": "observe", "loading": "deny-unknown", "folders": ["/adapters"]}
    running = start(worker, scripted, LOADABLE, proxy={"routes": {"open": ["*"]}}, **limits)
    answer = await ask(running.port, post(json.dumps(body).encode() if body else b"", path))
    assert (answer.status, len(scripted.seen)) == ((403, 0) if reason else (200, 1))
    if reason:
        assert json.loads(answer.body)["error"]["type"] == "load_denied"
    assert (await running.stop()).blocked == ({f"{reason} unlisted": 1} if reason else {})


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.just("model"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(["model", "Model", "messages", "x"]), JSON), max_size=5), st.booleans())
def test_the_model_is_the_one_that_pythons_own_parser_finds(members: list[tuple[str, Any]], escape: bool) -> None:
    written = (
        "{" + ",".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=escape)}" for key, value in members) + "}"
    )
    found = json.loads(written).get("model")
    expected = (found or "") if found is None or isinstance(found, str) else None
    assert model_of(written.encode("utf-8", "surrogatepass")) in (
        expected,
        None if "\\ud" in written.lower() else expected,
    )
