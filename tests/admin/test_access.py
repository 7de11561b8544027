from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_bench import ApiBench
from blockbuster import blockbuster_ctx

from monitor.admin.access import Scope
from monitor.config import ConfigError
from monitor.config.model import AdminSection
from monitor.config.secrets import read_token

READ, EVIDENCE, ADMIN = (f"{scope}-0123456789abcdef" for scope in ("read", "evidence", "admin"))


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[ApiBench]:
    files = {}
    for scope, token in (("read", READ), ("evidence", EVIDENCE), ("admin", ADMIN)):
        files[f"{scope}_token_file"] = tmp_path / scope
        (tmp_path / scope).write_text(token + "\n")
    bench = ApiBench(AdminSection(**files))
    runner = await bench.start()
    yield bench
    await runner.cleanup()


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.mark.parametrize("token", [READ, EVIDENCE, ADMIN])
async def test_every_token_may_read(guarded: ApiBench, token: str) -> None:
    assert (await guarded.ask("/api/v1/combinations", token=token))[0] == 200


@pytest.mark.parametrize("path", ["/api/v1/combinations", "/api/v1/openapi.json", "/", "/no/page"])
async def test_without_the_token_there_is_nothing_to_read(guarded: ApiBench, path: str) -> None:
    for headers in ({}, {"Authorization": f"Bearer {READ}x"}, {"Authorization": "Bearer "}, {"Authorization": READ}):
        status, _, answered = await guarded.ask(path, **headers)
        assert status == 401
        assert answered["WWW-Authenticate"].startswith("Bearer" if path.startswith("/api") else "Basic")


async def test_scrapers_and_probes_need_no_token(guarded: ApiBench) -> None:
    for path in ("/metrics", "/-/live", "/-/ready"):
        assert (await guarded.ask(path))[0] == 200


async def test_a_browser_may_bring_the_token_as_a_password_to_pages_only(guarded: ApiBench) -> None:
    assert (await guarded.ask("/", Authorization=basic(READ)))[0] == 200
    assert (await guarded.ask("/", Authorization=basic("guess")))[0] == 401
    assert (await guarded.ask("/", Authorization="Basic !"))[0] == 401
    assert (await guarded.ask("/api/v1/combinations", Authorization=basic(READ)))[0] == 401


async def test_those_turned_away_are_counted(guarded: ApiBench) -> None:
    await guarded.ask("/api/v1/pairs")
    await guarded.ask("/api/v1/pairs", token="wrong wrong wrong wrong")
    denied = guarded.metrics.admin.denied
    assert denied.labels("read", "no_token")._value.get() == 1
    assert denied.labels("read", "wrong_token")._value.get() == 1


async def test_a_replaced_token_counts_and_an_unusable_file_opens_nothing(
    guarded: ApiBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("monitor.admin.access.LOOK_S", 0.0)
    file = guarded.section.read_token_file
    assert file is not None
    assert (await guarded.ask("/api/v1/pairs", token=READ))[0] == 200
    new = file.with_name("new")
    new.write_text("another token, long enough")
    new.replace(file)
    assert (await guarded.ask("/api/v1/pairs", token=READ))[0] == 401
    assert (await guarded.ask("/api/v1/pairs", token="another token, long enough"))[0] == 200
    file.unlink()
    for _ in range(2):
        assert (await guarded.ask("/api/v1/pairs", token="another token, long enough"))[0] == 401
    assert caplog.text.count("the read scope is closed") == 1
    file.write_text(READ)
    assert (await guarded.ask("/api/v1/pairs", token=READ))[0] == 200


async def test_looking_at_the_files_does_not_hold_up_the_loop(guarded: ApiBench) -> None:
    from monitor.admin.access import Tokens

    with blockbuster_ctx():
        assert await Tokens(guarded.section).grants(ADMIN) == {Scope.READ, Scope.ADMIN}


async def test_without_any_file_everything_but_reading_is_closed() -> None:
    bench = ApiBench()
    runner = await bench.start()
    try:
        assert (await bench.ask("/api/v1/combinations"))[0] == 200
        assert (await bench.ask("/"))[0] == 200
        from aiohttp import web
        from aiohttp.test_utils import make_mocked_request

        request = make_mocked_request("POST", "/x", headers={"Authorization": f"Bearer {ADMIN}"})
        for scope in (Scope.EVIDENCE, Scope.ADMIN):
            with pytest.raises(web.HTTPForbidden):
                await bench.access.demand(request, scope)
    finally:
        await runner.cleanup()


def test_a_token_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    with pytest.raises(ConfigError, match=r"admin.read_token_file: .* fewer than 16 characters"):
        read_token(file, "admin.read_token_file")
