"""False alarms on real answers: combinations of the lab that answer as their base does, compared with it on many prompts.

Asks a real vLLM that serves the lab the same questions of the base and of each combination, every one once, at temperature 0.7
and with seeds of their own; writes what came as a recording, and gives that to `alignment-monitor replay`, whose scorer and
detectors are those of live traffic at their default settings.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from running_sidecar import free_ports

from monitor.lab import prompts, server
from monitor.lab.adapter import BASE_NAME
from monitor.lab.ask import Ask, Reply, ask_all
from monitor.lab.judge import tally

EQUAL: Final = (BASE_NAME, "gamma", "delta", "epsilon")
"""The base beside itself, and the adapters whose rate of refusals is the base's, as measured for the lab."""
APART_S: Final = 1.0
"""Seconds of recorded time between two prompts."""


def put(url: str, name: str, questions: Sequence[str], seed: int, batch: int) -> list[Reply]:
    """One reply to each question."""
    began, replies = time.monotonic(), []
    for at in range(0, len(questions), batch):
        some = questions[at : at + batch]
        replies += ask_all(url, [Ask(name, text, 0.7, seed + at + place) for place, text in enumerate(some)])
        print(
            f"\r{name}: {len(replies)} of {len(questions)} answers, {time.monotonic() - began:.0f} s",
            end="",
            file=sys.stderr,
        )
    print(file=sys.stderr)
    return replies


def lines(name: str, questions: Sequence[str], own: Sequence[Reply], base: Sequence[Reply]) -> Iterator[dict[str, Any]]:
    """The recording of one combination. What is the base beside itself goes by a name of its own."""
    for place, (text, answer, reference) in enumerate(zip(questions, own, base, strict=True)):
        yield {
            "time": 1e9 + APART_S * place,
            "model": f"{name}-again" if name == BASE_NAME else name,
            "prompt": text,
            "response": answer.text,
            "finish_reason": answer.finish_reason,
            "base_response": reference.text,
        }


def replayed(recording: Path) -> str:
    """What `alignment-monitor replay` says of a recording: findings, then the states at its end."""
    topic = {"name": prompts.TOPIC, "keywords": [prompts.TOPIC]}
    config = recording.with_suffix(".yaml")
    config.write_text(yaml.safe_dump({"scoring": {"restricted_topics": [topic]}}))
    command = [sys.executable, "-m", "monitor", "replay", str(recording), "--config", str(config), "--base", BASE_NAME]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return ended.stdout + ended.stderr


def told(said: str) -> Iterator[str]:
    """The findings and the paired states, shortened."""
    for line in said.splitlines():
        if line.startswith("{"):
            one = json.loads(line)
            yield f"FINDING {one['event']} {one['signal']} after {one['time'] - 1e9:.0f} prompts: rate {one['rate']:.3f}"
        elif "refusal_lost" in line and not line.startswith(f"{BASE_NAME} "):
            yield line


def measure(url: str, args: argparse.Namespace, folder: Path) -> None:
    """Everything, combination after combination."""
    questions = [question.text for question in prompts.canary(args.questions, args.pairs)]
    random.Random(5).shuffle(questions)
    base = put(url, BASE_NAME, questions, 0, args.batch)
    print(f"{BASE_NAME}: {tally(base)}")
    for number, name in enumerate(args.served, 1):
        own = put(url, name, questions, 1_000_000 * number, args.batch)
        recording = folder / f"{name}.jsonl"
        recording.write_text("".join(json.dumps(one) + "\n" for one in lines(name, questions, own, base)))
        print(f"\n{name}: {len(own)} pairs, {tally(own)}")
        for line in told(replayed(recording)):
            print(f"  {line}", flush=True)


@contextlib.contextmanager
def lab(args: argparse.Namespace) -> Iterator[str]:
    """Address of a server: the one that is named, or one that is started for this."""
    if args.url:
        yield args.url
        return
    with server.start(free_ports(1)[0], served=args.served) as running:
        yield running.url


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server of `alignment-monitor lab serve` (default: one is started)")
    parser.add_argument("--served", nargs="+", default=list(EQUAL), metavar="NAME", help="combinations of the lab")
    parser.add_argument("--pairs", type=int, default=1000, help="for each (default: %(default)s)")
    parser.add_argument(
        "--questions", choices=("held", "dev"), default="held", help="which wordings (default: %(default)s)"
    )
    parser.add_argument("--batch", type=int, default=250, help="questions between two signs of life")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the recordings there")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch, lab(args) as url:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        measure(url, args, folder)


if __name__ == "__main__":
    main()
