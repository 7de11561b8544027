"""`alignment-monitor score` and `alignment-monitor scorer`: the scorer from the command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from monitor.config import ConfigError, load_config
from monitor.scoring import SCORERS, Scorer, WeightsError
from monitor.scoring.lines import LineError, parse_line, verdict_fields

_READ_BYTES = 256 * 1024
"""Bytes read at once; a read returns what is there, so a slow writer gets its answer line by line."""


def add_score_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `score`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file, for its restricted topics")
    parser.add_argument("--tier", choices=sorted(SCORERS), help="default: as in the configuration, else auto")


def run_score(args: argparse.Namespace) -> int:
    """Score standard input line by line; 1 when a line could not be scored, 2 when nothing could be."""
    try:
        section = load_config(args.config, os.environ).scoring
        scorer = SCORERS[args.tier or section.tier](section)
    except (ConfigError, WeightsError) as error:
        print(error, file=sys.stderr)
        return 2
    failed = False
    number = 0
    try:
        for lines in _available_lines(sys.stdin.fileno()):
            results = _score_lines(scorer, lines, number)
            number += len(lines)
            failed = failed or any("error" in result for result in results)
            sys.stdout.write("".join(f"{json.dumps(result)}\n" for result in results))
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone; without this the interpreter's own flush at exit would raise once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(failed)


def add_scorer_arguments(parser: argparse.ArgumentParser) -> None:
    """Sub-commands of `scorer`."""
    commands = parser.add_subparsers(dest="scorer_command", required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="fit weights on labelled answers: a tier's, or those of prompt risk")
    train.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of labelled JSON lines")
    train.add_argument("--tier", choices=("fast", "exact", "risk"), default="fast", help="default: %(default)s")
    train.add_argument(
        "--output", type=Path, metavar="PATH", help="default: linear.npz (fast), the folder minilm (exact), risk.npz"
    )
    train.add_argument(
        "--head-of", type=Path, metavar="DIR", help="trained encoder: fit its last layer and the calibration anew"
    )
    train.add_argument(
        "--linear", type=Path, metavar="FILE", help="linear weights beside the encoder; default: the shipped ones"
    )
    evaluate = commands.add_parser("evaluate", help="say how good weights are on labelled answers")
    evaluate.add_argument(
        "--data", type=Path, required=True, nargs="+", metavar="FILE", help="labelled JSON lines, or their folder"
    )
    evaluate.add_argument(
        "--tier",
        choices=(*sorted(SCORERS), "risk"),
        default="auto",
        help="default: %(default)s; risk: what prompt risk makes of the prompts (--data may be a suite)",
    )
    evaluate.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights of the fast tier, or of risk; default: the shipped ones"
    )
    evaluate.add_argument("--encoder", type=Path, metavar="DIR", help="encoder's folder; default: the shipped one")
    evaluate.add_argument("--curve", type=Path, metavar="FILE", help="draw the calibration curve into this SVG file")
    evaluate.add_argument("--fold", choices=("valid", "train", "all"), default="all", help="default: %(default)s")
    evaluate.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    evaluate.add_argument(
        "--leave-one-source-out",
        action="store_true",
        help="train without each source, judge on it: the linear model, or with --base both",
    )
    evaluate.add_argument("--source", nargs="+", help="with --leave-one-source-out and --base: only these sources")
    for command in (train, evaluate):
        command.add_argument(
            "--base",
            type=Path,
            metavar="DIR",
            help="published MiniLM (model.safetensors, tokenizer.json): train the encoder from it",
        )
        command.add_argument(
            "--draws", type=int, default=26_000, help="training rows drawn for the encoder (default: %(default)s)"
        )
        command.add_argument("--seed", type=int, default=20, help="seed of the augmentation (default: %(default)s)")


def run_scorer(args: argparse.Namespace) -> int:
    """Train or evaluate; only here is scikit-learn imported, since scoring itself must start fast and stay small."""
    from monitor.scoring.training import cli

    return cli.train(args) if args.scorer_command == "train" else cli.judge(args)


def _available_lines(descriptor: int) -> Iterator[list[bytes]]:
    """Whole lines, as many as have come; the last one need not end with a newline."""
    rest: list[bytes] = []
    while data := os.read(descriptor, _READ_BYTES):
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            yield b"".join([*rest, head]).split(b"\n")
            rest = []
        rest.append(tail)
    if last := b"".join(rest):
        yield [last]


def _score_lines(scorer: Scorer, lines: Sequence[bytes], before: int) -> list[dict[str, Any]]:
    """One result per line that is not blank, in order; `before` lines came earlier."""
    results: list[dict[str, Any]] = []
    waiting, extras, items = [], [], []
    for number, line in enumerate(lines, before + 1):
        if not line.strip():
            continue
        try:
            request = parse_line(line)
        except LineError as error:
            results.append({"error": str(error), "line": number})
            continue
        waiting.append(len(results))
        extras.append(request.extra)
        items.append(request.item)
        results.append({})
    for place, extra, verdict in zip(waiting, extras, scorer.score(items), strict=True):
        results[place] = extra | verdict_fields(verdict)
    return results
