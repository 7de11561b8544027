"""One measurement: a job against one subject, with what it cost the subject's processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import proctree
from loadgen import Job
from prometheus_client.parser import text_string_to_metric_families
from subjects import Subject

HERE = Path(__file__).resolve().parent
_COUNTED = ("seen", "sampled", "scored", "unscored", "skipped", "dropped")
_STEADY_S = 2.1
_TIERS = "alignment_verdict_tiers_total"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True, slots=True)
class Measured:
    """What the load generator saw, and what the subject spent."""

    load: dict[str, Any]
    """The load generator's result."""
    units: int
    """Requests, or SSE events of right answers."""
    cpu_us: dict[str, float]
    """CPU microseconds per unit by role, and under `all`; empty for the server itself."""
    memory: dict[str, proctree.Memory]
    settled: bool
    """The subject had caught up with its own work at the end."""
    monitored: dict[str, float]
    """Ours: exchanges seen, sampled, scored, unscored, skipped and dropped by the monitor."""

    def as_json(self) -> dict[str, Any]:
        memory = {name: {"rss_mib": each.rss, "pss_mib": each.pss} for name, each in self.memory.items()}
        plain = {name: getattr(self, name) for name in ("load", "units", "cpu_us", "settled", "monitored")}
        return {**plain, "memory": memory}


class Load:
    """A load generator process: warmed up when made, runs its job when told."""

    def __init__(self, job: Job) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "loadgen.py"), job.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._expect("ready")

    def run(self) -> dict[str, Any]:
        """Let the job run, and wait for its result."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        result: dict[str, Any] = json.loads(self._expect("{"))
        self._process.communicate(timeout=30)
        return result

    def _expect(self, start: str) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith(start):
            raise SystemExit(f"the load generator ended with {self._process.wait(10)}")
        return line


def measure(subject: Subject, job: Job, per_event: bool) -> Measured:
    """Run the job against the subject, and wait until the subject has done the work that it put off."""
    requests = max(job.concurrency, round(job.requests * subject.effort))
    job = replace(job, port=subject.port, rewrites=subject.rewrites, requests=requests)
    load = Load(job)
    if subject.pid:
        proctree.settle(subject.pid)
    counted = monitor_counts(subject)
    before = proctree.cpu_seconds(subject.pid) if subject.pid else {}
    result = load.run()
    settled = proctree.settle(subject.pid) if subject.pid else True
    after = proctree.cpu_seconds(subject.pid) if subject.pid else {}
    units = result["events"] if per_event else result["requests"] - result["failures"]
    cpu = {role: (spent - before.get(role, 0.0)) * 1e6 / max(1, units) for role, spent in after.items()}
    if cpu:
        cpu["all"] = sum(cpu.values())
    now = monitor_counts(subject)
    monitored = {name: now[name] - counted[name] for name in now}
    resident = proctree.memory(subject.pid) if subject.pid else {}
    return Measured(result, units, cpu, resident, settled, monitored)


def scrape(subject: Subject) -> Samples:
    """All samples of ours' /metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{subject.admin}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (each.name, tuple(sorted(each.labels.items()))): each.value
            for family in families
            for each in family.samples
        }


def total(samples: Samples, name: str) -> float:
    """Sum of a metric over its labels."""
    return sum(value for (each, _), value in samples.items() if each == name)


def by_reason(samples: Samples, what: str) -> dict[str, float]:
    """Reason -> exchanges that were `unscored` or `dropped` for it."""
    found: dict[str, float] = {}
    for (each, labels), value in samples.items():
        if each == f"alignment_exchanges_{what}_total":
            reason = dict(labels)["reason"]
            found[reason] = found.get(reason, 0.0) + value
    return found


def by_tier(samples: Samples) -> dict[str, float]:
    """Tier -> answers that it has decided about."""
    return {dict(labels)["tier"]: value for (each, labels), value in samples.items() if each == _TIERS}


def monitor_counts(subject: Subject, limit_s: float = 30.0) -> dict[str, float]:
    """How many exchanges ours has seen, sampled, scored, left unscored, skipped and dropped so far; empty for other subjects.

    Its workers report once a second, so this waits until two reports have changed nothing.
    """
    if not subject.admin:
        return {}
    deadline = time.monotonic() + limit_s
    counts, since = _counts(subject), time.monotonic()
    while time.monotonic() < min(deadline, since + _STEADY_S):
        time.sleep(0.2)
        now = _counts(subject)
        if now != counts:
            counts, since = now, time.monotonic()
    return counts


def _counts(subject: Subject) -> dict[str, float]:
    samples = scrape(subject)
    return {name: total(samples, f"alignment_exchanges_{name}_total") for name in _COUNTED}
