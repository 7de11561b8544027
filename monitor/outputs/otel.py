"""Findings as OpenTelemetry events, for those whose alerts live there.

The event is `gen_ai.evaluation.result` of the GenAI semantic conventions (still in development). No convention names
adapters yet, so what is ours stands under `alignment.`. Where it goes is configured by the standard OTEL_* variables.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from monitor.records import Finding

if TYPE_CHECKING:
    from opentelemetry.sdk._logs.export import LogRecordExporter

EVENT = "gen_ai.evaluation.result"


class OtelOutput:
    """Hands findings to an exporter in a thread of the SDK's; a slow or absent collector never holds the analysis up."""

    def __init__(self, exporter: LogRecordExporter) -> None:
        self._provider = LoggerProvider(Resource.create({"service.name": "alignment-monitor"}), shutdown_on_exit=False)
        self._provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        self._logger = self._provider.get_logger("alignment_monitor")

    def write(self, finding: Finding) -> None:
        """See Output."""
        self._logger.emit(
            LogRecord(
                timestamp=int(finding.time * 1e9),
                event_name=EVENT,
                severity_number=SeverityNumber.WARN if finding.began else SeverityNumber.INFO,
                attributes=attributes(finding),
            )
        )

    def close(self) -> None:
        """See Output."""
        self._provider.shutdown()


def attributes(finding: Finding) -> dict[str, str | float | int]:
    """A finding as event attributes; what is not known is left out."""
    state = finding.state
    found: dict[str, str | float | int] = {
        "gen_ai.evaluation.name": f"alignment.{finding.signal}",
        "gen_ai.evaluation.score.label": state.condition.value,
        "alignment.finding.id": finding.id,
        "alignment.combination": finding.combination,
        "alignment.combination.id": finding.combination_id,
        "alignment.combination.parts": ",".join(f"{part.adapter}@{part.scale:g}" for part in finding.parts),
        "alignment.common_cause": finding.common_cause,
        "alignment.samples": state.samples,
        "alignment.scorer": f"{finding.scorer}/{finding.scorer_version}",
    }
    numbers = {
        "gen_ai.evaluation.score.value": state.rate,
        "alignment.rate.lower": state.lower,
        "alignment.rate.upper": state.upper,
        "alignment.baseline.rate": state.baseline_rate,
        "alignment.threshold": state.threshold,
        "alignment.effect": state.effect,
        "alignment.effect.lower": state.effect_lower,
    }
    if finding.attribution is not None:
        found["alignment.attribution.cause"] = finding.attribution.cause.value
        found["alignment.attribution.explained_by"] = ",".join(finding.attribution.explained_by)
        found["alignment.attribution.missing"] = ",".join(finding.attribution.missing)
    return found | {name: value for name, value in numbers.items() if not math.isnan(value)}


def otlp_output() -> OtelOutput:
    """To the collector that the OTEL_EXPORTER_OTLP_* variables name. Raises ImportError without the extra `otel`."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    return OtelOutput(OTLPLogExporter())
