"""What a proxy adds in front of a model server: several proxies side by side in one run, on one machine.

A stand-in server that costs next to nothing is started, then each proxy that is installed. Round after round they take
turns, and the table shows medians: CPU microseconds of the proxy's whole process tree per request or per SSE event, the
time to the first byte, how late paced events come, failures, memory; and the ratio to a reference of the same round.

    python tests/bench/compare.py --install
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import goals
import subjects
import table
from exchanges import Ask
from loadgen import Job
from measuring import Measured, measure


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load."""

    name: str
    job: Job
    per_event: bool = False
    """CPU is counted per SSE event, not per request."""

    @property
    def unit(self) -> str:
        return "SSE event" if self.per_event else "request"


_PACED = Ask(tokens=100, stream=True, interval_ms=20.0)
SCENARIOS = (
    Scenario(goals.PLAIN, Job(0, requests=4000, concurrency=16, ask=Ask(tokens=64))),
    Scenario("plain c=1", Job(0, requests=1000, concurrency=1, ask=Ask(tokens=64))),
    Scenario(goals.FLAT_OUT, Job(0, requests=400, concurrency=16, ask=Ask(tokens=256, stream=True)), True),
    Scenario(goals.PACED, Job(0, requests=128, concurrency=64, ask=_PACED), True),
)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--proxies", nargs="+", choices=subjects.PEERS, default=subjects.DEFAULT, help="which to compare"
    )
    parser.add_argument("--reference", default="vllm-router", help="what ratios are taken to (default: vllm-router)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each proxy (default: 3)")
    parser.add_argument("--only", nargs="+", choices=[each.name for each in SCENARIOS], help="scenarios to run")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the requests to send (default: 1)")
    parser.add_argument("--bin", type=Path, nargs="+", default=[], help="further folders to look for the programs in")
    parser.add_argument(
        "--install", action="store_true", help="install what is missing and on PyPI, each into .venv-bench-NAME"
    )
    parser.add_argument("--json", type=Path, help="write all rounds to this file")
    return parser.parse_args(given)


def programs(names: Sequence[str], folders: list[Path], may_install: bool) -> dict[str, str]:
    """Name -> executable of those that are installed; says what is skipped."""
    found = {}
    for name in names:
        peer = subjects.PEERS[name]
        program = subjects.find(peer.program, folders)
        if program is None and peer.pip and may_install:
            print(f"installing {name}", flush=True)
            subjects.install(name)
            program = subjects.find(peer.program, folders)
        if program is None:
            print(f"skipped: {name} is not installed ({peer.install})", flush=True)
        else:
            found[name] = program
    return found


def in_turns(
    scenario: Scenario, compared: list[subjects.Subject], rounds: int, scale: float
) -> dict[str, list[Measured]]:
    """Measure all subjects round after round, each round in the other order than the one before."""
    job = scenario.job
    job = replace(job, requests=max(job.concurrency, round(job.requests * scale)))
    results: dict[str, list[Measured]] = {subject.name: [] for subject in compared}
    for number in range(rounds):
        for subject in compared if number % 2 == 0 else reversed(compared):
            results[subject.name].append(measure(subject, job, scenario.per_event))
    return results


def main() -> None:
    args = arguments()
    found = programs(args.proxies, args.bin, args.install)
    everything: dict[str, dict[str, list[Measured]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        folder.chmod(0o755)
        server = stack.enter_context(subjects.server())
        compared = [server]
        for name, program in found.items():
            compared.append(stack.enter_context(subjects.running(name, program, server.port, folder)))
        print(
            f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, Python {platform.python_version()}",
            flush=True,
        )
        for scenario in SCENARIOS:
            if args.only and scenario.name not in args.only:
                continue
            results = in_turns(scenario, compared, args.rounds, args.scale)
            everything[scenario.name] = results
            shown = [
                *table.lines(scenario.name, scenario.unit, results, args.reference),
                *table.monitored_lines(results),
            ]
            print("\n" + "\n".join(shown), flush=True)
    print("\n" + "\n".join(goals.lines(everything, args.reference)))
    if args.json:
        args.json.write_text(
            json.dumps(
                {
                    scenario: {name: [each.as_json() for each in rounds] for name, rounds in results.items()}
                    for scenario, results in everything.items()
                }
            )
        )


if __name__ == "__main__":
    main()
