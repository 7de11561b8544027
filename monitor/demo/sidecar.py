"""The files that tell the demo's sidecar what is served and what must be refused, and the command that starts it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from monitor.demo.recordings import Header

POLL_INTERVAL_S = 2.0
"""Short, so that the rows appear at once."""
DRAIN_GRACE_S = 2.0
"""Short, so that Ctrl-C ends the demo at once."""

REPEAT_WINDOW_S = 1.0
"""Short, because the clients draw every question at random from the few recorded ones: here a question that comes again is no
sign of answers that belong together."""

SHADOW = {"enabled": True, "requests_per_s": 20.0, "tokens_per_s": 20_000.0, "concurrency": 4}
"""Replays with a wide budget: the server of the demo serves nobody else."""


def registry(header: Header) -> dict[str, Any]:
    """Which served names are combinations of which adapters, as a registry file says it."""
    combinations: list[dict[str, Any]] = []
    for served in header.served:
        if [(part.adapter, part.scale) for part in served.parts] in ([], [(served.name, 1.0)]):
            continue
        entry: dict[str, Any] = {
            "served_name": served.name,
            "parts": [{"adapter": part.adapter, "scale": part.scale} for part in served.parts],
        }
        if served.merge:
            entry["merge"] = served.merge
        combinations.append(entry)
    return {"base": header.base, "combinations": combinations}


def configuration(header: Header, registry_file: Path) -> dict[str, Any]:
    """The sidecar's configuration: registry, restricted topic, replays to the base and the parts, defaults for the rest."""
    return {
        "proxy": {"drain_grace_s": DRAIN_GRACE_S},
        "adapters": {"registry_file": str(registry_file), "poll_interval_s": POLL_INTERVAL_S},
        "drift": {"repeat_window_s": REPEAT_WINDOW_S},
        "shadow": dict(SHADOW),
        "scoring": {"restricted_topics": [{"name": header.topic.name, "keywords": list(header.topic.keywords)}]},
    }


def write_files(header: Header, folder: Path) -> Path:
    """Write registry and configuration; returns the configuration file."""
    registry_file = folder / "registry.yaml"
    registry_file.write_text(yaml.safe_dump(registry(header), sort_keys=False), encoding="utf-8")
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(configuration(header, registry_file), sort_keys=False), encoding="utf-8")
    return file


def serve_command(upstream: str, listen: str, admin: str, config: Path) -> list[str]:
    """The sidecar as a user would start it."""
    command = [sys.executable, "-m", "monitor", "serve", "--upstream", upstream, "--listen", listen]
    return [*command, "--admin", admin, "--config", str(config)]


def child_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment without the user's own ALIGNMENT_ settings, which are for a real sidecar."""
    return {name: value for name, value in environment.items() if not name.startswith("ALIGNMENT_")}
