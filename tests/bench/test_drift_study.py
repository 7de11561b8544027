"""The study runs, and its tables say what the design promises (with few streams, so loosely)."""

import drift_study
import numpy as np
import pytest

pytestmark = pytest.mark.bench


def test_the_study_prints_its_tables(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["drift_study.py", "--streams", "20", "--threshold", "200"])
    drift_study.main()
    printed = capsys.readouterr().out
    assert sum(line.startswith("| ---") for line in printed.splitlines()) == 5
    assert "e-SR, paired, every prompt" in printed


def test_a_change_of_the_mix_alone_misleads_the_unpaired_evidence_and_not_the_paired():
    harder = np.where(np.arange(1000) < 100, 0.03, 0.3)
    pairs = drift_study.paired(np.random.default_rng(3), harder, harder, 1000, 200, 1e4)
    alone = drift_study.unpaired(np.random.default_rng(4), 0.03, 0.3, 1000, 200, 1e4)
    assert (pairs <= 1000).mean() <= 0.06
    assert (alone <= 1000).mean() > 0.9


def test_a_change_on_pairs_is_found_within_the_stated_number_where_the_base_fails_anywhere():
    """With all bets counted alike it takes 80 and more."""
    before = np.full(300, 0.03)
    found = [
        np.median(drift_study.paired(np.random.default_rng(seed), before, np.full(300, 0.2), 300, 1000, 1e4))
        for seed in (7, 8, 9)
    ]
    assert np.mean(found) <= 77
    assert np.median(drift_study.paired(np.random.default_rng(3), before, np.full(300, 0.5), 300, 500, 1e4)) <= 23


def test_colluding_parts_are_found_soon_and_one_bad_part_is_not_taken_for_it():
    rng = np.random.default_rng(1)
    assert np.median(drift_study.colluding(rng, (0.03, 0.03), 0.5, 300, 100, 1e4)) <= 60
    assert (drift_study.colluding(rng, (0.5, 0.03), 0.5, 1000, 100, 1e4) <= 1000).mean() <= 0.06
