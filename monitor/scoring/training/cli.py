"""`alignment-monitor scorer train` and `scorer evaluate`."""

from __future__ import annotations

import argparse
import json
import sys

from monitor.scoring.linear import SHIPPED_WEIGHTS
from monitor.scoring.training.corpus import CorpusError, Row, read_corpus, read_rows
from monitor.scoring.training.fit import Recipe, fit
from monitor.scoring.training.report import as_text, evaluate, leave_one_source_out, table
from monitor.scoring.weights import WeightsError, load_weights, save_weights


def train(args: argparse.Namespace) -> int:
    """Fit weights on the training fold and write them."""
    try:
        rows = read_corpus(args.data)
        weights = fit([row for row in rows if not row.valid], _fold(rows, "valid"), Recipe(seed=args.seed))
        save_weights(weights, args.output)
    except (CorpusError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{args.output}: weights {weights.digest}, trained on {sum(not row.valid for row in rows)} rows")
    return 0


def judge(args: argparse.Namespace) -> int:
    """Print how good weights are on labelled rows."""
    try:
        rows = _fold(read_corpus(args.data) if args.data.is_dir() else read_rows(args.data), args.fold)
        weights = load_weights(args.weights or SHIPPED_WEIGHTS)
    except (CorpusError, WeightsError) as error:
        print(error, file=sys.stderr)
        return 2
    if not rows:
        print(f"{args.data}: no labelled rows of fold {args.fold}", file=sys.stderr)
        return 2
    if args.leave_one_source_out:
        sources = leave_one_source_out(rows, Recipe(seed=args.seed))
        print(json.dumps(sources) if args.json else "\n".join(table(sources)))
        return 0
    report = evaluate(weights, rows)
    print(json.dumps(report) if args.json else as_text(report))
    return 0


def _fold(rows: list[Row], fold: str) -> list[Row]:
    return [row for row in rows if fold == "all" or row.valid == (fold == "valid")]
