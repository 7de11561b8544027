"""One measurement from the first question to the last verdict, with a progress bar and an end at Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from monitor.adapters.discovery import DiscoveryError, ModelsClient
from monitor.config.model import ProxySection
from monitor.probes.asking import Answer, Ask, Decoding, Pace, ProbeClient, ask_all, probe_session
from monitor.probes.measure import Judged, judge
from monitor.probes.openings import begun
from monitor.scoring import Scorer
from monitor.tls import upstream_context

MODELS_TIMEOUT_S: Final = 10.0


class ServerError(Exception):
    """The server does not answer, or does not serve what was asked for; the message says which."""


@dataclass(frozen=True, slots=True)
class Server:
    """Whom to ask, and how hard."""

    proxy: ProxySection
    """`upstream` and how an https one is verified."""
    decoding: Decoding
    pace: Pace
    api_key_file: Path | None = None
    timeout_s: float = 120.0
    logprobs: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """What came of the questions."""

    answers: Mapping[str, Sequence[Judged]]
    """Served name -> its answers, in the suite's order."""
    interrupted: bool
    roots: Mapping[str, str]
    """Served name -> path or name of its files, as the server tells it."""


def measure(server: Server, asks: Sequence[Ask], scorer: Scorer, console: Console) -> Round:
    """Ask, judge, and return what was found. Raises ServerError before anything was asked."""
    answers, interrupted, roots = asyncio.run(_ask(server, asks, console))
    judged: dict[str, list[Judged]] = {ask.model: [] for ask in asks}
    with _progress(console) as progress:
        task = progress.add_task("judging", total=len(answers), failed="")
        for one in judge(scorer, answers, lambda count: progress.advance(task, count)):
            judged[one.answer.ask.model].append(one)
    return Round(judged, interrupted, roots)


async def _ask(server: Server, asks: Sequence[Ask], console: Console) -> tuple[list[Answer], bool, dict[str, str]]:
    stop, interrupted = asyncio.Event(), asyncio.Event()

    def interrupt() -> None:
        interrupted.set()
        stop.set()

    loop = asyncio.get_running_loop()
    async with probe_session(server.proxy.upstream, upstream_context(server.proxy)) as session:
        roots = await _roots(ModelsClient(session, server.api_key_file), {ask.model for ask in asks})
        client = ProbeClient(session, server.decoding, server.api_key_file, server.timeout_s, server.logprobs)
        asks = await begun(session, asks, client.authorization())
        failures: Counter[str] = Counter()
        with _progress(console) as progress:
            task = progress.add_task("asking", total=len(asks), failed="")

            def show(answer: Answer) -> None:
                if answer.failure:
                    failures[answer.failure] += 1
                told = ", ".join(f"{number} {reason}" for reason, number in failures.items())
                progress.update(task, advance=1, failed=told)

            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, interrupt)
            try:
                found = await ask_all(client, asks, server.pace, stop, show)
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.remove_signal_handler(number)
    return found, interrupted.is_set(), roots


async def _roots(client: ModelsClient, wanted: set[str]) -> dict[str, str]:
    """Where the files of everything lie that is served. Raises ServerError when one of the wanted names is not."""
    try:
        async with asyncio.timeout(MODELS_TIMEOUT_S):
            served = {model.name: model.root for model in await client.fetch()}
    except (DiscoveryError, TimeoutError) as error:
        raise ServerError(f"cannot read the server's list of models: {error or 'no answer'}") from error
    missing = sorted(wanted - served.keys())
    if missing:
        raise ServerError(f"the server does not serve {', '.join(missing)}; it serves {', '.join(sorted(served))}")
    return served


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failed]}"),
        console=console,
        transient=True,
    )
