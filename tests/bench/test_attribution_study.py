"""The study runs, and says of plain cases what they are."""

from __future__ import annotations

import numpy as np
import pytest
from attribution_study import CASES, rows_of, run

from monitor.config.model import DriftSection

pytestmark = pytest.mark.bench

SECTION = DriftSection(average_run_length=1e4)


def test_every_case_has_a_line_whose_shares_are_all_its_streams():
    for case in CASES:
        rows = rows_of(case, 2, SECTION, 20)
        assert rows[0][0].startswith(case.truth)
        assert sum(float(row[2].rstrip("%")) for row in rows) == pytest.approx(100)


@pytest.mark.parametrize(("truth", "said"), [("collusion", "collusion"), ("erosion by a", "erosion a")])
def test_what_is_plain_is_said(truth: str, said: str):
    case = next(one for one in CASES if one.truth == truth)
    found, since = run(case, np.random.default_rng(1), SECTION, 250)
    assert found == said
    assert 10 <= since <= 250
