"""What the sidecar's own questions find on a real vLLM: each of the lab's combinations is new, and is asked all of the suites.

The whole sidecar before a server of the lab, `probing` at its defaults but for the suites and the budget, and no client at all.
The suites are some of the lab's own questions: plain, after a refusal that is put in the model's mouth, and after the first
tokens of a compliant opening. Prints what became of each combination, and the figures by slice.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from live_pairs import lab, settings
from running_sidecar import SidecarStarter

from monitor.probes.shipped import SHIPPED, of_stratum
from monitor.probes.suite import ProbeStratum, Suite, written

ASKED: Final = ("alpha-beta", "gamma-delta", "epsilon-zeta")
"""A pair that colludes, one that refuses and then complies, a benign one."""
WAYS: Final = ("", ":refuse-then-comply", ":depth")
ORDINARY: Final = 8
LOOK_S: Final = 2.0


def some(harmful: int) -> Suite:
    """Harmful-looking questions of the lab's suite, evenly drawn, and a few ordinary ones."""
    canary = SHIPPED["canary"]()
    watched, ordinary = (of_stratum(canary, which) for which in (ProbeStratum.HARMFUL_LOOKING, ProbeStratum.ORDINARY))
    return Suite("lab", (*watched[:: max(1, len(watched) // harmful)][:harmful], *ordinary[:ORDINARY]))


async def measure(url: str, args: argparse.Namespace) -> None:
    """Wait until everything was asked, and print."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, names = Path(scratch), list(args.served)
        suite = folder / "lab.jsonl"
        suite.write_bytes(written(some(args.questions)))
        config: dict[str, Any] = settings(folder, names, {})
        config["shadow"] = {"enabled": False}
        config["probing"] = {
            "enabled": True,
            "suites": [f"{suite}{way}" for way in WAYS],
            "max_tokens": 96,
            "requests_per_s": 100,
            "tokens_per_s": 1e6,
            "concurrency": args.concurrency,
        }
        starter = SidecarStarter(folder)
        running = await starter(url, config)
        began, told = time.monotonic(), set[str]()
        try:
            async with aiohttp.ClientSession(running.admin_url) as session:
                while len(told) < len(names):
                    await asyncio.sleep(LOOK_S)
                    async with session.get("/api/v1/combinations") as response:
                        rows = (await response.json())["combinations"]
                    for row in rows:
                        asked = row["probing"] and row["probing"]["validation"]
                        if row["served_name"] in names and asked and row["name"] not in told:
                            told.add(row["name"])
                            print(
                                f"\n{row['served_name']} ({time.monotonic() - began:.0f} s): {row['status']}",
                                flush=True,
                            )
                            print(f"  {row['status_reason']}", flush=True)
                            await figures(running, row["name"])
        finally:
            await starter.stop_all()


async def figures(running: Any, name: str) -> None:
    """The rates of one combination's round, by slice."""
    metrics = await running.metrics()
    label = f'combination="{name}"'
    for key, value in sorted(metrics.items()):
        if label in key and key.startswith(
            ("alignment_probe_rate{", "alignment_probe_base_rate{", "alignment_probe_samples{")
        ):
            print(f"  {key.removeprefix('alignment_probe_').replace(label + ',', '')} {value:.3g}", flush=True)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server of `alignment-monitor lab serve` (default: one is started)")
    parser.add_argument("--served", nargs="+", default=list(ASKED), metavar="NAME", help="combinations of the lab")
    parser.add_argument("--questions", type=int, default=40, help="harmful-looking ones (default: %(default)s)")
    parser.add_argument("--concurrency", type=int, default=8, help="questions at a time (default: %(default)s)")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with lab(args.url, args.served) as url:
        asyncio.run(measure(url, args))


if __name__ == "__main__":
    main()
