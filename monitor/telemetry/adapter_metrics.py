"""Whether the server's list of models can be read, what is loaded, what became of it, and how far it may be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from monitor.records import RESERVED_NAMES
from monitor.telemetry.series import PerCombination, Series


class DiscoveryMetrics:
    """Whether the server's list of models can be read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge("alignment_discovery_up", "1 when the latest look at /v1/models succeeded.", registry=registry)
        self.last_success = Gauge(
            "alignment_discovery_last_success_timestamp_seconds",
            "When /v1/models was last read.",
            registry=registry,
        )
        self.reserved = Series(
            Gauge(
                "alignment_adapter_name_reserved",
                "1 for a listed adapter whose name vLLM also takes for a kind of content: it answers for the base model.",
                ["name"],
                registry=registry,
            )
        )

    def show_reserved(self, names: Sequence[str]) -> None:
        """Export the listed adapters that have such names, and no others."""
        for name in RESERVED_NAMES:
            if name in names:
                self.reserved(name).set(1)
            else:
                self.reserved.drop(name)


class AdapterMetrics(PerCombination):
    """What is loaded, what became of it, and how far it may be trusted."""

    def __init__(self, registry: CollectorRegistry, events: Iterable[str]) -> None:
        super().__init__()
        self._events = Counter(
            "alignment_adapter_events", "Changes of what the server has loaded.", ["event"], registry=registry
        )
        self._latest = Gauge(
            "alignment_adapter_last_event_timestamp_seconds",
            "When the latest such change was noticed.",
            ["event"],
            registry=registry,
        )
        self._undigested = Gauge(
            "alignment_adapters_undigested",
            "Served names, the base included, whose files cannot be read for a digest.",
            registry=registry,
        )
        self._contents = self._keep(
            Gauge(
                "alignment_adapter_info",
                "Contents behind a combination: the first 12 digits of the SHA-256 of its files, or `undigested`; always 1.",
                ["combination", "digest"],
                registry=registry,
            )
        )
        self._status = self._keep(
            Gauge(
                "alignment_combination_state",
                "1 for the combination's present status, 0 for the others.",
                ["combination", "status"],
                registry=registry,
            )
        )
        self._residual = self._keep(
            Gauge(
                "alignment_composition_residual",
                "Share of an undeclared adapter's norm that the known adapters found in it leave unexplained.",
                ["combination"],
                registry=registry,
            )
        )
        self.unvalidated = self._keep(
            Counter(
                "alignment_unvalidated_traffic",
                "Sampled requests that an unvalidated or quarantined combination answered.",
                ["combination"],
                registry=registry,
            )
        )
        self.required = Gauge(
            "alignment_validation_required",
            "1 when combinations are to be validated before they serve (adapters.validation).",
            registry=registry,
        )
        self.enforcement = Gauge(
            "alignment_enforcement_info",
            "What becomes of requests for combinations that must not answer (adapters.enforcement); always 1.",
            ["mode"],
            registry=registry,
        )
        self._reloaded = Gauge(
            "alignment_registry_last_reload_successful",
            "0 while the registry file cannot be used as it lies there now; what was read before it counts on.",
            registry=registry,
        )
        self._reload_time = Gauge(
            "alignment_registry_last_reload_success_timestamp_seconds",
            "When the registry that is in use was read.",
            registry=registry,
        )
        for event in events:
            self._events.labels(event)

    def registry_read(self, time: float | None) -> None:
        """The registry was read at this time and is in use; None: it could not be used."""
        self._reloaded.set(0 if time is None else 1)
        if time is not None:
            self._reload_time.set(time)

    def event(self, kind: str, time: float) -> None:
        """Something happened."""
        self._events.labels(kind).inc()
        self._latest.labels(kind).set(time)

    def restore_events(self, kind: str, count: int) -> None:
        """Go on counting where the process before this one ended."""
        self._events.labels(kind).inc(count)

    def undigested(self, count: int) -> None:
        """How many served names have no digest."""
        self._undigested.set(count)

    def contents(self, combination: str, digest: str) -> None:
        """What a combination's files hold."""
        self._contents.forget(combination)
        self._contents(combination, digest[:12] or "undigested").set(1)

    def status(self, combination: str, status: str, all_statuses: Iterable[str]) -> None:
        """How far a combination may be trusted."""
        for one in all_statuses:
            self._status(combination, one).set(1 if one == status else 0)
        self.unvalidated(combination)

    def residual(self, combination: str, residual: float | None) -> None:
        """What of an adapter is not explained; None when nothing was found in it."""
        if residual is None:
            self._residual.drop(combination)
        else:
            self._residual(combination).set(residual)
