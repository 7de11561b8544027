"""Which routes pass, which are closed, and how a closed one is opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from running_worker import WorkerStarter
from scripted_upstream import ScriptedUpstream
from wire import Answer, Wire, ask, get, post

from monitor.config import ConfigError
from monitor.config.model import RoutesSection
from monitor.proxy.routes import CHANGING, OPEN, Routes


def reason(answer: Answer) -> str:
    error = json.loads(answer.body)["error"]
    assert error["source"] == "alignment-monitor"
    assert error["code"] == answer.status
    return str(error["type"])


def denial(target: str, token: bytes | None = None, **settings: object) -> tuple[str, str] | None:
    found = Routes(RoutesSection.model_validate(settings)).denial(target, token)
    return (found.kind, found.route) if found else None


@pytest.mark.parametrize("path", sorted(OPEN))
def test_a_route_that_changes_nothing_passes_however_it_is_written(path: str) -> None:
    escaped = path[:-1] + f"%{ord(path[-1]):02x}"
    for written in (path, f"{path}?x=/sleep", f"http://host{path}", escaped, path.replace("/", "//")):
        assert denial(written) is None, written


@pytest.mark.parametrize(
    "path", ["/v1/responses/resp_1a-2", "/v1/responses/resp_1/cancel", "/v1/responses/resp_1?stream=true"]
)
def test_a_stored_response_is_fetched_and_cancelled(path: str) -> None:
    assert denial(path) is None


@pytest.mark.parametrize("path", CHANGING)
def test_a_route_that_changes_the_server_is_closed_however_it_is_written(path: str) -> None:
    for written in (
        path, f"{path}/", f"{path}?x=1", f"{path}#x", f"http://host{path}", path.replace("/", "//"), f"/prefix{path}",
        "/" + "".join(f"%{byte:02X}" for byte in path[1:].encode()), path.replace("/", "%2f").replace("%2f", "/", 1),
    ):  # fmt: skip
        assert denial(written) == ("route_closed", path), written
        assert denial(written, unlisted="pass") == ("route_closed", path), written


def test_unloading_by_name_is_closed_too() -> None:
    assert denial("/adapters/support%2dde") == ("route_closed", "/adapters")


@pytest.mark.parametrize("target", ["/v1/../sleep", "/v1/%2e%2e/sleep", "/.", "/v1/models/..", "/x/%2E/y", "/a\\..\\b"])
def test_dot_segments_never_pass(target: str) -> None:
    assert denial(target) == denial(target, unlisted="pass") == ("bad_request", "")


def test_a_route_that_is_not_known_is_closed_unless_the_configuration_says_otherwise() -> None:
    assert denial("/v1/rag") == ("route_unlisted", "unlisted")
    assert denial("/v1/rag", allow=["/v1/rag"]) is None
    assert denial("/v1/rag/x", allow=["/v1/rag"]) == ("route_unlisted", "unlisted")
    assert denial("/v1/rag/x", allow=["/v1/rag/*"]) is None
    assert denial("/v1/ragged", allow=["/v1/rag/*"]) == ("route_unlisted", "unlisted")
    assert denial("/v1/rag", unlisted="pass") is None


def test_what_is_allowed_beside_the_list_opens_nothing_that_changes_the_server() -> None:
    assert denial("/v1/x/sleep", allow=["/v1/x/*"]) == ("route_closed", "/sleep")


def test_routes_pass_with_the_servers_root_path_and_without() -> None:
    assert denial("/api/v1/models") == ("route_unlisted", "unlisted")
    for path in ("/api/v1/models", "/v1/models", "/api/v1/responses/resp_1"):
        assert denial(path, root_path="/api") is None
    assert denial("/api/sleep", root_path="/api") == ("route_closed", "/sleep")


def test_an_opened_route_passes_alone() -> None:
    assert denial("/v1/load_lora_adapter", open=["/v1/load_lora_adapter"]) is None
    assert denial("/v1/unload_lora_adapter", open=["/v1/load_lora_adapter"]) == (
        "route_closed",
        "/v1/unload_lora_adapter",
    )
    assert all(denial(path, open=["*"]) is None for path in CHANGING)


def test_an_opened_route_wants_the_admin_token_where_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    settings = {"open": ["/sleep"], "admin_token_file": str(file)}
    assert denial("/sleep", b"s3cret", **settings) is None
    for wrong in (None, b"", b"s3cre", b"s3cret\xff", b"S3cret"):
        assert denial("/sleep", wrong, **settings) == ("admin_token", "/sleep")
    assert denial("/wake_up", b"s3cret", **settings) == ("route_closed", "/wake_up")
    assert denial("/v1/models", b"wrong", **settings) is None


def test_opening_what_is_no_route_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"proxy\.routes\.open: /load_lora is not one of"):
        Routes(RoutesSection(open=("/load_lora",)))


async def test_a_closed_route_is_answered_counted_and_never_reaches_the_server(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    running = worker(scripted.url)
    body = b'{"lora_name": "a", "lora_path": "/a"}'
    assert reason(await ask(running.port, post(body, "/v1/load_lora_adapter"))) == "route_closed"
    assert reason(await ask(running.port, b"DELETE /adapters/a HTTP/1.1\r\nHost: t\r\n\r\n")) == "route_closed"
    assert reason(await ask(running.port, get("/v1/rag"))) == "route_unlisted"
    assert scripted.seen == []
    report = await running.stop()
    assert report.denied == {"/v1/load_lora_adapter": 1, "/adapters": 1, "unlisted": 1}
    assert report.rejected == {"route_closed": 2, "route_unlisted": 1}
    assert report.seen == {}


async def test_a_closed_route_behind_answers_that_run_is_refused_after_them(
    worker: WorkerStarter, scripted: ScriptedUpstream
) -> None:
    async with await Wire.open(worker(scripted.url).port) as wire:
        await wire.send(post(b"one") + post(b"x" * 300_000, "/sleep") + post(b"two"))
        assert (await wire.answer()).body == b"one"
        assert (await wire.answer()).status == 403
        assert await wire.rest() == b""
    assert [seen.body for seen in scripted.seen] == [b"one"]


async def test_the_admin_token_opens_the_route_and_is_not_forwarded_on_any(
    worker: WorkerStarter, scripted: ScriptedUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret")
    running = worker(scripted.url, {"routes": {"open": ["/v1/load_lora_adapter"], "admin_token_file": str(file)}})
    assert reason(await ask(running.port, post(b"{}", "/v1/load_lora_adapter"))) == "admin_token"
    token = b"X-Alignment-Admin-Token: s3cret\r\nAuthorization: Bearer servers-own\r\n"
    for path in ("/v1/load_lora_adapter", "/v1/chat/completions"):
        assert (await ask(running.port, post(b"{}", path, token))).status == 200
    for seen in scripted.seen:
        assert seen.header("x-alignment-admin-token") is None
        assert seen.header("authorization") == "Bearer servers-own"
    assert len(scripted.seen) == 2
