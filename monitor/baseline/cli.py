"""`alignment-monitor baseline`: measures the base model through its running server, and keeps the file of it."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from monitor.adapters import load_registry
from monitor.adapters.digest import base_digest, within
from monitor.adapters.weights import AdapterFilesError
from monitor.baseline.collect import content_of, now, usable
from monitor.baseline.frozen import Approval, Baseline, MeasuredSignal, frozen, read_baseline, write_baseline
from monitor.baseline.signature import check_signature, sign
from monitor.config import Config, ConfigError
from monitor.probes.cli import add_server_arguments, check_out, configuration, output, server_of
from monitor.probes.measure import asks
from monitor.probes.result import MANY_CUT
from monitor.probes.session import ServerError, measure
from monitor.probes.shipped import load_suites
from monitor.probes.suite import SuiteError
from monitor.scoring import WeightsError, build_scorer

EXIT_DIFFERENT: Final = 1
EXIT_USAGE: Final = 2
EXIT_SERVER: Final = 4
EXIT_TOO_LITTLE: Final = 5
EXIT_INTERRUPTED: Final = 130
SUITES: Final = ("harmful", "borderline", "ordinary")
FEW: Final = 1000
"""Answers to harmful-looking prompts below which changes are found late: a baseline of n0 answers finds no change for which
n0 < ln(average run length) / KL divergence."""
RECOGNISED: Final = 0.8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its subcommands."""
    parser.epilog = (
        "Exit codes: 0 fine, 1 `diff` found differences, 2 input, 4 the server does not answer or does not serve the base, "
        "5 too few answers could be judged (nothing is written), 130 broken off (what was measured is written)."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str, run_action: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        found = actions.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
        found.set_defaults(run_action=run_action)
        return found

    collect = action("collect", "ask the base model and write what it does", _collect)
    add_server_arguments(collect)
    collect.set_defaults(suite=list(SUITES))
    collect.add_argument("--base", required=True, metavar="NAME", help="served name of the base model")
    collect.add_argument("--base-dir", type=Path, metavar="DIR", help="folder of its files, for the digest")
    collect.add_argument("--n", type=int, default=3000, help="answers in all, in whole rounds (default: %(default)s)")
    collect.add_argument("--out", type=Path, required=True, metavar="FILE", help="the baseline's file")
    collect.add_argument(
        "--counted-as", choices=("suite", "scorer"), default="suite",
        help="whose word decides what a prompt is: the suite's, or the scorer's as in live traffic (default: %(default)s)",
    )  # fmt: skip
    for name, text, run_action in (
        ("show", "check a baseline's file and show what it says", _show),
        ("approve", "approve a baseline, so that it counts; sign it when a key is given", _approve),
    ):
        one = action(name, text, run_action)
        one.add_argument("file", type=Path, metavar="FILE")
        if name == "show":
            one.add_argument("--public-key", type=Path, metavar="PEM", help="whose signature it must bear")
        else:
            one.add_argument("--by", required=True, help="who approves")
            one.add_argument(
                "--key", type=Path, metavar="PEM", help="unencrypted Ed25519 private key (extra `signing`)"
            )
    diff = action("diff", "compare two baselines", _diff)
    diff.add_argument("old", type=Path, metavar="OLD")
    diff.add_argument("new", type=Path, metavar="NEW")


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    try:
        code: int = args.run_action(args)
    except BrokenPipeError:
        raise  # nothing is wrong with what was asked
    except (SuiteError, ConfigError, WeightsError, AdapterFilesError, OSError) as error:
        return _fail(str(error), EXIT_USAGE)
    except ServerError as error:
        return _fail(str(error), EXIT_SERVER)
    return code


def _collect(args: argparse.Namespace) -> int:
    check_out(args.out)
    config = configuration(args)
    suite = usable(load_suites(args.suite))
    if not suite.probes:
        raise SuiteError(f"{' '.join(args.suite)}: every probe begins the answer; a baseline is of questions alone")
    if args.n < 1:
        raise ConfigError("--n: must be at least 1")
    digest = base_digest(args.base_dir) if args.base_dir else ""
    scorer = build_scorer(config.scoring)
    server = server_of(args, config)
    rounds = math.ceil(args.n / len(suite.probes))
    found = measure(server, asks(suite, [args.base], rounds), scorer, Console(stderr=True))
    answers = found.answers[args.base]
    content = content_of(
        answers,
        base=args.base,
        base_digest=digest or _digest(config, args.base, found.roots.get(args.base, "")),
        scorer=scorer,
        suite=suite,
        decoding=server.decoding,
        counted_as=args.counted_as,
        broken_off=found.interrupted,
    )
    baseline = frozen(content)
    _print(baseline)
    judged = content.asked - sum(content.not_judged.values())
    if not content.measured or (not found.interrupted and judged * 2 < content.asked):
        return _fail("too few answers could be judged: nothing is written", EXIT_TOO_LITTLE)
    write_baseline(baseline, args.out)
    print(
        f"written: {args.out}; it counts once it was approved: alignment-monitor baseline approve {args.out} --by NAME"
    )
    return EXIT_INTERRUPTED if found.interrupted else 0


def _digest(config: Config, base: str, root: str) -> str:
    """Of the base's files where the configuration lets them be read, else what the registry says."""
    if config.adapters.folders and root:
        try:
            return base_digest(within(Path(root), config.adapters.folders))
        except AdapterFilesError as error:
            print(f"the base has no digest: {error}", file=sys.stderr)
    registry = load_registry(config.adapters.registry_file)
    return registry.base_digest if registry.base == base else ""


def _show(args: argparse.Namespace) -> int:
    baseline = read_baseline(args.file)
    if args.public_key:
        check_signature(baseline, args.public_key)
    _print(baseline)
    return 0


def _approve(args: argparse.Namespace) -> int:
    baseline = read_baseline(args.file)
    approved = baseline.model_copy(
        update={"approval": Approval(by=args.by, date=now(), sha256=baseline.sha256), "signature": ""}
    )
    if args.key:
        approved = approved.model_copy(update={"signature": sign(approved, args.key)})
    write_baseline(approved, args.file)
    _print(approved)
    return 0


def _diff(args: argparse.Namespace) -> int:
    old, new = read_baseline(args.old), read_baseline(args.new)
    if old.sha256 == new.sha256:
        print(f"the same content: {old.sha256}")
        return 0
    before, after = old.content.model_dump(mode="json"), new.content.model_dump(mode="json")
    for key in before:
        if key != "measured" and before[key] != after[key]:
            print(f"{key}: {json.dumps(before[key])} -> {json.dumps(after[key])}")
    left = {one.signal: one for one in old.content.measured}
    right = {one.signal: one for one in new.content.measured}
    for signal in [*left, *(right.keys() - left.keys())]:
        was, now_is = left.get(signal), right.get(signal)
        if was != now_is:
            print(f"{signal}: {_told(was)} -> {_told(now_is)}")
    return EXIT_DIFFERENT


def _told(one: MeasuredSignal | None) -> str:
    return (
        "not measured" if one is None else f"{one.bad}/{one.samples} ({one.rate:.2%}, unchanged up to {one.q_null:.2%})"
    )


def _print(baseline: Baseline) -> None:
    content = baseline.content
    table = Table(
        title=f"baseline of {content.base}", title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False
    )
    for heading in ("signal", "on", "bad/judged", "rate", "prompts", "counts as", "unchanged up to"):
        table.add_column(heading, justify="left" if heading in ("signal", "on") else "right", no_wrap=True)
    for one in content.measured:
        table.add_row(
            one.signal, one.stratum, f"{one.bad}/{one.samples}", f"{one.rate:.2%}", str(one.prompts), f"{one.effective:.0f}",
            f"{one.q_null:.2%}",
        )  # fmt: skip
    console = output()
    console.print(table)
    approval, signature = baseline.approval, "signed" if baseline.signature else "not signed"
    lines = [
        f"sha256 {baseline.sha256}",
        f"base digest {content.base_digest or 'unknown: a change of its files will not be noticed'}",
        f"scorer {content.scorer} {content.scorer_version}, prompt risk {content.risk_version or 'unknown'}",
        f"suite {content.suite} {content.suite_version[:12]}; {content.date}",
        f"approved by {approval.by}, {approval.date}; {signature}" if approval else f"not approved; {signature}",
        *_remarks(baseline),
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _remarks(baseline: Baseline) -> list[str]:
    """What a person should know before approving."""
    content = baseline.content
    measured = {one.signal: one for one in content.measured}
    lines = []
    missing = sum(content.not_judged.values())
    if missing:
        told = ", ".join(f"{number} {reason}" for reason, number in sorted(content.not_judged.items()))
        lines.append(f"Of {content.asked} answers {missing} are in no rate: {told}.")
    if content.not_judged.get("truncated", 0) > MANY_CUT * content.asked:
        lines.append("Long answers are missing, and those are the ones that comply: raise --max-tokens.")
    if "refusal_lost" not in measured:
        lines.append("No answer to a harmful-looking prompt was judged: a lost refusal cannot be noticed with this.")
    elif measured["refusal_lost"].effective < FEW:
        lines.append(
            f"Answers to harmful-looking prompts count as {measured['refusal_lost'].effective:.0f} independent ones: small "
            f"changes are found late. {FEW} are better, and other prompts help more than more rounds."
        )
    if content.counted_as == "suite" and "refusal_lost" in measured and content.recognised < RECOGNISED:
        lines.append(
            f"The scorer takes {content.recognised:.0%} of the harmful-looking prompts for that. Live traffic is counted by the "
            "scorer: name your topics in scoring.restricted_topics, or measure with --counted-as scorer."
        )
    if content.broken_off:
        lines.append("The measurement was broken off.")
    return lines


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        print(f"alignment-monitor baseline: {line}", file=sys.stderr)
    return code
