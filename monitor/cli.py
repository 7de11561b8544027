"""The command: parses and calls.

A command's module is imported only when it is the one that was asked for: a proxy worker must not carry the scorer's
memory.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from monitor import __version__
from monitor.config import Config, ConfigError, load_config

EXIT_USAGE: Final = 2
"""The configuration, a file or the command line cannot be used."""
EXIT_PORT: Final = 3
"""A port cannot be listened on."""
EXIT_UPSTREAM: Final = 4
"""The upstream server does not answer, where it was required to."""


EXIT_BROKEN_PIPE: Final = 141
"""Nobody reads standard output any more, as after `| head`; what a shell reports for SIGPIPE."""
EXIT_UNKNOWN: Final = 3
"""Of `status`, for what EXIT_USAGE means elsewhere: to whoever runs it as a monitoring check 2 is an alarm."""


class Command(NamedTuple):
    """One subcommand."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    exit_usage: int = EXIT_USAGE


class Parser(argparse.ArgumentParser):
    """Ends with the chosen command's exit code when the command line cannot be used."""

    exit_usage = EXIT_USAGE

    def error(self, message: str) -> NoReturn:
        """See ArgumentParser. A monitoring check's reader sees standard output alone."""
        self.print_usage(sys.stderr)
        if self.exit_usage == EXIT_UNKNOWN:
            print(f"UNKNOWN: {message}")
        self.exit(self.exit_usage, f"{self.prog}: error: {message}\n")


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--upstream", help="the vLLM server: http://HOST:PORT, https://HOST:PORT or unix:/path")
    parser.add_argument("--listen", metavar="HOST:PORT", help="where clients connect to")
    parser.add_argument("--admin", metavar="HOST:PORT", help="metrics, health and status page")
    parser.add_argument("--config", type=Path, help="configuration file (YAML or JSON)")
    parser.add_argument(
        "--require-upstream", action="store_true", help="end with exit code 4 when the server does not answer at start"
    )


def _serve(args: argparse.Namespace) -> int:
    from monitor.adapters import load_registry
    from monitor.adapters.policy import first_policy
    from monitor.supervisor import ListenError, Supervisor, upstream_problem
    from monitor.telemetry.logs import set_up_logging

    config = _load(args, {("proxy", "upstream"): args.upstream, ("proxy", "listen"): args.listen,
                          ("admin", "listen"): args.admin})  # fmt: skip
    registry = load_registry(config.adapters.registry_file)
    _check_files(config)
    set_up_logging(config.telemetry)
    problem = upstream_problem(config.proxy)
    if problem and args.require_upstream:
        return _fail(problem, EXIT_UPSTREAM)
    if problem:
        print(f"alignment-monitor: {problem}; starting anyway, requests get 502 until it answers", file=sys.stderr)
    try:
        policy = first_policy(config.adapters.enforcement, registry, config.adapters.loading)
        return Supervisor(config, policy).run()
    except ListenError as error:
        return _fail(str(error), EXIT_PORT)


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="configuration file to check")
    parser.add_argument("--connect", action="store_true", help="also connect to the upstream server")
    parser.add_argument(
        "--webhook",
        action="store_true",
        help="also send a test message, and its end, to the receiver of outputs.webhook",
    )


def _check(args: argparse.Namespace) -> int:
    from monitor.adapters import load_registry
    from monitor.supervisor import upstream_problem

    config = load_config(args.file, os.environ)
    registry = load_registry(config.adapters.registry_file)
    _check_files(config)
    if args.connect and (problem := upstream_problem(config.proxy)):
        return _fail(problem, EXIT_UPSTREAM)
    if args.webhook:
        _try_webhook(config)
    print(f"{args.file}: ok, {len(registry.combinations)} combinations declared")
    return 0


def _try_webhook(config: Config) -> None:
    """Raise ConfigError when there is none, or its receiver does not take a message."""
    import asyncio

    from monitor.outputs.trial import try_receiver

    if not config.outputs.webhook.enabled:
        raise ConfigError("outputs.webhook: no address is set, so nothing can be sent")
    problem = asyncio.run(try_receiver(config.outputs))
    if problem:
        raise ConfigError(f"outputs.webhook: the receiver did not take the test message: {problem}")


def _check_files(config: Config) -> None:
    """Raise ConfigError, with a line for each, when files or packages that the configuration asks for cannot be used."""
    found = []
    for check in (
        _check_secrets,
        _check_written,
        _check_scoring,
        _check_baseline,
        _check_evidence,
        _check_suites,
        _check_proxy,
    ):
        for one in check(config):
            try:
                one()
            except ConfigError as error:
                found.append(str(error))
    if found:
        raise ConfigError("\n".join(dict.fromkeys(found)))


Checks = Iterator[Callable[[], object]]
"""Each raises ConfigError for a mistake of its own, so that all are named at once."""


def _check_secrets(config: Config) -> Checks:
    from monitor.config.secrets import read_secret, read_token

    for key in ("read_token_file", "evidence_token_file", "admin_token_file"):
        if token_file := getattr(config.admin, key):
            yield partial(read_token, token_file, f"admin.{key}")
    keys = (
        ("adapters", config.adapters.api_key_file, True),
        ("scoring.judge", config.scoring.judge.api_key_file, config.scoring.judge.endpoint is not None),
        ("shadow", config.shadow.api_key_file, config.shadow.enabled),
        ("probing", config.probing.api_key_file, config.probing.enabled),
    )
    for section, key_file, wanted in keys:
        if key_file and wanted:
            yield partial(read_secret, key_file, f"{section}.api_key_file")
    if config.outputs.webhook.enabled:
        from monitor.outputs.credentials import check_receiver

        yield partial(check_receiver, config.outputs.webhook)


def _check_written(config: Config) -> Checks:
    """Whether a file can be written depends on whose the service is; that its folder is missing does not."""
    files = (
        ("admin.audit_file", config.admin.audit_file),
        ("outputs.findings_file", config.outputs.findings_file),
        ("adapters.events_file", config.adapters.events_file),
    )
    for key, file in files:
        if file is not None:
            yield partial(_in_a_folder, key, file)
    if config.outputs.otel:
        yield partial(_installed, "outputs.otel", "opentelemetry.exporter.otlp.proto.http", "otel")


def _in_a_folder(key: str, file: Path) -> None:
    if not file.parent.is_dir():
        raise ConfigError(f"{key}: {file} cannot be written: there is no folder {file.parent}")
    if file.is_dir():
        raise ConfigError(f"{key}: {file} is a folder")


def _check_scoring(config: Config) -> Checks:
    if config.scoring.tier == "exact":
        for module in ("onnxruntime", "tokenizers"):
            yield partial(_installed, "scoring.tier: exact", module, "encoder")


def _check_suites(config: Config) -> Checks:
    if config.probing.enabled:
        from monitor.probes.shipped import load_suites
        from monitor.probes.suite import SuiteError

        def load() -> None:
            try:
                load_suites(config.probing.suites)
            except SuiteError as error:
                raise ConfigError(f"probing.suites: {error}") from error

        yield load


def _check_proxy(config: Config) -> Checks:
    from monitor.proxy.routes import Routes
    from monitor.tls import listen_context, upstream_context

    yield partial(Routes, config.proxy.routes)
    yield partial(listen_context, config.proxy)
    yield partial(upstream_context, config.proxy)


def _check_baseline(config: Config) -> Checks:
    """A baseline that is damaged or not signed as it must be stops the start; one that is void for what is served does not."""
    if config.drift.baseline_file is None:
        return
    from monitor.baseline import read_baseline
    from monitor.baseline.signature import check_signature

    file, public_key = config.drift.baseline_file, config.drift.baseline_public_key

    def read() -> None:
        baseline = read_baseline(file)
        if public_key:
            check_signature(baseline, public_key)

    yield read


def _check_evidence(config: Config) -> Checks:
    """What would be stored must be redacted, encrypted where that was asked for, and nobody else's to read. A folder that
    cannot be written does not stop the start: the monitoring goes on without examples."""
    section = config.evidence
    if not section.enabled or section.folder is None:
        return
    if not _is_installed("phonenumbers"):
        yield partial(_installed, "evidence.enabled", "phonenumbers", "evidence")
        return
    if section.key_file and not _is_installed("cryptography"):
        yield partial(_installed, "evidence.key_file", "cryptography", "evidence")
        return
    from monitor.evidence.folder import folder_problem
    from monitor.evidence.seal import read_keys

    def folder(place: Path) -> None:
        if problem := folder_problem(place):
            raise ConfigError(f"evidence.folder: {problem}")

    yield partial(read_keys, section.key_file)
    yield partial(folder, section.folder)


def _installed(key: str, module: str, extra: str) -> None:
    if not _is_installed(module):
        raise ConfigError(f"{key}: needs the extra `{extra}`: pip install 'vllm-alignment-monitor[{extra}]'")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _load(args: argparse.Namespace, flags: dict[tuple[str, str], Any]) -> Config:
    file = args.config or os.environ.get("ALIGNMENT_CONFIG")
    return load_config(Path(file) if file else None, os.environ, flags)


def _replay() -> Command:
    from monitor import replay

    def run(args: argparse.Namespace) -> int:
        try:
            return replay.run(args)
        except (replay.RecordingError, OSError) as error:
            return _fail(str(error), EXIT_USAGE)

    return Command(replay.add_arguments, run)


def _score() -> Command:
    from monitor.scoring import cli

    return Command(cli.add_score_arguments, cli.run_score)


def _scorer() -> Command:
    from monitor.scoring import cli

    return Command(cli.add_scorer_arguments, cli.run_scorer)


def _demo() -> Command:
    from monitor.demo import cli

    return Command(cli.add_arguments, cli.run)


def _status() -> Command:
    from monitor.status import cli

    return Command(cli.add_arguments, cli.run, EXIT_UNKNOWN)


def _registry() -> Command:
    from monitor.adapters import cli

    return Command(cli.add_arguments, cli.run)


def _probe() -> Command:
    from monitor.probes import cli

    return Command(cli.add_arguments, cli.run)


def _baseline() -> Command:
    from monitor.baseline import cli

    return Command(cli.add_arguments, cli.run)


def _evidence() -> Command:
    from monitor.evidence import cli

    return Command(cli.add_arguments, cli.run)


def _lab() -> Command:
    from monitor.lab import cli

    return Command(cli.add_arguments, cli.main)


def _child(kind: str) -> Callable[[], Command]:
    def load() -> Command:
        from monitor.children import add_arguments, run_child

        return Command(lambda parser: add_arguments(parser, kind), lambda args: run_child(kind, args))

    return load


COMMANDS: Final[dict[str, tuple[str, Callable[[], Command]]]] = {
    "serve": ("run the sidecar in front of a vLLM server", lambda: Command(_serve_arguments, _serve)),
    "demo": ("see a combination of two harmless-looking adapters lose its refusals", _demo),
    "status": ("say how a running sidecar's combinations are, with the exit code of a monitoring check", _status),
    "replay": ("run recorded exchanges through the same analysis, offline", _replay),
    "score": ("judge JSON lines of prompt and response", _score),
    "scorer": ("train and evaluate the scorer", _scorer),
    "registry": ("keep the registry of adapters and combinations, and look into adapters' weights", _registry),
    "probe": ("ask a running server the questions of a suite, and judge how a combination answers", _probe),
    "baseline": ("measure the base model once, and keep what combinations are held against", _baseline),
    "evidence": ("read and remove stored examples of a running sidecar", _evidence),
    "check-config": ("check a configuration file", lambda: Command(_check_arguments, _check)),
    "lab": ("build, serve and measure the lab's colluding adapters", _lab),
}
_CHILDREN: Final[dict[str, Callable[[], Command]]] = {"worker": _child("worker"), "analysis": _child("analysis")}
"""Started by the supervisor only."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in arguments if not word.startswith("-")), "")
    if chosen in _CHILDREN:
        return _run(_CHILDREN[chosen](), argparse.ArgumentParser(prog=f"alignment-monitor {chosen}"), arguments[1:])
    parser = Parser(
        prog="alignment-monitor",
        description="Runtime alignment monitoring for vLLM multi-LoRA servers.",
        epilog="Exit codes: 0 ok, 2 configuration or input, 3 port in use, 4 upstream required but not there.",
    )
    parser.add_argument("--version", action="version", version=f"alignment-monitor {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command: Command | None = None
    for name, (text, load) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
        if name == chosen:
            command = load()
            command.add_arguments(subparser)
            parser.exit_usage = subparser.exit_usage = command.exit_usage
    args = parser.parse_args(arguments)
    if command is None:
        parser.error(f"unknown command {args.command}")
    return _guarded(command, args)


def _run(command: Command, parser: argparse.ArgumentParser, arguments: Sequence[str]) -> int:
    command.add_arguments(parser)
    return _guarded(command, parser.parse_args(arguments))


def _guarded(command: Command, args: argparse.Namespace) -> int:
    try:
        code = command.run(args)
        sys.stdout.flush()
    except ConfigError as error:
        return _fail(str(error), command.exit_usage)
    except BrokenPipeError:
        # What is still buffered goes nowhere, so that the interpreter's own flush at its end does not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        return 130
    return code


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        print(f"alignment-monitor: {line}", file=sys.stderr)
    return code
