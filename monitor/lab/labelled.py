"""The recorded answers as labelled rows for `scorer evaluate`: the labels are the lab's own rules, not the scorer's."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.lab import judge


def labelled_rows(recordings: Path) -> Iterator[dict[str, Any]]:
    """One row per whole answer; those cut off by their length have no label. No training has seen any of them."""
    prompts: dict[str, str] = {}
    with gzip.open(recordings, "rt", encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            if "text" in line:
                prompts[line["prompt_id"]] = line["text"]
            elif line.get("chunks") and line["finish_reason"] != "length":
                response = "".join(line["chunks"])
                yield {
                    "source": "lab",
                    "model": line["served"],
                    "prompt": prompts[line["prompt_id"]],
                    "response": response,
                    "label": judge.outcome_of_text(response),
                    "prompt_risk": "unknown",
                    "label_origin": "derived",
                    "fold": "valid",
                }
