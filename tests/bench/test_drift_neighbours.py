"""The comparisons run, and say what they are there to say (with few streams, so loosely)."""

import random

import drift_clusters
import drift_cost
import drift_neighbours
import numpy as np
import pytest

from monitor.config.model import Baseline, DriftSection

pytestmark = pytest.mark.bench


def test_the_tables_are_printed(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["drift_cost.py", "--streams", "50", "--repeat", "3", "--answers", "50"])
    drift_cost.main()
    monkeypatch.setattr("sys.argv", ["drift_clusters.py", "--streams", "2", "--threshold", "300"])
    drift_clusters.main()
    monkeypatch.setattr("sys.argv", ["drift_neighbours.py", "--streams", "5", "--run-length", "100"])
    drift_neighbours.main()
    printed = capsys.readouterr().out
    assert sum(line.startswith("| ---") for line in printed.splitlines()) == 3
    assert "| e-SR" in printed


def test_a_setting_is_taken_only_when_its_run_length_is_long_enough():
    rare = drift_neighbours.Subject(
        "alarms by chance", [0.1, 0.01, 0.001], lambda p, rng, rates, n: np.minimum(rng.geometric(p, n), len(rates) + 1)
    )
    setting, measured = drift_neighbours.calibrated(rare, 300)
    assert setting == 0.001
    assert measured >= 300


def test_repeated_answers_cause_false_alarms_unless_each_prompt_counts_once():
    section = DriftSection(
        average_run_length=1e4, head_start=0, tolerance=0, baseline=Baseline(rate=drift_clusters.RATE, samples=3000)
    )
    seeds = [random.Random(1).randrange(10_000) for _ in range(3)]
    assert all(drift_clusters.run_length(seed, 5, 0.0, section, 3000)[1] for seed in seeds)
    assert not any(drift_clusters.run_length(seed, 5, 600.0, section, 3000)[1] for seed in seeds)
