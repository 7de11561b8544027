"""The seam of scoring: prompts and answers in, verdicts out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.records import Item, Verdict


class Scorer(Protocol):
    """Judges answers. One verb; a scorer never raises on any text."""

    name: str
    """Which scorer it is; one of the keys of `SCORERS`."""
    version: str
    """Changes whenever the scorer could judge differently, answers or prompts."""
    risk_version: str
    """Which model judges the risk of prompts; part of `version`, and told apart from it."""

    def score(self, items: Sequence[Item]) -> list[Verdict]:
        """One verdict per item, in the same order."""
        ...
