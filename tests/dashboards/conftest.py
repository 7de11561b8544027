"""The rule files, parsed, and the tools that judge them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from monitor.telemetry.metrics import Metrics
from monitor.telemetry.workers import WorkerMetrics

SUFFIXES = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
DASHBOARDS = Path(__file__).parents[2] / "dashboards"
OPTIONAL = {"alignment_baseline_void"}
"""Series of parts that add their metrics to the registry themselves, where they are configured."""


@pytest.fixture(scope="session")
def dashboards() -> Path:
    return DASHBOARDS


@pytest.fixture(scope="session")
def rule_file() -> Path:
    return DASHBOARDS / "rules" / "alignment.rules.yml"


@pytest.fixture(scope="session")
def rules(rule_file):
    """Every rule, recording and alerting, in the order of the file."""
    return [rule for group in yaml.safe_load(rule_file.read_text())["groups"] for rule in group["rules"]]


@pytest.fixture(scope="session")
def alerts(rules):
    return [rule for rule in rules if "alert" in rule]


@pytest.fixture(scope="session")
def metric_names() -> set[str]:
    """Every series name that the analysis process can export."""
    registry = CollectorRegistry()
    Metrics(registry, "0")
    WorkerMetrics(registry, (), ())
    return OPTIONAL | {f.name + suffix for f in registry.collect() for suffix in SUFFIXES.get(f.type, [""])}


@pytest.fixture(scope="session")
def find_program():
    """Path of a program of Debian's packages. Skips where it is not installed, never in CI."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            message = f"{name} is missing: apt-get install prometheus prometheus-alertmanager"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        return found

    return find


@pytest.fixture
def tool(find_program):
    """Run promtool or amtool; the output, or a failed test with it."""

    def run(*command: str | Path) -> str:
        find_program(str(command[0]))
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
