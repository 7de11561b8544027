"""Prints the metrics reference from the live registry, so that the page cannot fall behind the code.

python -m monitor.telemetry.reference > monitor/telemetry/METRICS.md
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor import __version__
from monitor.telemetry.metrics import Metrics
from monitor.telemetry.workers import WorkerMetrics

_HEAD: Final = """# Metrics reference

Written by `python -m monitor.telemetry.reference` from the live registry; a test holds it to that. All are served on
`/metrics` of the admin port. A label `combination` holds a combination's name as `alignment_combination_info` maps it to
its parts, `other` beyond the cap, or `unlisted` for answers of a model that the server does not list. A value that is not
known has no series: absent is not zero.
"""


def reference() -> str:
    """The whole page."""
    rows = sorted(_rows())
    table = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    return "\n".join([_HEAD, *table, *rows]) + "\n"


def _rows() -> list[str]:
    registry = _Registry()
    Metrics(registry, __version__)
    WorkerMetrics(registry, (), ())
    rows = []
    for collector in registry.collectors:
        if isinstance(collector, MetricWrapperBase):
            rows += [_row(metric, list(collector._labelnames)) for metric in collector.describe()]
        elif isinstance(collector, WorkerMetrics):
            rows += [_row(metric, collector.labels[metric.name]) for metric in collector.collect()]
    return rows


class _Registry(CollectorRegistry):
    """Keeps what was registered, for its label names: an empty metric exports none."""

    def __init__(self) -> None:
        super().__init__()
        self.collectors: list[Collector] = []

    def register(self, collector: Collector) -> None:
        """prometheus-client: called by every metric."""
        super().register(collector)
        self.collectors.append(collector)


def _row(metric: Metric, labels: list[str]) -> str:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    return f"| `{name}` | {metric.type} | {', '.join(labels) or '–'} | {metric.documentation} |"


if __name__ == "__main__":
    print(reference(), end="")
