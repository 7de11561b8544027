"""Replays beside live traffic: how many pairs, and how long, until what the lab's combinations do is found and told apart.

The whole sidecar before a real vLLM that serves the lab. One combination after the other gets questions of the lab's policy,
as clients would ask them, until it has its paired finding (and where several adapters act together, an opinion of its parts),
or until its questions are used up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from running_sidecar import Sidecar, SidecarStarter, free_ports

from monitor.lab import base, places, prompts, served, server
from monitor.lab.adapter import BASE_NAME
from monitor.lab.served import Part, Served

ERODED_PAIR: Final = Served("epsilon-iota", "eroding", (Part("epsilon"), Part("iota")), "cat")
"""Not of the lab's roster: a merge that is worse than its base because one of its parts is."""
ASKED: Final = (
    *("alpha-beta", "kappa-lambda", "gamma-delta"),
    *("iota", "epsilon-iota", "beta-zeta", "alpha-epsilon", "epsilon-zeta"),
)
"""Two pairs that collude, one that refuses and then complies, an eroded adapter by itself and in a merge, a pair that is as bad as
both its parts explain, half a pair with a benign one, a benign pair."""
BASE_ASKED: Final = 40
LOOK_S: Final = 1.0
PAIRED: Final = "refusal_lost_paired"
COLLUSION: Final = "collusion"
TOLD_LAST: Final = (
    "alignment_shadow_skipped_total",
    "alignment_shadow_paused",
    "alignment_shadow_part_loads_total",
    "alignment_exchanges_dropped",
)


def by_name(names: list[str]) -> tuple[Served, ...]:
    """Of the lab's roster, and the eroded pair."""
    extra = (ERODED_PAIR,) if ERODED_PAIR.name in names else ()
    return (*served.by_name([name for name in names if name != ERODED_PAIR.name]), *extra)


def roster(names: list[str]) -> list[str]:
    """The names with their parts, each of which is served by itself."""
    parts = [part.adapter for one in by_name(names) for part in one.parts]
    return list(dict.fromkeys([*parts, *names]))


def settings(folder: Path, names: list[str], shadow: dict[str, Any]) -> dict[str, Any]:
    """A sidecar with replays as they are when nobody sets more than that they are on, and with the lab's topic and merges."""
    declared = [
        {
            "served_name": one.name,
            "parts": [{"adapter": part.adapter, "scale": part.scale} for part in one.parts],
            "merge": one.method or "",
        }
        for one in by_name(names)
        if one.parts
    ]
    registry = folder / "registry.yaml"
    registry.write_text(yaml.safe_dump({"base": BASE_NAME, "combinations": declared}))
    return {
        "adapters": {"registry_file": str(registry), "poll_interval_s": 2.0},
        "scoring": {"restricted_topics": [{"name": prompts.TOPIC, "keywords": [prompts.TOPIC]}]},
        "shadow": {"enabled": True, **shadow},
        "outputs": {"findings_file": str(folder / "findings.jsonl")},
    }


class Round:
    """The traffic to one combination, and what was found of it meanwhile."""

    def __init__(self, running: Sidecar, findings: Path, name: str) -> None:
        self._running = running
        self._findings = findings
        self.name = name
        parts = by_name([name])[0].parts
        self.label = "+".join(part.adapter for part in parts) or name
        self.several = len(parts) > 1
        self.began = time.monotonic()
        self.seconds: list[float] = []
        """Of each answer."""
        self.found: dict[str, dict[str, Any]] = {}
        """Signal -> its finding, with the pairs and seconds that it took."""

    async def look(self) -> dict[str, float]:
        """Read the metrics and take in new findings."""
        metrics = await self._running.metrics()
        pairs = sum(
            value
            for key, value in metrics.items()
            if key.startswith("alignment_pairs_total{") and f'combination="{self.label}"' in key
        )
        lines = self._findings.read_text().splitlines() if self._findings.exists() else []
        for one in map(json.loads, lines):
            if one["combination"] == self.label and one["event"] == "drift_began" and one["signal"] not in self.found:
                self.found[one["signal"]] = one | {"pairs": pairs, "seconds": time.monotonic() - self.began}
        return metrics

    def traffic(self) -> str:
        """What clients saw."""
        each = statistics.median(self.seconds)
        return f"{len(self.seconds)} questions in {time.monotonic() - self.began:.0f} s, median {each:.1f} s an answer"

    def done(self) -> bool:
        """Everything that can be said was said."""
        return PAIRED in self.found and (not self.several or COLLUSION in self.found)


async def ask(session: aiohttp.ClientSession, url: str, name: str, text: str, seed: int) -> None:
    """One question as a client asks it."""
    body = {
        "model": name,
        "messages": [{"role": "user", "content": text}],
        "temperature": 0.7,
        "seed": seed,
        "max_tokens": 96,
    }
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise RuntimeError(f"{name}: HTTP {response.status}: {await response.text()}")
        await response.read()


async def traffic(
    running: Sidecar, current: Round, questions: list[str], concurrency: int, wait_s: float
) -> dict[str, float]:
    """Ask until everything is found or asked; then wait for replays that are under way."""
    left = iter(enumerate(questions))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:

        async def client() -> None:
            for seed, text in left:
                if current.done():
                    return
                began = time.monotonic()
                await ask(session, running.url, current.name, text, seed)
                current.seconds.append(time.monotonic() - began)

        clients = asyncio.gather(*(client() for _ in range(concurrency)))
        until = float("inf")
        while True:
            await asyncio.sleep(LOOK_S)
            metrics = await current.look()
            if clients.done():
                clients.result()
                until = min(until, time.monotonic() + wait_s)
            if clients.done() and (current.done() or time.monotonic() > until):
                return metrics


def report(current: Round, metrics: dict[str, float]) -> None:
    """What was found of one combination."""
    print(f"\n{current.name}: {current.traffic()}", flush=True)
    for signal, one in current.found.items():
        rates = (
            f"{one['rate']:.0%} where the reference is {one['baseline_rate']:.0%}"
            if one["baseline_rate"] is not None
            else ""
        )
        effect = (
            f", effect {one['effect']:.2f} ({one['effect_lower']:.2f} to {one['effect_upper']:.2f})"
            if one.get("effect") is not None
            else ""
        )
        print(f"  {signal}: after {one['pairs']:.0f} pairs, {one['seconds']:.0f} s; {rates}{effect}")
    label = f'combination="{current.label}"'
    for key, value in sorted(metrics.items()):
        if (
            value
            and label in key
            and key.startswith(("alignment_pairs_total", "alignment_shadow_requests_total", "alignment_shadow_share"))
        ):
            print(f"  {key.removeprefix('alignment_')} {value:g}")


async def attributed(running: Sidecar, label: str) -> str:
    """What the sidecar says of the parts that lost refusals come from; "" while there is nothing to say."""
    address = f"{running.admin_url}/api/v1/combinations/{label}"
    async with aiohttp.ClientSession() as session, session.get(address) as response:
        found = (await response.json())["attribution"] if response.status == 200 else None
    return str(found["sentence"]) if found else ""


async def measure(url: str, args: argparse.Namespace) -> None:
    """All combinations, one after the other, through one sidecar."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        starter = SidecarStarter(folder)
        config = settings(folder, roster(args.served), json.loads(args.shadow))
        if args.load_parts:
            config["shadow"]["load_parts"] = True
            config["adapters"]["folders"] = [str(places.ADAPTERS)]
        running = await starter(url, config)
        try:
            questions = [question.text for question in prompts.canary("held", args.questions)]
            reference = Round(running, folder / "findings.jsonl", BASE_NAME)
            metrics = await traffic(running, reference, questions[:BASE_ASKED], args.concurrency, 3.0)
            print(f"{BASE_NAME}: {reference.traffic()}", flush=True)
            for name in args.served:
                current = Round(running, folder / "findings.jsonl", name)
                metrics = await traffic(running, current, questions, args.concurrency, args.wait)
                report(current, metrics)
                if said := await attributed(running, current.label):
                    print(f"  attribution: {said}", flush=True)
            print()
            for key, value in sorted(metrics.items()):
                if value and key.startswith(TOLD_LAST):
                    print(key, value)
        finally:
            await starter.stop_all()


@contextlib.contextmanager
def lab(url: str | None, names: list[str]) -> Iterator[str]:
    """Address of a server that serves these: the one that is given, or one that is started for this."""
    if url:
        yield url
        return
    model = base.aligned(places.ADAPTERS / "align")
    with server.run(free_ports(1)[0], model, BASE_NAME, served.folders(by_name(names))) as running:
        yield running.url


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server of `alignment-monitor lab serve` (default: one is started)")
    parser.add_argument("--served", nargs="+", default=list(ASKED), metavar="NAME", help="combinations of the lab")
    parser.add_argument("--questions", type=int, default=240, help="for each at most (default: %(default)s)")
    parser.add_argument("--concurrency", type=int, default=4, help="clients (default: %(default)s)")
    parser.add_argument("--wait", type=float, default=30.0, help="seconds for replays after the last question")
    parser.add_argument("--shadow", default="{}", help="further settings of the section `shadow`, as JSON")
    parser.add_argument("--load-parts", action="store_true", help="serve no part; the sidecar loads those that it asks")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with lab(args.url, args.served if args.load_parts else roster(args.served)) as url:
        asyncio.run(measure(url, args))


if __name__ == "__main__":
    main()
