"""The back half, for live and recorded exchanges alike."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.adapters import Catalog, Registry
from monitor.baseline.guard import BaselineGuard
from monitor.config import Config
from monitor.config.model import OutputsSection
from monitor.drift import DETECTORS, PairedDetector, RecentSamples
from monitor.outputs import FileOutput, Output
from monitor.pipeline import Pipeline
from monitor.scoring import build_scorer
from monitor.telemetry.metrics import Metrics


def build_pipeline(
    config: Config, registry: Registry, outputs: Sequence[Output], metrics: Metrics, *, live: bool = False
) -> tuple[Catalog, Pipeline]:
    """The catalog, and the pipeline before it. live: the exchanges may not wait for the encoder."""
    catalog = Catalog(registry, config.adapters.max_combinations, config.adapters.unload_grace_s)
    scorer = build_scorer(config.scoring, live=live)
    samples = RecentSamples(config.drift.repeat_window_s)
    detector, paired = DETECTORS["sequential"](config.drift), PairedDetector(config.drift)
    baseline = BaselineGuard(config.drift, scorer.name, scorer.version, scorer.risk_version, metrics.baseline)
    pipeline = Pipeline(catalog, scorer, detector, metrics, outputs, samples, paired, baseline)
    pipeline.drifts.check_baseline(0.0, always=True)
    return catalog, pipeline


def build_outputs(section: OutputsSection, metrics: Metrics) -> list[Output]:
    """Where findings go. Raises ImportError when OpenTelemetry is wanted without the extra `otel`."""
    outputs: list[Output] = []
    if section.findings_file:
        outputs.append(FileOutput(section.findings_file, section.findings_file_bytes, metrics.outputs.unwritten.inc))
    if section.otel:
        from monitor.outputs.otel import otlp_output  # only here: it takes 20 MB that most do not need

        outputs.append(otlp_output())
    return outputs
