"""How many exchanges per second the analysis keeps up with on one core.

Drives the real sidecar, every exchange sampled, at a given rate with answers of about 800 characters, some streamed and
some not, all different; holds the analysis process on one core; and reports from /metrics what was scored and dropped.

    python tests/bench/analysis_rate.py --rate 200 --seconds 20
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import proctree
import subjects
from exchanges import Ask
from loadgen import Job
from measuring import Load, Samples, by_reason, by_tier, monitor_counts, scrape, total

_VARIANTS = 4096
_CATCH_UP_S = 60.0


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0, help="exchanges per second (default: 200)")
    parser.add_argument("--seconds", type=float, default=20.0, help="for how long (default: 20)")
    parser.add_argument("--tokens", type=int, default=150, help="tokens per answer, 5.4 characters each (default: 150)")
    parser.add_argument("--streamed", type=float, default=0.5, help="share of streamed answers (default: 0.5)")
    parser.add_argument("--core", type=int, default=None, help="core for the analysis process (default: the last)")
    parser.add_argument("--bin", type=Path, nargs="+", default=[], help="folders to look for alignment-monitor in")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args(given)


def analysis_process(root: int) -> int:
    """The process that scores, among ours."""
    found = [pid for pid in proctree.descendants(root) if proctree.role(pid, root) == "analysis"]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} processes below {root} have `analysis` in their command line, not one")
    return found[0]


def drive(subject: subjects.Subject, args: argparse.Namespace) -> dict[str, Any]:
    """Run the load, wait for the backlog, and say what became of the exchanges."""
    job = Job(
        port=subject.port,
        requests=round(args.rate * args.seconds),
        concurrency=16,
        ask=Ask(tokens=args.tokens),
        variants=_VARIANTS,
        streamed=args.streamed,
        rate=args.rate,
    )
    load = Load(job)
    proctree.settle(subject.pid)
    counted, samples = monitor_counts(subject), scrape(subject)
    before = proctree.cpu_seconds(subject.pid)
    begun = time.monotonic()
    result = load.run()
    wall = time.monotonic() - begun
    at_once = total(scrape(subject), "alignment_exchanges_scored_total") - counted["scored"]
    during = proctree.cpu_seconds(subject.pid)
    settled = proctree.settle(subject.pid, _CATCH_UP_S)
    after = proctree.cpu_seconds(subject.pid)
    now = monitor_counts(subject)
    scored = now["scored"] - counted["scored"]
    cpu = after["analysis"] - before["analysis"]
    latest = scrape(subject)
    return {
        "rate": args.rate,
        "sent": result["requests"],
        "failures": result["failures"],
        "first_ms": result["first_ms"],
        **{name: now[name] - counted[name] for name in now},
        **{f"{what}_by_reason": since(samples, latest, what) for what in ("unscored", "dropped")},
        "tiers": {tier: number - by_tier(samples).get(tier, 0.0) for tier, number in by_tier(latest).items()},
        "scored_per_s": at_once / wall,
        "wall_s": wall,
        "caught_up": settled,
        "analysis_share": (during["analysis"] - before["analysis"]) / wall,
        "analysis_us_per_judged": cpu / max(1.0, scored + now["unscored"] - counted["unscored"]) * 1e6,
        "worker_share": (during.get("worker", 0.0) - before.get("worker", 0.0)) / wall,
        "memory_mib": {name: each.rss for name, each in proctree.memory(subject.pid).items()},
    }


def since(before: Samples, now: Samples, what: str) -> dict[str, float]:
    """Reason -> exchanges that were `unscored` or `dropped` for it meanwhile."""
    earlier = by_reason(before, what)
    grown = {reason: number - earlier.get(reason, 0.0) for reason, number in by_reason(now, what).items()}
    return {reason: number for reason, number in grown.items() if number}


def lines(figures: dict[str, Any]) -> list[str]:
    """The figures for a reader."""
    us, tiers = figures["analysis_us_per_judged"], Counter(figures["tiers"])
    sent_rate = figures["sent"] / figures["wall_s"]
    return [
        f"sent        {figures['sent']} in {figures['wall_s']:.1f} s: {sent_rate:.0f}/s, {figures['rate']:g}/s were wanted"
        + (" (this machine is too busy to tell)" if sent_rate < 0.9 * figures["rate"] else ""),
        f"failed      {figures['failures']}",
        f"sampled     {figures['sampled']:.0f} of {figures['seen']:.0f} seen",
        f"scored      {figures['scored']:.0f}: {figures['scored_per_s']:.0f}/s while the load ran"
        + ("" if figures["caught_up"] else f", and had not caught up {_CATCH_UP_S:.0f} s later"),
        f"encoder     read {tiers['exact']:.0f} of {tiers['exact'] + tiers['over_budget']:.0f} that were in doubt",
        f"unscored    {figures['unscored']:.0f} {figures['unscored_by_reason'] or ''}",
        f"skipped     {figures['skipped']:.0f}",
        f"dropped     {figures['dropped']:.0f} {figures['dropped_by_reason'] or ''}",
        f"analysis    {figures['analysis_share']:.0%} of one core, {us:.0f} CPU us per exchange"
        + (f" (a whole core would do {1e6 / us:.0f}/s)" if us else ""),
        f"worker      {figures['worker_share']:.0%} of one core",
        "memory      " + ", ".join(f"{name} {mib:.0f} MiB" for name, mib in sorted(figures["memory_mib"].items())),
    ]


def main() -> None:
    args = arguments()
    program = subjects.find(subjects.PEERS[subjects.OURS].program, args.bin)
    if program is None:
        sys.exit(f"alignment-monitor is not installed ({subjects.PEERS[subjects.OURS].install})")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = stack.enter_context(subjects.server())
        subject = stack.enter_context(subjects.running(subjects.OURS, program, server.port, folder))
        core = max(os.sched_getaffinity(0)) if args.core is None else args.core
        proctree.pin(analysis_process(subject.pid), core)
        figures = drive(subject, args)
    print("\n".join(lines(figures)))
    if args.json:
        args.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
