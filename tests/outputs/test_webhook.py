"""Messages on their way to a real receiver: taken, refused, late, too many."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from blockbuster import blockbuster_ctx
from made_findings import BEGAN, begin
from prometheus_client import CollectorRegistry
from running_sidecar import eventually

from monitor.config import ConfigError
from monitor.config.model import WebhookSection
from monitor.findings import FindingBook, Severity, severity_of
from monitor.outputs.credentials import check_receiver
from monitor.outputs.incidents import Incidents
from monitor.outputs.message import Composer
from monitor.outputs.receiver import Receiver, receiver_session, signature
from monitor.outputs.webhook import Webhook
from monitor.telemetry.webhook_metrics import WebhookMetrics

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Desk:
    """A receiver; `answers` says what it does with each request, the last for all that follow."""

    def __init__(self) -> None:
        self.answers: list[int | Answer] = [200]
        self.bodies: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.raw.append(await request.read())
        self.bodies.append(json.loads(self.raw[-1]))
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=answer) if isinstance(answer, int) else await answer(request)


@asynccontextmanager
async def listening(desk: Desk, ssl_context: Any = None) -> AsyncIterator[Desk]:
    app = web.Application()
    app.router.add_post("/{path:.*}", desk.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context).start()
    scheme = "https" if ssl_context else "http"
    desk.url = f"{scheme}://localhost:{runner.addresses[0][1]}/hook?team=a"
    try:
        yield desk
    finally:
        await runner.cleanup()


class Sent:
    """The webhook with a clock that a test turns; pauses take no time and are noted."""

    def __init__(self, section: WebhookSection) -> None:
        self.book = FindingBook()
        self.now = BEGAN + 60
        self.registry = CollectorRegistry()
        self.pauses: list[float] = []
        self.taken = 0
        self.session = receiver_session(section)
        self.webhook = self._made(section, WebhookMetrics(self.registry))

    def _made(self, section: WebhookSection, metrics: WebhookMetrics) -> Webhook:
        composer = Composer("http://10.0.0.7:9464", str)
        incidents = Incidents(
            composer, lambda case, now: severity_of(case, now, replays=False, pairs=0), Severity.TICKET
        )
        made = Webhook(
            Receiver(self.session, section),
            incidents,
            lambda: self.book.cases,
            metrics,
            random.Random(1),
            self._pause,
            lambda: self.now,
        )
        made.on_taken = self._count
        return made

    def _count(self) -> None:
        self.taken += 1

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0.01)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"alignment_webhook_{name}", labels) or 0.0


@asynccontextmanager
async def sending(section: WebhookSection) -> AsyncIterator[Sent]:
    sent = Sent(section)
    task = asyncio.create_task(sent.webhook.run())
    try:
        yield sent
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sent.session.close()


async def test_a_message_is_sent_with_its_token_and_a_signature_that_the_receiver_can_check(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-the-tests\n")
    (tmp_path / "key").write_text(KEY + "\n")
    async with listening(Desk()) as desk:
        (tmp_path / "url").write_text(desk.url + "\n")
        section = WebhookSection(
            url_file=tmp_path / "url", token_file=tmp_path / "token", signing_key_file=tmp_path / "key"
        )
        async with sending(section) as sent:
            with blockbuster_ctx():  # a mount that hangs must not hold up the loop
                begin(sent.book)
                await eventually(lambda: sent.taken, "taken")
    (headers,), (body,) = desk.headers, desk.bodies
    assert headers["Authorization"] == "Bearer a-token-of-the-tests"
    assert headers["webhook-id"] == f"msg_{body['id']}"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + desk.raw[0]
    expected = hmac.new(bytes(range(32)), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert sent.metric("messages_total", event="opened", severity="page") == 1
    assert sent.metric("waiting") == 0


def test_the_signature_is_that_of_the_published_example() -> None:
    key = base64.b64decode("plJ3nmyCDGBKInavdOK15jsl")
    body = b'{"event_type":"ping","data":{"success":true}}'
    found = signature(key, "msg_loFOjxBNrRLzqYUf", 1731705121, body)
    assert found == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="


async def test_a_receiver_that_fails_is_asked_again_after_growing_pauses_and_gets_the_message_once() -> None:
    desk = Desk()
    desk.answers = [500, 503, 401, 404, 302, 200]
    async with listening(desk), sending(WebhookSection(url=desk.url)) as sent:
        begin(sent.book)
        await eventually(lambda: sent.taken, "taken")
        await asyncio.sleep(0.1)
    assert len({body["id"] for body in desk.bodies}) == 1
    assert len(desk.bodies) == 6
    between = [pause for pause in sent.pauses if pause != 1.0]
    assert len(between) == 5
    for number, pause in enumerate(between):
        assert 2**number / 2 <= pause <= 2**number
    errors = {"overloaded": 1, "unauthorized": 1, "status": 3}
    assert {reason: sent.metric("errors_total", reason=reason) for reason in errors} == errors


async def test_a_receiver_may_ask_for_a_pause() -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "120"})

    desk = Desk()
    desk.answers = [busy, 200]
    async with listening(desk), sending(WebhookSection(url=desk.url)) as sent:
        begin(sent.book)
        await eventually(lambda: sent.taken, "taken")
    assert 120.0 in sent.pauses


async def test_a_message_that_the_receiver_will_not_take_makes_way_for_the_next() -> None:
    desk = Desk()
    desk.answers = [400, 200]
    async with listening(desk), sending(WebhookSection(url=desk.url)) as sent:
        begin(sent.book, "a")
        begin(sent.book, "b")
        await eventually(lambda: sent.taken == 2, "both are done with")
        await asyncio.sleep(0.1)
    assert [body["combination"] for body in desk.bodies] == ["a", "b"]
    assert sent.metric("dropped_total", reason="rejected") == 1


async def test_a_receiver_that_hangs_holds_up_no_look_and_nothing_is_lost() -> None:
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    desk = Desk()
    desk.answers = [hang, 200]
    async with listening(desk), sending(WebhookSection(url=desk.url, timeout_s=0.3)) as sent:
        begin(sent.book, "a")
        await eventually(lambda: desk.bodies, "it was asked")
        begin(sent.book, "b")
        await eventually(lambda: sent.webhook.waiting == 2, "the next one waits already", within_s=0.25)
        sent.now += 400
        await eventually(lambda: sent.metric("waiting_seconds") >= 400, "it shows")
        assert "the oldest for 7 minutes" in sent.webhook.note()
        await eventually(lambda: sent.taken == 2, "both were taken")
        released.set()
        assert sent.metric("errors_total", reason="timeout") == 1
        assert sent.webhook.note() == ""
    assert [body["combination"] for body in desk.bodies] == ["a", "a", "b"]


async def test_of_too_many_the_oldest_of_the_same_combination_goes() -> None:
    section = WebhookSection(url="http://127.0.0.1:1/", queue=3)
    sent = Sent(section)
    try:
        for name in ("a", "b", "c"):
            begin(sent.book, name)
        sent.webhook.look()
        sent.book.end_all("b", sent.now, "unloaded")
        sent.webhook.look()
        waiting = [(one["combination"], one["event"]) for one in sent.webhook.save()["waiting"]]
        assert waiting == [("a", "opened"), ("c", "opened"), ("b", "closed")]
        begin(sent.book, "d")
        sent.webhook.look()
        waiting = [(one["combination"], one["event"]) for one in sent.webhook.save()["waiting"]]
        assert waiting == [("c", "opened"), ("b", "closed"), ("d", "opened")]
        assert sent.metric("dropped_total", reason="queue") == 2
    finally:
        await sent.session.close()


async def test_what_waits_outlives_a_restart_and_what_was_taken_is_not_sent_again() -> None:
    desk = Desk()
    desk.answers = [200, 500]
    async with listening(desk):
        async with sending(WebhookSection(url=desk.url)) as sent:
            begin(sent.book, "a")
            begin(sent.book, "b")
            await eventually(lambda: len(desk.bodies) >= 2, "one was taken and one was not")
            kept = json.loads(json.dumps([sent.webhook.save(), sent.book.save()]))
        desk.answers = [200]
        desk.bodies.clear()
        async with sending(WebhookSection(url=desk.url)) as again:
            again.book.restore(kept[1])
            again.webhook.restore(kept[0])
            await eventually(lambda: again.taken, "the other was taken")
            await asyncio.sleep(0.1)
    assert [body["combination"] for body in desk.bodies] == ["b"]


async def test_a_receiver_with_a_certificate_of_an_authority_of_one_s_own(tmp_path: Path) -> None:
    import ssl

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with listening(Desk(), context) as desk:
        async with sending(WebhookSection(url=desk.url)) as stranger:
            begin(stranger.book)
            await eventually(lambda: stranger.metric("errors_total", reason="connection"), "it is not trusted")
        assert desk.bodies == []
        async with sending(WebhookSection(url=desk.url, ca_file=tmp_path / "ca.pem")) as sent:
            begin(sent.book)
            await eventually(lambda: sent.taken, "taken")


async def test_a_secret_that_cannot_be_read_any_more_is_an_error_that_passes(tmp_path: Path) -> None:
    async with listening(Desk()) as desk:
        section = WebhookSection(url=desk.url, token_file=tmp_path / "token")
        async with sending(section) as sent:
            begin(sent.book)
            await eventually(lambda: sent.metric("errors_total", reason="secret"), "it is missing")
            (tmp_path / "token").write_text("now-it-is-there")
            await eventually(lambda: sent.taken, "taken")
    assert desk.headers[0]["Authorization"] == "Bearer now-it-is-there"


@pytest.mark.parametrize(
    ("key", "content", "message"),
    [
        ("token_file", None, "outputs.webhook.token_file: cannot read "),
        ("signing_key_file", "not base64!", "24 bytes or more in base64"),
        ("signing_key_file", "c2hvcnQ=", "24 bytes or more in base64"),
        ("url_file", "ftp://secret.example.com", "outputs.webhook.url_file: "),
        ("ca_file", "no certificate", "outputs.webhook.ca_file: "),
    ],
)
def test_files_are_checked_at_the_start(tmp_path: Path, key: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "file").write_text(content)
    url = {} if key == "url_file" else {"url": "http://127.0.0.1:1/"}
    section = WebhookSection.model_validate({**url, key: tmp_path / "file"})
    with pytest.raises(ConfigError) as raised:
        check_receiver(section)
    assert message in str(raised.value)
    assert "secret.example.com" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://user:password@host/", "host:80", "http://host/#part", "http://host:99999/x"])
def test_an_address_that_cannot_be_used_is_not_told_again(url: str) -> None:
    with pytest.raises(ValueError, match="is not http://HOST:PORT/PATH") as raised:
        WebhookSection(url=url)
    assert url not in raised.value.errors()[0]["msg"]  # type: ignore[attr-defined]


async def test_a_test_message_and_its_end_are_sent_from_the_command_line(tmp_path: Path) -> None:
    async def check(url: str, form: str) -> tuple[int | None, str]:
        (tmp_path / "config.yaml").write_text(json.dumps({"outputs": {"webhook": {"url": url, "format": form}}}))
        command = (sys.executable, "-m", "monitor", "check-config", str(tmp_path / "config.yaml"), "--webhook")
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, told = await process.communicate()
        return process.returncode, told.decode()

    async with listening(Desk()) as desk:
        for form in ("alignment", "alertmanager", "slack"):
            assert await check(desk.url, form) == (0, "")
        own, over, firing, resolved, chat, _ = desk.bodies
        assert (own["event"], over["event"], own["incident"]) == ("opened", "closed", over["incident"])
        assert "nothing is wrong" in own["summary"]
        assert (firing["status"], resolved["status"]) == ("firing", "resolved")
        assert firing["alerts"][0]["fingerprint"] == resolved["alerts"][0]["fingerprint"]
        assert chat["text"].startswith("*PAGE opened*: Test message of the alignment monitor: nothing is wrong")
        assert own["id"] != over["id"]
        desk.answers = [403]
        code, told = await check(desk.url, "alignment")
        assert (code, "did not take the test message: unauthorized" in told) == (2, True)
