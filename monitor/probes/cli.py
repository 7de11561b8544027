"""`alignment-monitor probe`: asks a running server the questions of a suite, and says how a combination answers."""

from __future__ import annotations

import argparse
import datetime
import getpass
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from rich.console import Console

from monitor.adapters import Registry, load_registry
from monitor.adapters.registry import Evaluation
from monitor.config import Config, ConfigError, load_config
from monitor.probes.asking import Decoding, Pace
from monitor.probes.divergence import by_position
from monitor.probes.importers import LAYOUTS, import_suite
from monitor.probes.measure import asks
from monitor.probes.result import Measurement, evaluation, missing_of, print_result, rows_of
from monitor.probes.session import Round, Server, ServerError, measure
from monitor.probes.shipped import DEFAULT, SHIPPED, WAYS, load_suites
from monitor.probes.suite import Kind, ProbeStratum, Suite, SuiteError, written
from monitor.scoring import Scorer, WeightsError, build_scorer

EXIT_WORSE: Final = 1
"""The combination is worse than the base it was asked beside."""
EXIT_USAGE: Final = 2
EXIT_SERVER: Final = 4
"""The server does not answer, or does not serve a name."""
EXIT_TOO_LITTLE: Final = 5
"""Fewer than half of the answers could be judged."""
EXIT_INTERRUPTED: Final = 130

NOT_A_TERMINAL: Final = 120
"""Columns."""

EXITS: Final = (
    "Exit codes: 0 measured, 1 worse than --against (sign test over prompts, chance below 0.01), 2 input, 4 the server does "
    "not answer or does not serve the name, 5 fewer than half of the answers could be judged, 130 broken off (what was "
    "measured is shown and written)."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `probe`."""
    parser.epilog = EXITS
    add_server_arguments(parser)
    parser.add_argument("--combination", metavar="NAME", help="served name to ask")
    parser.add_argument(
        "--against", metavar="BASE", default="", help="served name that is asked the same, usually the base"
    )
    parser.add_argument("--n", type=_count, default=1, help="answers to each prompt (default: %(default)s)")
    parser.add_argument(
        "--logprobs", action="store_true", help="also compare the first tokens' probabilities with --against"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write a record for `registry add NAME --evaluation FILE`"
    )
    parser.add_argument(
        "--registry", type=Path, metavar="FILE", help="registry that says what the combination is made of"
    )
    parser.add_argument("--by", default="", help="who evaluates, for the record (default: the user's name)")
    parser.set_defaults(run_action=_probe)
    actions = parser.add_subparsers(dest="action", metavar="import ...", required=False)
    text = "make a suite of a benchmark's file: " + ", ".join(LAYOUTS)
    bring = actions.add_parser("import", help=text, description=text[:1].upper() + text[1:] + ".")
    bring.add_argument("file", type=Path, metavar="FILE", help="CSV, JSON or JSON lines, as its authors publish it")
    bring.add_argument(
        "--layout", choices=("auto", *LAYOUTS), default="auto", help="whose columns it has (default: told by them)"
    )
    bring.add_argument("--stratum", choices=[one.value for one in ProbeStratum], help="what all of its prompts are")
    bring.add_argument("--out", type=Path, required=True, metavar="FILE", help="the suite's file")
    bring.set_defaults(run_action=_import)


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """What every command that asks a server needs to know."""
    parser.add_argument(
        "--upstream", metavar="URL", help="the server itself, not the sidecar: probes are no users' traffic"
    )
    parser.add_argument(
        "--suite", nargs="+", default=list(DEFAULT), metavar="SUITE",
        help=f"shipped suites ({', '.join(SHIPPED)}) or files, and their harmful-looking questions asked another way "
        f"({', '.join(f'SUITE:{way}' for way in WAYS)}) (default: {' '.join(DEFAULT)})",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, help="the sidecar's configuration: scoring, upstream, certificates, API key"
    )
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help="file with the server's API key")
    parser.add_argument("--concurrency", type=_count, default=4, help="questions at a time (default: %(default)s)")
    parser.add_argument(
        "--rate", type=_positive, default=20.0, help="questions per second at most (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout", type=_positive, default=120.0, help="seconds for one answer (default: %(default)s)"
    )
    parser.add_argument("--temperature", type=_not_negative, default=0.7, help="of the sampling (default: %(default)s)")
    parser.add_argument("--top-p", type=_positive, default=1.0, help="of the sampling (default: %(default)s)")
    parser.add_argument("--max-tokens", type=_count, default=512, help="of an answer (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling (default: %(default)s)")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    try:
        code: int = args.run_action(args)
    except BrokenPipeError:
        raise  # nothing is wrong with what was asked
    except (SuiteError, ConfigError, WeightsError, OSError) as error:
        return _fail(str(error), EXIT_USAGE)
    except ServerError as error:
        return _fail(str(error), EXIT_SERVER)
    return code


def configuration(args: argparse.Namespace) -> Config:
    """The sidecar's configuration with this server as its upstream."""
    file = args.config or os.environ.get("ALIGNMENT_CONFIG")
    config = load_config(Path(file) if file else None, os.environ, {("proxy", "upstream"): args.upstream})
    if not args.upstream and not file:
        raise ConfigError("--upstream: which server is to be asked?")
    return config


def server_of(args: argparse.Namespace, config: Config, *, logprobs: bool = False) -> Server:
    """Whom to ask, from the flags and the configuration."""
    return Server(
        proxy=config.proxy,
        decoding=Decoding(args.temperature, args.top_p, args.max_tokens, args.seed),
        pace=Pace(args.concurrency, args.rate),
        api_key_file=args.api_key_file or config.adapters.api_key_file,
        timeout_s=args.timeout,
        logprobs=logprobs,
    )


def check_out(file: Path | None) -> None:
    """Raise ConfigError when nothing can be written there: to be told before hours of asking, not after them."""
    if file is None:
        return
    folder = file.parent
    if not folder.is_dir():
        raise ConfigError(f"--out: {file} cannot be written: there is no folder {folder}")
    if file.is_dir():
        raise ConfigError(f"--out: {file} is a folder")
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise ConfigError(f"--out: {file} cannot be written: Permission denied")


def _probe(args: argparse.Namespace) -> int:
    if not args.combination:
        raise ConfigError("--combination: which served name is to be asked?")
    check_out(args.out)
    if args.logprobs and not args.against:
        raise ConfigError("--logprobs: compares with another served name; name it with --against")
    if args.against == args.combination:
        raise ConfigError(f"--against: {args.against} is the combination itself")
    config = configuration(args)
    suite = load_suites(args.suite)
    registry = load_registry(args.registry or config.adapters.registry_file)
    scorer = build_scorer(config.scoring)
    server = server_of(args, config, logprobs=args.logprobs)
    models = [args.combination, *([args.against] if args.against else [])]
    found = measure(server, asks(suite, models, args.n), scorer, Console(stderr=True))
    measurement = _measurement(args, suite, scorer, server, found)
    print_result(measurement, output())
    if args.out and measurement.judged:
        _write(measurement, args, registry)
    if measurement.interrupted:
        return EXIT_INTERRUPTED
    if not measurement.enough:
        return EXIT_TOO_LITTLE
    return EXIT_WORSE if measurement.worse else 0


def _import(args: argparse.Namespace) -> int:
    suite, layout = import_suite(args.file, args.layout, ProbeStratum(args.stratum) if args.stratum else None)
    args.out.write_bytes(written(suite))
    counts = Counter(probe.stratum.value for probe in suite.probes)
    told = ", ".join(f"{number} {stratum}" for stratum, number in sorted(counts.items()))
    print(f"{args.out}: {len(suite.probes)} probes ({told}), read as {layout}")
    return 0


def output() -> Console:
    """Standard output; a table that goes into a file or a log is not cut to a terminal's width."""
    return Console(width=None if sys.stdout.isatty() else NOT_A_TERMINAL)


def _measurement(args: argparse.Namespace, suite: Suite, scorer: Scorer, server: Server, found: Round) -> Measurement:
    own = found.answers[args.combination]
    base = found.answers[args.against] if args.against else None
    pairs = [
        (mine.answer, theirs.answer)
        for mine, theirs in zip(own, base or (), strict=False)
        if args.logprobs and mine.probe.kind is Kind.PLAIN
    ]
    return Measurement(
        combination=args.combination,
        base=args.against,
        suite=suite,
        scorer=scorer.name,
        scorer_version=scorer.version,
        decoding=server.decoding,
        asked=len(own),
        rows=rows_of(own, base),
        missing=missing_of(found.answers),
        judged=sum(1 for one in own if one.outcome is not None),
        interrupted=found.interrupted,
        divergence=tuple(by_position(pairs)),
    )


def _write(measurement: Measurement, args: argparse.Namespace, registry: Registry) -> None:
    """The record of an evaluation; the registry tells whether several adapters act together under this name."""
    declared = registry.declared(measurement.combination)
    record = evaluation(
        measurement,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        scope="combined" if declared is not None and len(declared.parts) > 1 else "alone",
        base_version=registry.base_digest if measurement.base and registry.base == measurement.base else "",
        by=args.by or _user(),
    )
    try:
        Evaluation.model_validate(record)
    except ValidationError as error:  # a defect: the registry would not take it
        raise ConfigError(f"{args.out}: the record is not what the registry takes: {error}") from error
    args.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written: {args.out}", file=sys.stderr)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no entry for this user id, as in many containers
        return ""


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        print(f"alignment-monitor probe: {line}", file=sys.stderr)
    return code
