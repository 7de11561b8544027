"""Write the dashboards as JSON, for Grafana 11.6 and later.

python dashboards/grafana/generate.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from board_adapters import adapters
from board_combination import combination
from board_fleet import fleet
from board_pairs import pairs
from board_sidecar import sidecar
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from panels import SIDECARS, SOURCE

FOLDER = Path(__file__).parent / "json"
BOARDS = (fleet, combination, pairs, adapters, sidecar)
ANNOTATIONS = (
    (
        "Changes of what is loaded",
        f"max by (event, instance) (alignment_adapter_last_event_timestamp_seconds{{{SIDECARS}}} > 0) * 1000",
        "{{event}}",
        "{{instance}}",
    ),
    (
        "Drifts that began",
        f"alignment_drift_since_timestamp_seconds{{{SIDECARS}}} * 1000"
        f' and on (job, instance, combination, signal) (alignment_drift_condition{{{SIDECARS},condition="drifting"}} == 1)',
        "{{combination}}: {{signal}}",
        "{{instance}}",
    ),
)
"""Name, query whose value is a time in milliseconds, title, text. The library's type of an annotation has no fields for the last
two, nor for the use of the value as the time, so these are added to what it writes."""


def annotations() -> list[dict[str, Any]]:
    """The marks on every curve."""
    return [
        {
            "name": name,
            "datasource": SOURCE.to_json(),
            "enable": True,
            "hide": False,
            "iconColor": "#CC79A7",
            "expr": expr,
            "titleFormat": title,
            "textFormat": text,
            "useValueForTime": "on",
            "step": "60s",
        }
        for name, expr, title, text in ANNOTATIONS
    ]


def documents() -> Iterator[tuple[str, str]]:
    """Name and text of every file."""
    for make in BOARDS:
        built: dict[str, Any] = json.loads(json.dumps(make().build(), cls=JSONEncoder))
        built["annotations"] = {"list": annotations()}
        for variable in built["templating"]["list"]:
            if variable["type"] == "datasource":
                variable["current"] = {}  # whatever Prometheus there is, and none of ours
        yield f"{built['uid']}.json", json.dumps(built, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in documents():
        (FOLDER / name).write_text(text)
