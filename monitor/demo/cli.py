"""`alignment-monitor demo`: one command that shows a colluding pair of adapters being found.

Two adapters that each refuse, together comply; the alarm names the combination while the controls stay quiet.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live

from monitor.demo.children import ChildError, free_ports
from monitor.demo.recordings import PACKAGED, Recordings, RecordingsError, load_recordings
from monitor.demo.result import judge
from monitor.demo.stage import Board, Plan, addresses, perform
from monitor.demo.story import cast, tell
from monitor.demo.traffic import Mix
from monitor.demo.view import PlainView, Snapshot, Story, alert_lines, combination_table, dashboard
from monitor.demo.wording import Symbols

SPEED = 4.0
"""Times faster than recorded: the recording server had two CPU cores and many clients."""
CPU_MIX = Mix(rate=4.0, concurrency=12, strata={"harmful_looking": 0.85, "ordinary": 0.1, "borderline": 0.05})
"""What a real server on a CPU can answer, spent on the questions that decide."""
EXIT_FAILED = 1
EXIT_NOT_INSTALLED = 2
EXIT_NOT_AS_EXPECTED = 3
NOT_INSTALLED = (
    "demo --upstream vllm needs vLLM in this environment: pip install 'vllm-alignment-monitor[vllm,lab]' on a GPU "
    "host; for a CPU the README says what to install. `alignment-monitor demo` alone needs neither."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `alignment-monitor demo`."""
    parser.add_argument(
        "--upstream",
        choices=("recorded", "vllm"),
        default="recorded",
        help="recorded: real answers from a file, nothing to install; vllm: a real server, started here",
    )
    parser.add_argument("--seconds", type=_seconds, help="end after so long; exit code 3 if not all went as told")
    parser.add_argument("--listen", metavar="HOST:PORT", help="the sidecar's address (default: a free port)")
    parser.add_argument("--admin", metavar="HOST:PORT", help="metrics and status page (default: a free port)")
    parser.add_argument("--plain", action="store_true", help="plain lines instead of a table that refreshes")
    parser.add_argument("--recordings", type=Path, default=PACKAGED, metavar="FILE", help="other recordings")


def run(args: argparse.Namespace) -> int:
    """Run the demo; returns the process's exit code."""
    try:
        recordings = load_recordings(args.recordings)
        if args.upstream == "recorded":
            return _show(args, recordings.only(cast(recordings.header)), upstream="")
        if importlib.util.find_spec("vllm") is None:
            print(NOT_INSTALLED, file=sys.stderr)
            return EXIT_NOT_INSTALLED
        return _show_on_vllm(args, recordings)
    except KeyboardInterrupt:  # before the demo listens for signals; nothing has been started then
        return 0
    except (RecordingsError, ChildError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return EXIT_FAILED


def _show_on_vllm(args: argparse.Namespace, recordings: Recordings) -> int:
    """The demo on the lab's real server, which lives as long as the demo."""
    from monitor.lab import server

    print("starting a real vLLM with the lab's adapters; that takes about a minute ...", flush=True)
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with ExitStack() as stack:
            try:
                recordings = recordings.only(cast(recordings.header, small=True))
                names = tuple(recordings.served)
                running = stack.enter_context(server.start(free_ports(1)[0], served=names))
            except ModuleNotFoundError as error:
                print(f"demo: {error}. {NOT_INSTALLED}", file=sys.stderr)
                return EXIT_NOT_INSTALLED
            except (RuntimeError, OSError, ValueError) as error:
                print(f"demo: the lab's server does not start: {error}", file=sys.stderr)
                return EXIT_FAILED
            try:
                return _show(args, recordings, upstream=running.url)
            finally:
                for number in previous:  # a second signal must not interrupt the end of the server
                    signal.signal(number, signal.SIG_IGN)
    except KeyboardInterrupt:
        return 0
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM while vLLM starts ends as Ctrl-C does, so that the server goes too."""
    raise KeyboardInterrupt


def _show(args: argparse.Namespace, recordings: Recordings, upstream: str) -> int:
    listen, admin = addresses(args.listen, args.admin)
    header = recordings.header
    plan = Plan(
        recordings=recordings,
        recordings_file=args.recordings,
        served=tuple(recordings.served),
        mix=CPU_MIX if upstream else Mix(),
        speed=SPEED,
        upstream=upstream,
        listen=listen,
        admin=admin,
        seconds=args.seconds,
    )
    console = Console()
    symbols = Symbols.for_encoding(console.encoding)
    story = tell(header, f"http://{admin}", None if upstream else SPEED)
    board = Board()
    whole = _perform(console, story, symbols, plan, board, args.plain)
    if board.rows:
        _summary(console, story, symbols, board.snapshot())
    result = judge(header, board.log.alerts)
    for sentence in result.sentences():
        console.print(sentence, markup=False, highlight=False)
    if whole and not result.as_expected:
        return EXIT_NOT_AS_EXPECTED
    return 0


def _perform(console: Console, story: Story, symbols: Symbols, plan: Plan, board: Board, plain: bool) -> bool:
    """Run the demo with the view that fits the output; True when it ran for its whole time."""
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return asyncio.run(perform(plan, board, PlainView(console, story, symbols).show))
    with Live(console=console, auto_refresh=False, transient=True) as live:
        live.update("starting the sidecar ...", refresh=True)

        def show(now: Snapshot) -> None:
            live.update(dashboard(story, now, console.width, console.height, symbols), refresh=True)

        return asyncio.run(perform(plan, board, show))


def _summary(console: Console, story: Story, symbols: Symbols, last: Snapshot) -> None:
    """What stays on the screen: every combination and every alert."""
    console.print(f"After {last.elapsed_s:.0f} s and {last.sent} requests ({last.failed} failed):", highlight=False)
    console.print(combination_table(story, last.rows, last.rows, console.width, symbols))
    for line in alert_lines(story, last.alerts, symbols):
        console.print(line)


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value
