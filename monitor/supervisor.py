"""Starts the proxy workers and the analysis process, and starts them again when they die. Deliberately small.

It owns everything that must outlive its children: the listening sockets (a new worker takes over the queue of the old
one), the channels of the hand-off (a new analysis process reads on where the old one died) and the memory of the
snapshot. It runs no event loop and reads no traffic.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from monitor.config import Config
from monitor.config.model import ProxySection
from monitor.enforcement import Policy, PolicyStore
from monitor.handoff.frames import Stats, encode_report
from monitor.telemetry.counts import SupervisorReport

log = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
BACKLOG: Final = 2048
"""Connections that wait for a worker."""
LOOK_S: Final = 1.0
"""Longest time between two looks at the children."""
QUICK_S: Final = 5.0
"""A child that lived shorter than this is started again with growing pauses."""
LONGEST_PAUSE_S: Final = 5.0
WORKER_END_S: Final = 5.0
"""Seconds that workers get beyond the grace of running responses."""
ANALYSIS_END_S: Final = 8.0
"""Seconds that the analysis process gets to end, after the workers have."""
GIVES_BACK: Final = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""glibc's own first values, fixed: it raises them with the encoder's large blocks, and then keeps tens of MiB that are free."""


class ListenError(OSError):
    """A port cannot be used; the message names it."""


@dataclass
class Child:
    """A process that must run."""

    name: str
    arguments: list[str]
    descriptors: tuple[int, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it gets beside this process's own, which stands above it."""
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    quick_deaths: int = 0
    not_before: float = 0.0
    """Monotonic time before which it is not started again."""

    def start(self) -> None:
        """Run it; a machine that cannot start a process now is asked again later."""
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor", *self.arguments],
                pass_fds=self.descriptors,
                env={**self.environment, **os.environ},
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C reaches the supervisor alone, which ends the others in order
            )
        except OSError as error:
            self.not_before = self.started + LONGEST_PAUSE_S
            log.error("%s cannot be started: %s", self.name, error)

    def look(self, now: float) -> None:
        """Start it again when it has died."""
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return
            self.process = None
            self.restarts += 1
            self.quick_deaths = self.quick_deaths + 1 if now - self.started < QUICK_S else 0
            pause = min(LONGEST_PAUSE_S, 0.2 * 2 ** min(self.quick_deaths, 10)) if self.quick_deaths else 0.0
            self.not_before = now + pause
            log.error("%s ended (%s) and is started again in %.1f s", self.name, _describe(code), pause)
        if now >= self.not_before:
            self.start()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End it now."""
        if self.process is not None and self.running:
            log.warning("%s did not end in time and is killed", self.name)
            self.process.kill()
            self.process.wait()


@dataclass
class Supervisor:
    """All children and what they share."""

    config: Config
    policy: Policy | None = None
    """What the workers let pass until the analysis process has decided."""
    _listeners: list[socket.socket] = field(default_factory=list)
    _workers: list[Child] = field(default_factory=list)
    _analysis: Child | None = None
    _status: socket.socket | None = None
    _owned: list[socket.socket] = field(default_factory=list)
    """Ends of channels that are only kept open here."""

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit code. Raises ListenError."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._listeners = listen(self.config.proxy.listen, self.config.proxy.workers)
        check_free(self.config.admin.listen)
        self._prepare()
        for child in self._children():
            child.start()
        log.info(
            "%s forwards to %s; metrics and status on http://%s",
            self.config.proxy.listen,
            self.config.proxy.upstream,
            self.config.admin.listen,
        )
        while True:
            caught = signal.sigtimedwait(SIGNALS, LOOK_S)
            if caught and caught.si_signo in (signal.SIGTERM, signal.SIGINT):
                break
            now = time.monotonic()
            for child in self._children():
                child.look(now)
            self._report()
        self._shut_down()
        return 0

    def _children(self) -> list[Child]:
        return [*self._workers, *([self._analysis] if self._analysis else [])]

    def _prepare(self) -> None:
        """Make what outlives the children."""
        settings = os.memfd_create("alignment-config")
        os.pwrite(settings, self.config.model_dump_json().encode(), 0)
        snapshot = os.memfd_create("alignment-snapshot")
        policy = os.memfd_create("alignment-policy")
        if self.policy is not None:
            PolicyStore(policy).publish(self.policy)
        life, life_end = os.pipe()
        os.set_inheritable(life_end, False)  # only this process holds it: its end tells the children
        shared = ["--config-fd", str(settings), "--life-fd", str(life), "--policy-fd", str(policy)]
        channels: list[int] = []
        for index, listener in enumerate(self._listeners):
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._owned += (near, far)
            channels.append(far.fileno())
            arguments = ["worker", *shared, "--index", str(index), "--listener-fd", str(listener.fileno())]
            self._workers.append(
                Child(
                    f"worker {index}",
                    [*arguments, "--channel-fd", str(near.fileno())],
                    (settings, life, policy, listener.fileno(), near.fileno()),
                )
            )
        self._status, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._status.setblocking(False)
        self._owned.append(far)
        channels.append(far.fileno())
        arguments = ["analysis", *shared, "--snapshot-fd", str(snapshot)]
        for channel in channels:
            arguments += ["--channel-fd", str(channel)]
        self._analysis = Child("analysis", arguments, (settings, life, policy, snapshot, *channels), GIVES_BACK)

    def _report(self) -> None:
        """Tell the analysis process how often anything was started again."""
        if self._status is None or self._analysis is None:
            return
        restarts = SupervisorReport(sum(worker.restarts for worker in self._workers), self._analysis.restarts)
        try:
            self._status.send(encode_report(Stats(supervisor=restarts)))
        except OSError:
            pass  # the analysis process is stopped and its buffer full; the next report says the same

    def _shut_down(self) -> None:
        """Accept no more, drain the workers, then end the analysis process, which judges what they sent last."""
        log.info("ends: running responses get %g s", self.config.proxy.drain_grace_s)
        for listener in self._listeners:
            listener.close()
        for worker in self._workers:
            worker.signal(signal.SIGTERM)
        wait_for_end(self._workers, self.config.proxy.drain_grace_s + WORKER_END_S)
        if self._analysis:
            self._analysis.signal(signal.SIGCONT)
            self._analysis.signal(signal.SIGTERM)
            wait_for_end([self._analysis], ANALYSIS_END_S)


def wait_for_end(children: Sequence[Child], seconds: float) -> None:
    """Wait until all have ended; those that are late, or all when the operator asks a second time, are killed."""
    deadline = time.monotonic() + seconds
    while any(child.running for child in children) and (left := deadline - time.monotonic()) > 0:
        caught = signal.sigtimedwait(SIGNALS, left)  # SIGCHLD ends it early
        if caught and caught.si_signo in (signal.SIGTERM, signal.SIGINT):
            log.warning("told a second time to end: does not wait any longer")
            break
    for child in children:
        child.kill()


def upstream_problem(section: ProxySection) -> str:
    """Why nothing answers at the upstream's address, "" when something does. Connects once and sends nothing."""
    parts = urlsplit(section.upstream)
    try:
        if parts.scheme == "unix":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(section.connect_timeout_s)
                probe.connect(parts.path)
        else:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), section.connect_timeout_s).close()
    except OSError as error:
        return f"no answer from the upstream {section.upstream}: {error.strerror or error}"
    return ""


def split_address(address: str) -> tuple[str, int]:
    """Host (without brackets) and port of HOST:PORT."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def listen(address: str, count: int) -> list[socket.socket]:
    """`count` listening sockets on one address, kept by the supervisor. Raises ListenError.

    The address is tried without SO_REUSEPORT first, so that another program on the port is noticed. Clients that connect
    while no worker runs wait for the next one.
    """
    check_free(address)
    listeners = [_bind(address, reuse_port=count > 1) for _ in range(count)]
    for listener in listeners:
        listener.listen(BACKLOG)
    return listeners


def check_free(address: str) -> None:
    """Raise ListenError when the address cannot be bound."""
    _bind(address, reuse_port=False).close()


def _bind(address: str, *, reuse_port: bool) -> socket.socket:
    host, port = split_address(address)
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror or error}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(target)
    except OSError as error:
        bound.close()
        raise ListenError(f"cannot listen on {address}: {error.strerror}") from error
    return bound


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
