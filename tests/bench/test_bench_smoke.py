"""The benchmark works, and what it sends through ours comes back right. Nothing here is about time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
pytestmark = pytest.mark.bench


def run(script: str, json_file: Path, *arguments: str) -> tuple[str, Any]:
    command = [sys.executable, str(HERE / script), *arguments, "--json", str(json_file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, json.loads(json_file.read_text())


def test_every_scenario_passes_through_ours_without_a_failure(tmp_path):
    said, results = run(
        "compare.py", tmp_path / "compare.json", "--proxies", "ours", "--rounds", "1", "--scale", "0.02"
    )
    assert set(results) == {"plain c=16", "plain c=1", "stream flat out c=16", "stream 64 x 50 tok/s"}
    for scenario, subjects in results.items():
        assert set(subjects) == {"direct", "ours"}, scenario
        for name, rounds in subjects.items():
            (measured,) = rounds
            assert measured["load"]["failures"] == 0, (scenario, name, measured["load"]["why"])
            assert measured["units"] > 0, (scenario, name)
        (ours,) = subjects["ours"]
        assert {"worker", "analysis", "all"} <= set(ours["cpu_us"]), scenario
        assert ours["monitored"]["sampled"] == ours["monitored"]["seen"] == ours["load"]["requests"], scenario
        assert scenario in said


def test_every_exchange_of_a_light_load_is_scored(tmp_path):
    _, figures = run("analysis_rate.py", tmp_path / "rate.json", "--rate", "20", "--seconds", "2")
    assert figures["failures"] == 0
    assert figures["sent"] == figures["seen"] == figures["sampled"] == figures["scored"] == 40
    assert figures["dropped"] == 0
