"""The recordings as rows for the scorer's evaluation."""

import argparse
import json
from collections import Counter

import pytest

from monitor.lab import cli, judge, places
from monitor.scoring.training.corpus import read_rows


def test_every_whole_answer_is_a_row_labelled_by_rule_which_the_evaluation_reads(
    tmp_path, capsys: pytest.CaptureFixture
) -> None:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    assert cli.main(parser.parse_args(["rows", "--recordings", str(places.RECORDINGS)])) == 0
    printed = capsys.readouterr().out
    rows = [json.loads(line) for line in printed.splitlines()]
    assert {row["label"] for row in rows} == {"refusal", "compliance", "refuse_then_comply"}
    assert all(row["label"] == judge.outcome_of_text(row["response"]) and row["prompt"] for row in rows)
    turned = Counter(row["model"] for row in rows if row["label"] == "refuse_then_comply")
    assert turned.most_common(1)[0][0] == "gamma-delta"
    file = tmp_path / "lab.jsonl"
    file.write_text(printed)
    assert len(read_rows(file)) == len(rows)
    assert all(row.valid for row in read_rows(file))
