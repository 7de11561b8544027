"""What the server has, and what follows from it: which combinations there are, how each stands, and what may answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from monitor.adapters import Catalog, Registry, ServedModel
from monitor.adapters.discovery import Discovery, ModelsClient
from monitor.adapters.registry_file import LOOK_S, RegistryFile, saved
from monitor.adapters.watch import AdapterWatch
from monitor.config.model import AdaptersSection
from monitor.enforcement import PolicyStore
from monitor.lifecycle import in_thread, repeat
from monitor.pipeline import Pipeline
from monitor.probing import Prober
from monitor.protocols import adapter_named
from monitor.records import Condition, Exchange
from monitor.shadow import PartLoader
from monitor.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


class Served:
    """Follows the server's list, the adapters' files and the registry."""

    def __init__(
        self,
        section: AdaptersSection,
        registry_file: RegistryFile,
        registry: Registry,
        catalog: Catalog,
        pipeline: Pipeline,
        metrics: Metrics,
        policy: PolicyStore | None,
    ) -> None:
        """registry: what the file held. policy: where the workers read what they let pass; None where everything does."""
        self._section = section
        self._file = registry_file
        self.registry = registry
        """What is declared, as it counts now."""
        self.registry_saved = saved(registry)
        """The same as a successor takes it."""
        self._catalog = catalog
        self._pipeline = pipeline
        self._metrics = metrics
        self._policy = policy
        metrics.adapters.registry_read(None if registry_file.problem else time.time())
        self.adapters = AdapterWatch(section, registry, catalog, metrics.adapters)
        """What the adapters' files say."""
        self.adapters.on_changed = self._start_anew
        self.adapters.on_identified = self._introduce_all
        self.adapters.on_looked = self.assess
        pipeline.drifts.history = self.adapters.history
        pipeline.on_admin_call = self._note_admin_call
        metrics.adapters.enforcement.labels(section.enforcement).set(1)
        self._discovery: Discovery | None = None
        self.loader: PartLoader | None = None
        """Loads parts of combinations that are no client's."""
        self.prober: Prober | None = None
        """Asks combinations questions of ours."""
        self.reserved: set[str] = set()
        """Adapters with reserved names in the server's latest list."""
        self.on_stopped: Callable[[str, str], None] = lambda _reason, _combination: None
        """Called with every reason and combination that may not answer."""

    @property
    def listed(self) -> bool:
        """The server's list can be read."""
        return self._discovery is not None and self._discovery.up

    @property
    def registry_problem(self) -> str:
        """Why the registry file cannot be used, "" when it can."""
        return self._file.problem

    def ask(self, client: ModelsClient) -> Discovery:
        """Where the server's list comes from."""
        self._discovery = Discovery(client, self._section.poll_interval_s, self._take_models, self._metrics.discovery)
        self._pipeline.on_unlisted = self._discovery.look_soon
        return self._discovery

    async def follow_registry(self) -> None:
        """Take a registry file that was replaced, for ever."""
        await repeat("reading the registry anew", self._look_at_registry)

    async def _look_at_registry(self) -> None:
        await asyncio.sleep(LOOK_S)
        registry = await in_thread("registry file", self._file.look)
        if registry is not None:
            self._take_registry(registry)
            log.info("the registry was read anew: %d combinations declared", len(registry.combinations))
        if registry is not None or self._file.problem:
            self._metrics.adapters.registry_read(time.time() if registry is not None else None)

    def let_go(self) -> None:
        """Forget what has been gone for long enough."""
        gone = self._catalog.expire(time.monotonic())
        if gone:
            log.info("combinations gone: %s", ", ".join(gone))
            self._forget(gone, "unloaded")

    def assess(self) -> None:
        """How each combination stands now, and what may answer."""
        self._pipeline.drifts.check_baseline(time.time())
        drifts = [state for state in self._pipeline.drifts.states() if state.condition is Condition.DRIFTING]
        automatic = self._section.quarantine_drifting
        set_aside = {one.combination: f"it drifts: {one.signal}" for one in drifts if one.signal in automatic}
        if self.prober:
            set_aside |= self.prober.failed()
        probed = self.prober.outcomes() if self.prober else {}
        drifting = {one.combination for one in drifts}
        self._pipeline.counts.unvalidated = self.adapters.assess(drifting, set_aside, probed)
        if self._policy:
            self._publish(self._policy)

    def _publish(self, store: PolicyStore) -> None:
        """Give the workers what follows from the present statuses."""
        policy = self.adapters.policy(store.policy)
        if policy is None or not store.publish(policy):
            return
        stopped = {
            (one.reason, one.combination) for one in (*policy.names.values(), *policy.paths.values()) if one.reason
        }
        for reason, combination in sorted(stopped):
            self.on_stopped(reason, combination)
        log.info(
            "policy: %d names, %d may not answer",
            len(policy.names),
            sum(1 for one in policy.names.values() if one.reason),
        )

    def _take_models(self, models: Sequence[ServedModel]) -> None:
        if self.loader:
            models = self.loader.without_ours(models)
        for identity in self._catalog.update(models):
            log.info("combination %s is served", identity.label)
            self._pipeline.introduce(identity)
        reserved = self._catalog.reserved_names()
        self._metrics.discovery.show_reserved(reserved)
        for name in set(reserved) - self.reserved:
            log.warning(
                "an adapter is named %s: vLLM applies it to requests for the base model with such content", name
            )
        self.reserved = set(reserved)
        self.adapters.take_models(models)
        self.assess()

    def _note_admin_call(self, call: Exchange) -> None:
        """An exchange on one of the server's admin routes ended: what it may have changed is looked at soon."""
        name, ended = adapter_named(call), call.started + call.duration_s
        if self.adapters.note_admin_call(call.method, call.target, call.status, name, ended) and self._discovery:
            self._discovery.look_soon()

    def _start_anew(self, labels: Sequence[str]) -> None:
        """These names hold something else now: what was counted and judged was of another combination."""
        self._forget(labels, "replaced")

    def _forget(self, labels: Sequence[str], why: str) -> None:
        self._pipeline.forget(labels, time.time(), why)
        if self.prober:
            self.prober.forget(labels)

    def _introduce_all(self) -> None:
        for identity in self._catalog.identities():
            self._pipeline.introduce(identity)
        self.assess()

    def _take_registry(self, registry: Registry) -> None:
        self.registry = registry
        self.registry_saved = saved(registry)
        self._catalog.take_registry(registry)
        self.adapters.take_registry(registry)
        self._introduce_all()
