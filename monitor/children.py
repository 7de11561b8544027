"""The entry of the processes that the supervisor starts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from monitor.config import Config
from monitor.enforcement import PolicyStore
from monitor.supervisor import SIGNALS
from monitor.telemetry.logs import set_up_logging

ANALYSIS_NICE: Final = 19
"""The lowest priority: what it costs is the age of samples, and when the machine is full, samples."""

MAX_FILES: Final = 65536
"""File descriptors that a worker asks for, if the hard limit allows it."""


def add_arguments(parser: argparse.ArgumentParser, kind: str) -> None:
    """Descriptors that the supervisor hands over."""
    parser.add_argument("--config-fd", type=int, required=True)
    parser.add_argument("--life-fd", type=int, required=True)
    parser.add_argument("--policy-fd", type=int, required=True)
    if kind == "worker":
        parser.add_argument("--index", type=int, required=True)
        parser.add_argument("--listener-fd", type=int, required=True)
        parser.add_argument("--channel-fd", type=int, required=True)
    else:
        parser.add_argument("--snapshot-fd", type=int, required=True)
        parser.add_argument("--channel-fd", type=int, action="append", required=True)


def run_child(kind: str, args: argparse.Namespace) -> int:
    """Run a worker or the analysis process to its end; the exit code."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    if kind == "analysis":
        yield_to_replies()
    size = os.fstat(args.config_fd).st_size
    config = Config.model_validate_json(os.pread(args.config_fd, size, 0))
    set_up_logging(config.telemetry)
    with contextlib.suppress(KeyboardInterrupt):
        _run(_worker(config, args) if kind == "worker" else _analysis(config, args))
    return 0


def yield_to_replies() -> None:
    """Let the kernel prefer every other process to this one.

    Judging runs right after a reply ends, when the worker has the next one to forward: on a busy machine that doubles the
    median time to the first byte. Inside a container the preference counts against the container's own processes only.
    """
    os.nice(ANALYSIS_NICE)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with contextlib.suppress(OSError):  # where memory runs out, samples go and not replies
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def raise_file_limit() -> None:
    """Two descriptors go into every exchange, and the soft limit is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _worker(config: Config, args: argparse.Namespace) -> None:
    from monitor.proxy.worker import run_worker

    raise_file_limit()
    listener = socket.socket(fileno=args.listener_fd)
    channel = socket.socket(fileno=args.channel_fd)
    policy = PolicyStore(args.policy_fd)
    await run_worker(config, args.index, listener, channel, watch_life(args.life_fd), policy)


async def _analysis(config: Config, args: argparse.Namespace) -> None:
    from monitor.app.analysis import run_analysis
    from monitor.snapshot import Snapshot

    channels = [socket.socket(fileno=number) for number in args.channel_fd]
    snapshot, policy = Snapshot(args.snapshot_fd), PolicyStore(args.policy_fd)
    await run_analysis(config, channels, snapshot, watch_life(args.life_fd), policy)


def watch_life(descriptor: int) -> asyncio.Event:
    """An event that is set when the supervisor is gone: the pipe whose other end it holds then reads as ended."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()

    def ended() -> None:
        loop.remove_reader(descriptor)
        gone.set()

    loop.add_reader(descriptor, ended)
    return gone


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not available on this platform; asyncio's own loop does the same, slower
        asyncio.run(work)
    else:
        uvloop.run(work)
