"""`alignment-monitor scorer train` and `scorer evaluate`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from monitor.config.model import ScoringSection
from monitor.scoring.arrays import save_arrays
from monitor.scoring.encoder import SHIPPED_ENCODER
from monitor.scoring.interface import Scorer
from monitor.scoring.linear import SHIPPED_WEIGHTS
from monitor.scoring.risk import SHIPPED_RISK, load_risk
from monitor.scoring.tiers import build_auto, build_exact, build_fast
from monitor.scoring.training.categories import CategoryRecipe, category_lines, telling_words
from monitor.scoring.training.corpus import CorpusError, Row, read_corpus, read_rows
from monitor.scoring.training.curve import calibration_curve
from monitor.scoring.training.fit import Recipe, fit
from monitor.scoring.training.questions import questions
from monitor.scoring.training.report import as_text, evaluate, leave_one_source_out, sources_of, table
from monitor.scoring.training.risk import RiskRecipe, fit_risk
from monitor.scoring.training.risk_report import (
    labelled_prompts,
    read_questions,
    risk_report,
    risk_text,
    threshold_table,
)
from monitor.scoring.weights import WeightsError, save_weights


def train(args: argparse.Namespace) -> int:
    """Fit a tier's weights on the training fold and write them."""
    try:
        rows = read_corpus(args.data)
        line = {"exact": _train_exact, "fast": _train_fast, "risk": _train_risk}[args.tier](args, rows)
    except (CorpusError, WeightsError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{line}, trained on {sum(not row.valid for row in rows)} rows")
    return 0


def _train_fast(args: argparse.Namespace, rows: list[Row]) -> str:
    output = args.output or Path("linear.npz")
    weights = fit(_fold(rows, "train"), _fold(rows, "valid"), Recipe(seed=args.seed))
    save_weights(weights, output)
    return f"{output}: weights {weights.digest}"


def _train_risk(args: argparse.Namespace, rows: list[Row]) -> str:
    """Prompt risk and hazard categories, with what cross-fitting says of their thresholds."""
    output = args.output or Path("risk.npz")
    recipe = RiskRecipe(seed=args.seed, categories=CategoryRecipe(seed=args.seed))
    fitted = fit_risk(rows, questions(args.seed), telling_words(), recipe)
    save_arrays(fitted.weights, output)
    print("\n".join([*threshold_table(fitted), *category_lines(fitted.categories)]))
    return f"{output}: prompt risk {fitted.weights.digest}"


def _train_exact(args: argparse.Namespace, rows: list[Row]) -> str:
    """The shipped linear weights stand beside the encoder; the calibration weighs the two."""
    if (args.base is None) == (args.head_of is None):
        raise WeightsError(
            "--tier exact needs either --base, the folder of the published MiniLM, or --head-of, a trained encoder's"
        )
    try:
        from monitor.scoring.training.encoder_train import refit_head, train_encoder
    except ImportError as error:
        raise WeightsError(
            f"training the encoder needs {error.name}: install the extras `lab` and `encoder`"
        ) from error
    output = args.output or Path("minilm")
    linear = args.linear or SHIPPED_WEIGHTS
    if args.base is None:
        digest = refit_head(rows, args.head_of, output, seed=args.seed, linear=linear)
    else:
        digest = train_encoder(rows, args.base, output, seed=args.seed, draws=args.draws, linear=linear)
    return f"{output}: encoder {digest}"


def judge(args: argparse.Namespace) -> int:
    """Print how good a tier is on labelled rows."""
    if args.tier == "risk":
        return _judge_prompts(args)
    try:
        every = [row for one in args.data for row in (read_corpus(one) if one.is_dir() else read_rows(one))]
        rows = _fold(every, args.fold)
        scorer = _scorer(args)
    except (CorpusError, WeightsError) as error:
        print(error, file=sys.stderr)
        return 2
    if not rows:
        print(f"{', '.join(map(str, args.data))}: no labelled rows of fold {args.fold}", file=sys.stderr)
        return 2
    if args.leave_one_source_out:
        try:
            sources = _sources_left_out(args, rows)
        except WeightsError as error:
            print(error, file=sys.stderr)
            return 2
        print(json.dumps(sources) if args.json else "\n".join(table(sources)))
        return 0
    report = evaluate(scorer, rows)
    if args.curve:
        args.curve.write_text(
            calibration_curve(report["calibration"], f"{scorer.name} {scorer.version}"), encoding="utf-8"
        )
    print(json.dumps(report) if args.json else as_text(report))
    return 0


def _judge_prompts(args: argparse.Namespace) -> int:
    """Print what prompt risk makes of labelled prompts (a folder's) and of files of questions."""
    try:
        tried = [
            question
            for one in args.data
            for question in (
                labelled_prompts(_fold(read_corpus(one), args.fold)) if one.is_dir() else read_questions(one)
            )
        ]
        report = risk_report(load_risk(args.weights or SHIPPED_RISK), tried)
    except (CorpusError, WeightsError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(report) if args.json else risk_text(report))
    return 0


def _sources_left_out(args: argparse.Namespace, rows: list[Row]) -> dict[str, Any]:
    """Every source with scores of the linear model, or with --base the named ones with those of both."""
    if args.base is None:
        return leave_one_source_out(rows, Recipe(seed=args.seed))
    try:
        from monitor.scoring.training.encoder_train import without_source
    except ImportError as error:
        raise WeightsError(
            f"training the encoder needs {error.name}: install the extras `lab` and `encoder`"
        ) from error
    known = sources_of(rows)
    wanted = args.source or known
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise WeightsError(f"no such source: {', '.join(unknown)}; there are {', '.join(known)}")
    return {one: without_source(rows, one, args.base, seed=args.seed, draws=args.draws) for one in wanted}


def _scorer(args: argparse.Namespace) -> Scorer:
    section = ScoringSection()
    weights, encoder = args.weights or SHIPPED_WEIGHTS, args.encoder or SHIPPED_ENCODER
    if args.tier == "fast":
        return build_fast(section, weights)
    return build_exact(section, weights, encoder) if args.tier == "exact" else build_auto(section, weights, encoder)


def _fold(rows: list[Row], fold: str) -> list[Row]:
    return [row for row in rows if fold == "all" or row.valid == (fold == "valid")]
