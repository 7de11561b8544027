"""The committed dashboards, read for the tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).parents[2] / "dashboards" / "grafana"
FILES = sorted((GRAFANA / "json").glob("*.json"))
BOARDS: dict[str, dict[str, Any]] = {file.stem: json.loads(file.read_text()) for file in FILES}


@dataclass(frozen=True)
class Query:
    """One query of a panel, an annotation or a variable."""

    board: str
    where: str
    """Title of the panel, name of the annotation or variable."""
    letter: str
    expr: str
    instant: bool

    @property
    def name(self) -> str:
        return f"{self.board}: {self.where} {self.letter}".strip()


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """All panels but the rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    """Every query of every panel and annotation."""
    for uid, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield Query(uid, panel["title"], target["refId"], target["expr"], target.get("instant", False))
        for annotation in board["annotations"]["list"]:
            yield Query(uid, annotation["name"], "annotation", annotation["expr"], instant=False)


def variables(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By name, in order."""
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def filled(text: str, values: dict[str, str]) -> str:
    """A text with its variables in, as Grafana does it."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values.get(found[1] or found[2], found[0]), text)
