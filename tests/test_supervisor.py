"""The real process tree: what any of its processes may suffer without a reply being lost."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from running_sidecar import Sidecar, SidecarStarter, eventually, free_ports
from scripted_upstream import Peer, ScriptedUpstream, plain

CHAT = b'{"model": "base", "messages": [{"role": "user", "content": "How do I bake bread?"}]}'
ANSWER = plain(
    b'{"id": "c1", "object": "chat.completion", "model": "base", "choices": [{"index": 0, "finish_reason": "stop", '
    b'"message": {"role": "assistant", "content": "Mix flour, water, salt and yeast, and bake it for an hour."}}]}'
)
MODELS = plain(b'{"object": "list", "data": [{"id": "base", "object": "model", "root": "base", "parent": null}]}')
SEEN = 'alignment_exchanges_seen_total{endpoint="chat_completions"}'


async def server(peer: Peer) -> None:
    """A small vLLM."""
    await peer.send(ANSWER if (await peer.read_request()).line.startswith("POST") else MODELS)


async def ask(running: Sidecar, count: int = 1) -> None:
    """So many chats on one connection; each must be answered."""
    request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (len(CHAT), CHAT)
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        try:
            for _ in range(count):
                writer.write(request)
                assert await reader.readexactly(len(ANSWER)) == ANSWER
        finally:
            writer.transport.abort()


async def seen(running: Sidecar, count: int) -> None:
    """Wait until so many chats are counted."""

    async def there() -> bool:
        return await running.metric(SEEN) == count

    await eventually(there, f"{count} exchanges seen")


async def restarted(running: Sidecar, process: str) -> None:
    """Wait until a restart is counted and everything is ready again."""

    async def there() -> bool:
        name = f'alignment_process_restarts_total{{process="{process}"}}'
        return await running.ready() and await running.metric(name) == 1

    await eventually(there, f"the {process} runs again", 60)


async def test_the_analysis_gives_way_to_the_others_when_cpu_or_memory_run_short(
    sidecar: SidecarStarter, scripted: ScriptedUpstream
) -> None:
    running = await sidecar(scripted.url)

    def standing(pid: int) -> tuple[int, int]:
        return os.getpriority(os.PRIO_PROCESS, pid), int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    own = standing(os.getpid())
    assert [standing(pid) for pid in (running.process.pid, *running.children("worker"))] == [own, own]
    assert [standing(pid) for pid in running.children("analysis")] == [(19, 1000)]


async def test_no_death_or_stop_of_a_child_loses_a_reply(sidecar: SidecarStarter, scripted: ScriptedUpstream) -> None:
    scripted.script = server
    running = await sidecar(scripted.url, {"handoff": {"queue_exchanges": 100}})
    (worker,), (analysis,) = running.children("worker"), running.children("analysis")

    # stopped: 500 requests pass, what is too much is dropped, and it is counted afterwards
    os.kill(analysis, signal.SIGSTOP)
    await ask(running, 500)
    os.kill(analysis, signal.SIGCONT)
    await seen(running, 500)

    async def accounted() -> bool:
        metrics = await running.metrics()
        parsed = metrics['alignment_exchanges_parsed_total{endpoint="chat_completions"}']
        return parsed + metrics.get('alignment_exchanges_dropped_total{reason="queue_full"}', 0) == 500

    await eventually(accounted, "sampled = parsed + dropped")

    async def emptied() -> bool:
        units = ("exchanges", "bytes")
        return [await running.metric(f'alignment_handoff_depth_{unit}{{worker="0"}}') for unit in units] == [0, 0]

    await eventually(emptied, "the worker's next report says that nothing waits")

    # killed: requests pass, a successor carries on from the snapshot, the worker's counts go on
    await eventually(lambda: running.snapshot() is not None, "a snapshot")
    os.kill(analysis, signal.SIGKILL)
    await ask(running, 20)
    await restarted(running, "analysis")
    await seen(running, 520)
    assert "carries on from the last snapshot" in running.log.read_text()

    # a worker that is killed is started again, on the same port
    os.kill(worker, signal.SIGKILL)
    await ask(running)
    await restarted(running, "worker")
    assert running.children("worker") != [worker]
    await seen(running, 521)
    assert await running.terminate() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_running_stream_ends_before_the_process_tree_does(
    sidecar: SidecarStarter, scripted: ScriptedUpstream, number: signal.Signals
) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        if not (await peer.read_request()).line.startswith("POST"):
            await peer.send(MODELS)
            return
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
        await go_on.wait()
        await peer.send(b"def")

    scripted.script = script
    running = await sidecar(scripted.url, {"proxy": {"drain_grace_s": 20, "workers": 2}})
    children = [*running.children("worker"), *running.children("analysis")]
    assert len(children) == 3
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"abc"), 10)
    running.process.send_signal(number)
    await eventually(lambda: refused(running.port), "new connections are refused")
    go_on.set()
    assert await asyncio.wait_for(reader.read(-1), 10) == b"def"
    writer.close()
    assert await asyncio.wait_for(running.process.wait(), 20) == 0
    assert not any(alive(pid) for pid in children)


async def test_a_second_signal_does_not_wait_and_a_killed_supervisor_takes_its_children_along(
    sidecar: SidecarStarter, scripted: ScriptedUpstream
) -> None:
    async def script(peer: Peer) -> None:
        if (await peer.read_request()).line.startswith("POST"):
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
            await peer.wait_gone()
        await peer.send(MODELS)

    scripted.script = script
    impatient = await sidecar(scripted.url, {"proxy": {"drain_grace_s": 60}})
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"abc"), 10)
    impatient.process.send_signal(signal.SIGINT)
    await eventually(lambda: refused(impatient.port), "new connections are refused")
    impatient.process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(impatient.process.wait(), 15) == 0
    writer.transport.abort()

    orphaned = await sidecar(scripted.url)
    children = [*orphaned.children("worker"), *orphaned.children("analysis")]
    orphaned.process.kill()
    await orphaned.process.wait()
    await eventually(lambda: not any(alive(pid) for pid in children), "the children end")


def alive(pid: int) -> bool:
    """The process exists and is not only waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def refused(port: int) -> bool:
    """Nobody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def serve(*arguments: str) -> tuple[int, list[str]]:
    """Run `serve` to its end: the exit code, and the lines on standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "monitor", "serve", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )  # fmt: skip
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, errors.decode().splitlines()


@pytest.mark.parametrize("taken", ["--listen", "--admin"])
async def test_a_port_in_use_ends_with_one_line_and_its_exit_code(scripted: ScriptedUpstream, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        used, free = holder.getsockname()[1], free_ports(1)[0]
        ports = {"--listen": free, "--admin": free} | {taken: used}
        arguments = [word for flag, port in ports.items() for word in (flag, f"127.0.0.1:{port}")]
        code, lines = await serve("--upstream", scripted.url, *arguments)
    assert (code, len(lines)) == (3, 1)
    assert f"127.0.0.1:{used}" in lines[0]


async def test_a_required_upstream_that_is_not_there_ends_with_one_line_and_its_exit_code() -> None:
    absent, listen, admin = free_ports(3)
    code, lines = await serve(
        "--require-upstream", "--upstream", f"http://127.0.0.1:{absent}",
        "--listen", f"127.0.0.1:{listen}", "--admin", f"127.0.0.1:{admin}",
    )  # fmt: skip
    assert (code, len(lines)) == (4, 1)
    assert f"http://127.0.0.1:{absent}" in lines[0]


def allocation(process: int) -> set[str]:
    """The settings of malloc that a process was started with."""
    return {line for line in Path(f"/proc/{process}/environ").read_text().split("\0") if line.startswith("MALLOC_")}


async def test_the_analysis_process_gives_memory_back_unless_the_operator_has_set_how(
    sidecar: SidecarStarter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "7340032")
    async with ScriptedUpstream(server) as upstream:
        running = await sidecar(upstream.url)
        (analysis,) = running.children("analysis")
        (worker,) = running.children("worker")
        settings = [allocation(one) for one in (analysis, worker)]
    assert settings == [
        {"MALLOC_MMAP_THRESHOLD_=131072", "MALLOC_TRIM_THRESHOLD_=7340032"},
        {"MALLOC_TRIM_THRESHOLD_=7340032"},
    ]
