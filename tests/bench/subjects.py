"""The proxies that are compared: how each is found, started in front of the stand-in server, and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
_VENVS = HERE.parent.parent
"""Where --install puts virtual environments: `.venv-bench-NAME` in the repository."""
_READY_S = 90.0

_NGINX = """\
daemon off;
master_process on;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  client_body_buffer_size 2m;
  keepalive_requests 10000000;
  upstream model_server {{
    server 127.0.0.1:{upstream};
    keepalive 512;
    keepalive_requests 10000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://model_server;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 300s;
    }}
  }}
}}
"""

_HAPROXY = """\
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  option http-keep-alive
  option http-no-delay
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen bench
  bind 127.0.0.1:{port}
  http-reuse always
  server model_server 127.0.0.1:{upstream}
"""

_LITELLM = """\
model_list:
  - model_name: alpha
    litellm_params: {{model: openai/alpha, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-bench}}
"""

_OURS = """\
sampling: {rate: 1.0}
telemetry: {log_level: warning}
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a proxy is given to start with."""

    program: str
    folder: Path
    """For its configuration and log; removed afterwards."""
    port: int
    """Where it must listen, on 127.0.0.1."""
    upstream: int
    spare: int
    """A second free port, for metrics or administration."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A proxy that may or may not be installed."""

    program: str
    """Name of the executable."""
    command: Callable[[Setting], list[str]]
    """Writes what configuration it needs and says how it is started."""
    install: str
    """How to install it, for a reader."""
    pip: str = ""
    """What --install gives to pip; "" where that cannot be done."""
    ready: str = "/health"
    environment: dict[str, str] = field(default_factory=dict)
    rewrites: bool = False
    """It re-encodes bodies, so that only the text can be held against the right one."""
    effort: float = 1.0
    """Share of the requests that it is given, for very slow ones."""
    admin: str = ""
    """Path on the spare port that must answer too before it is measured."""


def _nginx(at: Setting) -> list[str]:
    return [at.program, "-p", str(at.folder), "-c", str(_write(at, "nginx.conf", _NGINX))]


def _haproxy(at: Setting) -> list[str]:
    return [at.program, "-db", "-f", str(_write(at, "haproxy.cfg", _HAPROXY))]


def _vllm_router(at: Setting) -> list[str]:
    listen = ["--host", "127.0.0.1", "--port", str(at.port), "--prometheus-port", str(at.spare)]
    to = ["--worker-urls", f"http://127.0.0.1:{at.upstream}", "--policy", "round_robin"]
    return [at.program, *listen, *to, "--log-level", "error"]


def _litellm(at: Setting) -> list[str]:
    listen = ["--host", "127.0.0.1", "--port", str(at.port), "--num_workers", "1"]
    return [at.program, *listen, "--config", str(_write(at, "litellm.yaml", _LITELLM))]


def _ours(at: Setting) -> list[str]:
    config = at.folder / "monitor.yaml"
    config.write_text(_OURS)
    listen = ["--listen", f"127.0.0.1:{at.port}", "--admin", f"127.0.0.1:{at.spare}"]
    return [at.program, "serve", "--upstream", f"http://127.0.0.1:{at.upstream}", *listen, "--config", str(config)]


def _write(at: Setting, name: str, template: str) -> Path:
    path = at.folder / name
    path.write_text(template.format(folder=at.folder, port=at.port, upstream=at.upstream))
    return path


OURS = "ours"
PEERS: dict[str, Peer] = {
    "nginx": Peer("nginx", _nginx, "apt-get install --no-install-recommends nginx-light"),
    "haproxy": Peer("haproxy", _haproxy, "apt-get install --no-install-recommends haproxy"),
    "vllm-router": Peer("vllm-router", _vllm_router, "--install (PyPI: vllm-router)", pip="vllm-router"),
    "litellm": Peer(
        "litellm",
        _litellm,
        "--install --proxies litellm (PyPI: litellm[proxy])",
        pip="litellm[proxy]",
        ready="/health/liveliness",
        environment={"LITELLM_LOG": "ERROR", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"},
        rewrites=True,
        effort=0.05,
    ),
    OURS: Peer("alignment-monitor", _ours, "pip install . in the repository", admin="/-/ready"),
}
DEFAULT = ("nginx", "haproxy", "vllm-router", OURS)


@dataclass(frozen=True, slots=True)
class Subject:
    """A running proxy, or the server itself."""

    name: str
    port: int
    pid: int
    """Root of its process tree; 0 for the server without a proxy."""
    admin: int = 0
    """Port of ours' metrics; 0 for the others."""
    rewrites: bool = False
    effort: float = 1.0


def find(program: str, folders: list[Path]) -> str | None:
    """The executable: in `folders`, in the environments that --install makes, beside this Python, on the PATH."""
    places = [*folders, *_VENVS.glob(".venv-bench-*/bin"), Path(sys.executable).parent]
    path = os.pathsep.join([*map(str, places), os.environ.get("PATH", ""), "/usr/sbin"])
    return shutil.which(program, path=path)


def install(name: str) -> None:
    """Install a peer from PyPI into a virtual environment of its own."""
    venv = _VENVS / f".venv-bench-{name}"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([str(venv / "bin" / "pip"), "install", "--quiet", PEERS[name].pip], check=True)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server() -> Iterator[Subject]:
    """The stand-in server, as the subject without a proxy."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(HERE / "fastserver.py"), str(port)])
    try:
        _wait_ready("the stand-in server", process, f"http://127.0.0.1:{port}/health")
        yield Subject("direct", port, 0)
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def running(name: str, program: str, upstream: int, folder: Path) -> Iterator[Subject]:
    """A peer in front of the server on `upstream`; ended with its whole process group."""
    peer = PEERS[name]
    folder = folder / name
    folder.mkdir()
    at = Setting(program, folder, free_port(), upstream, free_port())
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            peer.command(at), stdout=log, stderr=log, env={**os.environ, **peer.environment}, start_new_session=True
        )
    try:
        _wait_ready(name, process, f"http://127.0.0.1:{at.port}{peer.ready}", folder / "log")
        if peer.admin:
            _wait_ready(name, process, f"http://127.0.0.1:{at.spare}{peer.admin}", folder / "log")
        yield Subject(name, at.port, process.pid, at.spare if peer.admin else 0, peer.rewrites, peer.effort)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process group to end, and after 30 s, or for what is left of it, end it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(30)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def _wait_ready(name: str, process: subprocess.Popen[bytes], url: str, log: Path | None = None) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    said = log.read_text(errors="replace")[-2000:] if log else ""
    raise SystemExit(f"{name} does not answer on {url} (leave it out with --proxies)\n{said}")
