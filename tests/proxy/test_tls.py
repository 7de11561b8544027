"""TLS on both sides, with certificates of an authority made for the test."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import pytest
import trustme
from running_sidecar import eventually
from running_worker import WorkerStarter
from scripted_upstream import Gone, Peer, ScriptedUpstream
from wire import Answer, Wire, ask, get, post

from monitor import tls


class Certificates:
    """An authority, and files with what it issued."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, name: str, identity: str = "localhost") -> Path:
        """A file with a new certificate and its key."""
        file = self.folder / f"{name}.pem"
        self.authority.issue_cert(identity).private_key_and_cert_chain_pem.write_to_path(str(file))
        return file

    def trusting(self, shown: Path | None = None) -> ssl.SSLContext:
        """What a client uses."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if shown:
            context.load_cert_chain(shown)
        return context

    def server(self, *, asks: bool = False) -> ssl.SSLContext:
        """What a server uses; asks: its clients must show a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue("server"))
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        return context


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


async def connect(port: int, context: ssl.SSLContext) -> Wire:
    return Wire(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost"))


async def answer_over_tls(port: int, context: ssl.SSLContext) -> Answer:
    async with await connect(port, context) as wire:
        await wire.send(get())
        return await wire.answer()


async def test_clients_are_answered_over_tls(
    worker: WorkerStarter, scripted: ScriptedUpstream, certificates: Certificates
) -> None:
    running = worker(scripted.url, {"listen_cert_file": str(certificates.issue("own"))})
    body = bytes(range(256)) * 20_000
    async with await connect(running.port, certificates.trusting()) as wire:
        assert wire.writer.get_extra_info("ssl_object").version() >= "TLSv1.2"
        for _ in range(2):
            await wire.send(post(body))
            assert (await wire.answer()).body == body
    exchange = await running.exchange(1)
    assert exchange.request_bytes == len(body)


async def test_a_key_in_a_file_of_its_own_serves_too(
    worker: WorkerStarter, scripted: ScriptedUpstream, certificates: Certificates, tmp_path: Path
) -> None:
    issued = certificates.authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(tmp_path / "chain.pem"), append=True)
    files = {"listen_cert_file": str(tmp_path / "chain.pem"), "listen_key_file": str(tmp_path / "key.pem")}
    assert (await answer_over_tls(worker(scripted.url, files).port, certificates.trusting())).status == 200


async def test_plain_http_on_a_tls_port_reaches_nobody(
    worker: WorkerStarter, scripted: ScriptedUpstream, certificates: Certificates
) -> None:
    running = worker(scripted.url, {"listen_cert_file": str(certificates.issue("own"))})
    async with await Wire.open(running.port) as wire:
        await wire.send(get())
        try:
            assert b"HTTP" not in await wire.rest()
        except ConnectionResetError:
            pass
    assert scripted.connections == 0


async def test_a_client_without_the_wanted_certificate_reaches_nobody(
    worker: WorkerStarter, scripted: ScriptedUpstream, certificates: Certificates
) -> None:
    files = {"listen_cert_file": str(certificates.issue("own")), "listen_client_ca_file": str(certificates.ca_file)}
    running = worker(scripted.url, files)
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await answer_over_tls(running.port, certificates.trusting())
    assert scripted.connections == 0
    shown = certificates.issue("client", "caller")
    assert (await answer_over_tls(running.port, certificates.trusting(shown))).status == 200


async def test_a_stream_that_breaks_off_is_no_whole_answer_over_tls(
    worker: WorkerStarter, scripted: ScriptedUpstream, certificates: Certificates
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        peer.reset()

    scripted.script = script
    running = worker(scripted.url, {"listen_cert_file": str(certificates.issue("own"))})
    async with await connect(running.port, certificates.trusting()) as wire:
        await wire.send(get())
        await wire.read_until(b"abc\r\n")
        assert await wire.rest() == b""  # without the last chunk
    assert (await running.stop()).endings == {"upstream_broke": 1}


async def test_a_closed_client_closes_the_servers_side_over_tls(
    worker: WorkerStarter, scripted: ScriptedUpstream, certificates: Certificates
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.wait_gone()
        raise Gone

    scripted.script = script
    running = worker(scripted.url, {"listen_cert_file": str(certificates.issue("own"))})
    async with await connect(running.port, certificates.trusting()) as wire:
        await wire.send(post(b"{}"))
        await eventually(lambda: scripted.seen, "the request")
    await eventually(lambda: scripted.open == 0, "the server's side is closed")
    assert (await running.stop()).endings == {"client_gone": 1}


async def test_a_replaced_certificate_is_used_without_a_restart(
    worker: WorkerStarter, scripted: ScriptedUpstream, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "RENEWAL_LOOK_S", 0.05)
    own = certificates.issue("own")
    running = worker(scripted.url, {"listen_cert_file": str(own)})

    async def serial() -> int:
        async with await connect(running.port, certificates.trusting()) as wire:
            return int(wire.writer.get_extra_info("ssl_object").getpeercert()["serialNumber"], 16)

    first = await serial()
    own.write_text("half of a certi")  # as an operator may catch it in the middle
    await asyncio.sleep(0.3)
    assert await serial() == first
    certificates.issue("own")

    async def changed() -> bool:
        return await serial() != first

    await eventually(changed, "the new certificate")


async def test_a_server_behind_tls_is_verified_and_reached(worker: WorkerStarter, certificates: Certificates) -> None:
    body = bytes(range(256)) * 20_000
    async with ScriptedUpstream(tls=certificates.server()) as upstream:
        running = worker(upstream.url, {"upstream_ca_file": str(certificates.ca_file)})
        for _ in range(2):
            assert (await ask(running.port, post(body))).body == body
        assert upstream.connections == 1
        doubting = worker(upstream.url)
        answer = await ask(doubting.port, post(b"{}"))
        assert answer.status == 502
        assert json.loads(answer.body)["error"]["type"] == "upstream_unreachable"
    upstream.errors.clear()


async def test_a_server_that_asks_for_a_certificate_is_shown_one(
    worker: WorkerStarter, certificates: Certificates
) -> None:
    trusted = {"upstream_ca_file": str(certificates.ca_file)}
    async with ScriptedUpstream(tls=certificates.server(asks=True)) as upstream:
        shown = trusted | {"upstream_cert_file": str(certificates.issue("sidecar", "sidecar"))}
        assert (await ask(worker(upstream.url, shown).port, post(b"{}"))).body == b"{}"
        assert (await ask(worker(upstream.url, trusted).port, post(b"{}"))).status == 502
    upstream.errors.clear()


async def test_a_client_that_has_agreed_on_tls_after_the_end_began_does_not_hold_it_up(
    worker: WorkerStarter, scripted: ScriptedUpstream, certificates: Certificates
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        await ended.wait()
        await peer.send(b"cd")

    ended = asyncio.Event()
    scripted.script = script
    settings = {"listen_cert_file": str(certificates.issue("own")), "drain_grace_s": 15.0}
    running = worker(scripted.url, settings)
    context = certificates.trusting()
    async with await connect(running.port, context) as asking:
        await asking.send(get())
        await asking.read_until(b"ab")
        late, sending = await asyncio.open_connection("127.0.0.1", running.port)
        await running.looks(1)
        stopping = asyncio.ensure_future(running.stop())
        await asyncio.sleep(0.1)
        try:
            await sending.start_tls(context, server_hostname="localhost")
            assert await late.read() == b""
        except ConnectionError:
            pass
        ended.set()
        assert await asking.rest() == b"cd"
        await asyncio.wait_for(stopping, 5)
        sending.transport.abort()
