from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.outputs import FileOutput, finding_line
from monitor.records import Condition, DriftState, Finding, Part


def finding(began: bool = True) -> Finding:
    state = DriftState("a+b", "refusal_lost", Condition.DRIFTING, 40, 38, 0.95, 0.7, 0.99, math.nan, 0, 0.2, 1000.0)
    return Finding(
        "a+b", "0123456789ab", "refusal_lost", began, 1234.5, state, "linear", "abc", (Part("a"), Part("b", 0.5)),
        id="f1", resolution="" if began else "recovered",
    )  # fmt: skip


class Losses:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def test_a_line_has_names_and_numbers_and_null_for_what_is_not_known() -> None:
    line = finding_line(finding())
    assert line.endswith("}\n")
    assert json.loads(line) == {
        "time": 1234.5, "event": "drift_began", "id": "f1", "combination": "a+b", "combination_id": "0123456789ab",
        "parts": [{"adapter": "a", "scale": 1.0}, {"adapter": "b", "scale": 0.5}], "signal": "refusal_lost",
        "condition": "drifting", "samples": 40, "bad": 38, "rate": 0.95, "lower": 0.7, "upper": 0.99, "baseline_rate": None,
        "baseline_samples": 0, "threshold": 0.2, "since": 1000.0, "common_cause": False, "attribution": None,
        "scorer": "linear", "scorer_version": "abc",
        "evidence_log": None, "evidence_needed_log": None, "effect": None, "effect_lower": None, "effect_upper": None,
        "extras": {},
    }  # fmt: skip
    ended = json.loads(finding_line(finding(began=False)))
    assert (ended["event"], ended["id"], ended["resolution"]) == ("drift_ended", "f1", "recovered")


def test_lines_are_appended(tmp_path: Path) -> None:
    file = tmp_path / "findings.jsonl"
    for began in (True, False):
        FileOutput(file, 10_000, Losses()).write(finding(began))
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == ["drift_began", "drift_ended"]


def test_the_file_is_bounded(tmp_path: Path) -> None:
    output = FileOutput(tmp_path / "f", 2000, Losses())
    for _ in range(50):
        output.write(finding())
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) <= 2
    assert sum(sizes) < 2 * (2000 + len(finding_line(finding())))


def test_what_cannot_be_written_is_counted_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lost = Losses()
    folder = tmp_path / "later"
    output = FileOutput(folder / "f", 1000, lost)
    for _ in range(3):
        output.write(finding())
    assert (lost.count, len(caplog.records)) == (3, 1)
    folder.mkdir()
    output.write(finding())
    assert (lost.count, len((folder / "f").read_text().splitlines())) == (3, 1)


def test_a_reader_that_is_gone_is_no_failure() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_lines import finding; from monitor.outputs import StreamOutput;"
        "output = StreamOutput(sys.stdout); [output.write(finding()) for _ in range(3)]; sys.exit(7 if output.broken else 8)"
    )
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-c", program, str(Path(__file__).parent)]
    result = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(write_end)
    assert (result.returncode, result.stderr) == (7, b"")
