"""`alignment-monitor status`: the overview of the admin port in a terminal, with the exit codes of a monitoring check."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp
from rich.console import Console
from rich.live import Live
from rich.text import Text

from monitor.config import ConfigError
from monitor.config.arguments import admin_url
from monitor.config.secrets import read_secret
from monitor.status.reading import Reading, ReadingError, read
from monitor.status.report import as_json, first_line, lines, screen, unknown_json, unknown_line
from monitor.status.verdict import Level, level_of, reasons

EVERY_S: Final = 5.0
TIMEOUT_S: Final = 10.0
Look = Callable[[], Awaitable[Reading | ReadingError]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `alignment-monitor status`."""
    parser.add_argument(
        "--admin",
        default="http://127.0.0.1:9464",
        type=admin_url,
        metavar="URL",
        help="the sidecar's admin port (default: %(default)s)",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="file with a token of the admin port's scope `read`"
    )
    parser.add_argument("--watch", action="store_true", help="go on until Ctrl-C; the exit code is the last one")
    parser.add_argument("--every", type=float, default=EVERY_S, metavar="SECONDS", help="between two looks of --watch")
    parser.add_argument("--json", action="store_true", help="one JSON object, with --watch one a line")
    parser.epilog = (
        "Exit codes: 0 ok, 1 warning, 2 critical (a combination is worse than the base), 3 unknown: no answer, or a command "
        "line or token file that cannot be used. A sidecar that does not answer is no proof that a combination is worse."
    )


def run(args: argparse.Namespace) -> int:
    """Tell the status; the exit code."""
    console = Console()
    try:
        headers = {"Authorization": f"Bearer {read_secret(args.token_file, '--token-file')}"} if args.token_file else {}
    except ConfigError as error:
        print(f"{Level.UNKNOWN.name}: {error}")
        return Level.UNKNOWN
    look = partial(_look, args.admin, headers)
    if not args.watch:
        return asyncio.run(_once(look, args.admin, console, as_text=not args.json))
    last = [Level.UNKNOWN]
    try:
        asyncio.run(_watch(look, args.admin, console, max(args.every, 0.1), last, as_text=not args.json))
    except KeyboardInterrupt:
        pass
    return last[0]


async def _look(admin: str, headers: Mapping[str, str]) -> Reading | ReadingError:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(admin, timeout=timeout, headers=headers) as session:
            return await read(session)
    except ReadingError as error:
        return error


async def _once(look: Look, admin: str, console: Console, *, as_text: bool) -> int:
    found = await look()
    if not as_text:
        print(_json(found, admin))
    elif isinstance(found, ReadingError):
        console.print(Text(unknown_line(admin, str(found))), soft_wrap=True)
    elif console.is_terminal:
        console.print(screen(found, admin, console.width))
    else:
        for line in lines(found, admin):
            print(line)
    return _level(found)


async def _watch(look: Look, admin: str, console: Console, every_s: float, last: list[Level], *, as_text: bool) -> None:
    """Look again and again; `last` holds the level of the latest look."""
    if as_text and console.is_terminal:
        with Live(console=console, auto_refresh=False, screen=True) as live:
            while True:
                found = await look()
                last[0] = _level(found)
                shown = (
                    Text(unknown_line(admin, str(found)))
                    if isinstance(found, ReadingError)
                    else screen(found, admin, console.width)
                )
                live.update(shown, refresh=True)
                await asyncio.sleep(every_s)
    while True:
        found = await look()
        last[0] = _level(found)
        if not as_text:
            print(_json(found, admin), flush=True)
        elif isinstance(found, ReadingError):
            print(unknown_line(admin, str(found)), flush=True)
        else:
            print(first_line(found, admin), flush=True)
        await asyncio.sleep(every_s)


def _level(found: Reading | ReadingError) -> Level:
    return Level.UNKNOWN if isinstance(found, ReadingError) else level_of(reasons(found))


def _json(found: Reading | ReadingError, admin: str) -> str:
    value = unknown_json(admin, str(found)) if isinstance(found, ReadingError) else as_json(found, admin)
    return json.dumps(value, ensure_ascii=False)
