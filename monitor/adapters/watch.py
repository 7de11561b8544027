"""Looks at the files behind the served names, off the event loop: digests, events, and what undeclared adapters are made of.

One piece of work at a time, in a thread of its own: hashing and linear algebra give the interpreter free, and the analysis
process has the lowest priority anyway. The server's list never waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from monitor.adapters.catalog import Catalog, ServedModel
from monitor.adapters.composition import LEAST_COSINE, Composition, comparable, identify
from monitor.adapters.contents import Contents
from monitor.adapters.digest import Digests, within
from monitor.adapters.gram import Gram
from monitor.adapters.pairs import Pair, rank_pairs
from monitor.adapters.policy import carried_on, load_problem, policy_of, with_loading
from monitor.adapters.registry import Registry
from monitor.adapters.timeline import Event, Timeline
from monitor.adapters.validation import ProbeOutcome, Status, Validation, validate
from monitor.adapters.weights import CONFIG, AdapterFilesError, AdapterWeights
from monitor.config.model import AdaptersSection
from monitor.enforcement import Policy
from monitor.lifecycle import in_thread, repeat
from monitor.records import AdapterEvent, Combination, Part
from monitor.telemetry.adapter_metrics import AdapterMetrics
from monitor.telemetry.logs import where_it_failed

log = logging.getLogger(__name__)

MAX_HISTORY: Final = 8
"""Events that are told of one combination."""
MAX_KNOWN: Final = 500
"""Adapters that a served one is compared with at most."""
MAX_RANKED: Final = 40
"""Served adapters whose pairs are ranked at most: 780 pairs."""
MAX_EVENTS_READ: Final = 8 * 1024 * 1024
"""Bytes at the end of the events file that are read at the start."""
EVENTS_BYTES: Final = 16 * 1024 * 1024
"""Size beyond which the events file is renamed to `<name>.1` and begun anew."""


def known_folders(places: Iterable[Path]) -> list[Path]:
    """Adapter folders: the places themselves, or the folders inside them."""
    found: list[Path] = []
    for place in places:
        if (place / CONFIG).is_file():
            found.append(place)
        elif place.is_dir():
            found += sorted(one for one in place.iterdir() if (one / CONFIG).is_file())
    return found


class AdapterWatch:
    """Keeps digests, events, compositions and statuses of everything that is served."""

    def __init__(self, section: AdaptersSection, registry: Registry, catalog: Catalog, metrics: AdapterMetrics) -> None:
        self._section = section
        self._registry = registry
        self._catalog = catalog
        self._metrics = metrics
        self.timeline = Timeline(self._note_event)
        self._digests = Digests(section.folders)
        self._known_files = Digests(section.known)
        self._loadable_files = Digests(section.folders)
        self._loadable: dict[str, Contents] | None = None
        """Path of an adapter's folder -> contents, of all that may be asked to be loaded; None before the first look."""
        self._gram = Gram(section.cache_folder)
        self._library: frozenset[str] = frozenset()
        """Digests of the known adapters, as of the latest comparison."""
        self._models: Sequence[ServedModel] = ()
        self._contents: dict[str, Contents] = {}
        self._compositions: dict[str, Composition] = {}
        self._compared: dict[str, tuple[str, frozenset[str]]] = {}
        """Served name -> its digest when it was compared, and the digests of what was served then."""
        self.ranked: Sequence[Pair] = ()
        """Pairs of served adapters by what their weights share, those to be evaluated first at the beginning."""
        self._ranked_of: frozenset[str] = frozenset()
        """Digests of the adapters that were ranked."""
        self._wanted = asyncio.Event()
        self._statuses: dict[str, Validation] = {}
        self._set_aside: dict[str, str] = {}
        self._probed: dict[str, ProbeOutcome] = {}
        self.on_changed: Callable[[Sequence[str]], None] = lambda _labels: None
        """Called with the labels of combinations whose contents became others under the same name."""
        self.on_identified: Callable[[], None] = lambda: None
        """Called when combinations have other identities than before."""
        self.scans = False
        """The folders are looked at also where the loading of adapters is only observed: the monitor itself may load some."""
        self.on_looked: Callable[[], None] = lambda: None
        """Called when all files have been looked at: the policy may be another."""
        metrics.required.set(1 if self.required else 0)
        self._read_events()

    def take_registry(self, registry: Registry) -> None:
        """Another registry is in use; the catalog has it already."""
        self._registry = registry
        self._metrics.required.set(1 if self.required else 0)
        self._wanted.set()  # what it no longer declares is compared with the known adapters

    @property
    def required(self) -> bool:
        """An unvalidated combination that serves users is worth an alert."""
        setting = self._section.validation
        return setting == "required" or (setting == "auto" and self._registry.holds_evaluations)

    def take_models(self, models: Sequence[ServedModel]) -> None:
        """The server's list was read, and the catalog has it already."""
        self._models = models
        self.timeline.take_models(models, time.time())
        for gone in self._contents.keys() - {model.name for model in models}:
            self._contents.pop(gone)
            self._compositions.pop(gone, None)
            self._compared.pop(gone, None)
        self._wanted.set()

    def note_admin_call(self, method: str, target: str, status: int, model_name: str, at: float) -> bool:
        """An admin call went through the monitor (see Timeline.note_admin_call); True when a look at the list is due."""
        return self.timeline.note_admin_call(method, target, status, model_name, at)

    async def run(self) -> None:
        """Look at the files after every list, for ever."""
        await repeat("looking at the adapters' files", self._look_when_wanted)

    async def _look_when_wanted(self) -> None:
        await self._wanted.wait()
        self._wanted.clear()
        await self.look()

    async def look(self) -> None:
        """One look at the files of everything that is served."""
        models = list(self._models)
        contents = await in_thread("adapter files", self._read, models)
        self._take_contents(contents)
        if self._section.loading != "observe" or self.scans:
            self._loadable = await in_thread("adapter files", self._scan)
        self.on_looked()
        for model in models:
            if self._is_due(model):
                digest, known = self._contents[model.name].digest, self._known_digests()
                found = await self._identified(model, models)
                if self._contents.get(model.name, Contents("")).digest != digest:
                    continue  # it was unloaded or replaced meanwhile
                self._compared[model.name] = digest, known
                if found is not None:
                    self._take_composition(model.name, found)
        await self._rank(models)
        self._gram.forget_except(self._known_digests() | self._library)

    async def _identified(self, model: ServedModel, models: Sequence[ServedModel]) -> Composition | None:
        try:
            return await in_thread("adapter files", self._identify, model, models)
        except Exception as error:  # noqa: BLE001  # nobody knows what all files hold; the other adapters are looked at, too
            log.error("%s cannot be compared with the known adapters: %s", model.name, where_it_failed(error))
            return None

    async def _rank(self, models: Sequence[ServedModel]) -> None:
        """Rank the pairs of the served single adapters, when these are others than before."""
        singles = {model.name: model.root for model in models if self._is_single(model)}
        chosen = {name: singles[name] for name in sorted(singles)[:MAX_RANKED]}
        digests = frozenset(f"{name} {self._contents[name].digest}" for name in chosen)
        if digests != self._ranked_of:
            self._ranked_of = digests
            self.ranked = await in_thread("adapter files", self._ranking, chosen) if len(chosen) > 1 else ()

    def _is_single(self, model: ServedModel) -> bool:
        """A readable adapter that is not known to be made of several.

        Where a merge is served beside its parts, a part is a difference of others as well: what takes away is no merge.
        """
        contents, found = self._contents.get(model.name), self._compositions.get(model.name)
        combination = self._catalog.identify(model.name, "").combination
        declared = combination is not None and len(combination.parts) > 1
        weights = [part.weight for part in found.parts] if found is not None else []
        merged = len(weights) > 1 and all(weight is None or weight > 0 for weight in weights)
        return bool(model.parent and contents and contents.digest and not declared and not merged)

    def _ranking(self, roots: Mapping[str, str]) -> Sequence[Pair]:
        """In a thread. Adapters that cannot be read, or not be compared, are left out with a line in the log."""
        adapters = []
        for name, root in roots.items():
            try:
                adapter = _open(within(Path(root), self._section.folders), self._contents[name].digest)
            except (AdapterFilesError, KeyError) as error:
                log.warning("%s is left out of the ranking of pairs: %s", name, error)
                continue
            adapter.name = name
            adapters.append(adapter)
        try:
            return rank_pairs(adapters, self._gram) if len(adapters) > 1 else ()
        except ValueError as error:
            log.warning("pairs of adapters are not ranked: %s", error)
        except Exception as error:  # noqa: BLE001  # as above
            log.error("pairs of adapters are not ranked: %s", where_it_failed(error))
        return ()

    def _read(self, models: Sequence[ServedModel]) -> dict[str, Contents]:
        """In a thread: digests of all served names."""
        self._digests.forget_except([model.root for model in models])
        return {model.name: self._digests.of(model.root, base=not model.parent) for model in models}

    def _scan(self) -> dict[str, Contents]:
        """In a thread: what lies in the folders that adapters are loaded from, under each path that leads there."""
        folders = known_folders(self._section.folders)
        self._loadable_files.forget_except([str(folder) for folder in folders])
        found = {str(folder): self._loadable_files.of(str(folder)) for folder in folders}
        return {str(folder.resolve()): found[str(folder)] for folder in folders} | found

    def _take_contents(self, contents: Mapping[str, Contents]) -> None:
        now = time.time()
        for name, one in contents.items():
            before = self._contents.get(name)
            if one.problem and (before is None or before.problem != one.problem) and self._section.folders:
                log.warning("%s has no digest: %s", name, one.problem)
        self._contents = dict(contents)
        changed = [name for name, one in contents.items() if self.timeline.note_digest(name, one.digest, now)]
        labels = self._catalog.labels_of(changed)
        identities = self._catalog.note_digests({name: one.digest for name, one in contents.items()})
        self._metrics.undigested(sum(1 for one in contents.values() if not one.digest))
        if labels:
            log.warning("other contents under the same name: %s", ", ".join(changed))
            self.on_changed(labels)
        if labels or identities:
            self.on_identified()

    def _is_due(self, model: ServedModel) -> bool:
        """A readable adapter whose composition nobody declared, and that was not compared with what is known now."""
        contents = self._contents.get(model.name)
        if not model.parent or contents is None or not contents.digest or self._registry.declares(model.name):
            return False
        digest, known = self._compared.get(model.name, ("", frozenset()))
        found = self._compositions.get(model.name)
        certain = found is not None and found.confidence == "high"
        return digest != contents.digest or (not certain and not self._known_digests() <= known)

    def _known_digests(self) -> frozenset[str]:
        """Of the served adapters; the folders of known ones are read anew with each comparison."""
        return frozenset(one.digest for one in self._contents.values() if one.digest)

    def _identify(self, model: ServedModel, models: Sequence[ServedModel]) -> Composition | None:
        """In a thread: what an adapter is made of; None when nothing can be said."""
        digest = self._contents[model.name].digest
        try:
            query = _open(within(Path(model.root), self._section.folders), digest)
        except AdapterFilesError as error:
            log.warning("%s cannot be compared with the known adapters: %s", model.name, error)
            return None
        known = [one for one in self._known(models) if one.key != digest or one.folder.resolve() != query.folder]
        before = self._compositions.get(model.name)
        if before is not None and self._compared.get(model.name, ("",))[0] == digest:
            old = self._compared[model.name][1]
            new = [one for one in known if one.key not in old and comparable(query, one)]
            if all(abs(cosine) < LEAST_COSINE for cosine in self._gram.cosines(query, new)):
                return before  # what came since has nothing to do with it
        return identify(query, known, self._gram) if known else None

    def _known(self, models: Sequence[ServedModel]) -> list[AdapterWeights]:
        """The adapters of the known folders and the served ones, each under its digest."""
        digests = {folder: self._known_files.of(str(folder)).digest for folder in known_folders(self._section.known)}
        self._library = frozenset(digests.values())
        for model in models:
            contents = self._contents.get(model.name)
            if model.parent and contents is not None and contents.digest:
                digests.setdefault(Path(model.root), contents.digest)
        found: dict[Path, AdapterWeights] = {}
        for folder, digest in list(digests.items())[:MAX_KNOWN]:
            try:
                if digest:
                    found.setdefault(folder.resolve(), _open(folder, digest))
            except AdapterFilesError as error:
                log.warning("a known adapter is left out: %s", error)  # the others still tell something
        return list(found.values())

    def _take_composition(self, name: str, found: Composition) -> None:
        self._compositions[name] = found
        if found.parts:
            log.info("%s: composition: %s", name, found.sentence())
        for label in self._catalog.labels_of([name]):
            self._metrics.residual(label, found.residual)

    def looked_at(self, served_name: str) -> bool:
        """True when a name that the server lists now has been looked at: its digest is known, or known not to be had."""
        return served_name in self._contents

    def evaluated(self, combination: Combination) -> bool:
        """True when the registry has an evaluation or an approval that holds for what is served."""
        return not validate(self._registry, combination, self._catalog.digest(combination.served_name)).unvalidated

    def assess(
        self,
        drifting: Iterable[str],
        set_aside: Mapping[str, str] | None = None,
        probed: Mapping[str, ProbeOutcome] | None = None,
    ) -> frozenset[str]:
        """Status of every combination anew; the labels that must not count as validated traffic.

        set_aside: label -> why it is quarantined beside what the registry says. probed: label -> what our own questions found.
        """
        worse = frozenset(drifting)
        self._set_aside = dict(set_aside or {})
        self._probed = dict(probed or {})
        statuses: dict[str, Validation] = {}
        for identity in self._catalog.identities():
            combination = identity.combination
            if combination is None:
                continue
            digest = self._catalog.digest(combination.served_name)
            self._metrics.contents(identity.label, digest)
            if combination.is_base:
                continue
            found = validate(
                self._registry,
                combination,
                digest,
                drifting=identity.label in worse,
                quarantine=self._set_aside.get(identity.label, ""),
                probed=self._probed.get(identity.label),
            )
            before = self._statuses.get(identity.label)
            statuses[identity.label] = found
            if before is None or before.status is not found.status:
                self._metrics.status(identity.label, found.status.value, [one.value for one in Status])
        self._statuses = statuses
        return frozenset(
            label for label, one in statuses.items() if one.unvalidated or one.status is Status.QUARANTINED
        )

    def policy(self, before: Policy | None) -> Policy | None:
        """What the workers let pass, as of the latest `assess`; None while that is not known.

        before: the policy that stands.
        """
        if not self._catalog.listing_available:
            return carried_on(before, self._registry) if before else None
        mode = self._section.enforcement
        names = policy_of(
            mode,
            self._registry,
            self._catalog,
            self._models,
            self._contents.keys(),
            self._set_aside,
            before,
            self._probed,
        )
        if self._loadable is None and before is not None:
            return replace(before, names=names.names, unlisted=names.unlisted, base=names.base)
        return with_loading(names, self._section.loading, self._registry, self._loadable)

    def folder_of(self, part: Part) -> str:
        """Path from which the server can load this adapter, "" for none: of its contents where they are known, else of its name."""
        known = self._registry.adapter(part.adapter)
        digest = part.digest or (known.digest if known else "")
        for path, contents in (self._loadable or {}).items():
            if contents.digest and (contents.digest == digest if digest else Path(path).name == part.adapter):
                return path
        return ""

    def load_problem(self, part: Part, path: str) -> str:
        """Why the monitor itself may not load this adapter, in one word; "" when it may."""
        return load_problem(self._section.loading, self._registry, self._loadable, part.adapter, path)

    def shown(self, label: str, combination: Combination) -> dict[str, Any]:
        """What the API and the page show of a combination beside its behaviour."""
        validation = self._statuses.get(label)
        contents = self._contents.get(combination.served_name)
        composition = self._compositions.get(combination.served_name)
        return {
            "status": validation.status.value if validation else None,
            "status_reason": validation.reason if validation else "",
            "validation_required": self.required,
            "findings": list(validation.findings) if validation else [],
            "digest": contents.digest if contents else "",
            "digest_problem": contents.problem if contents else "not looked at yet",
            "composition": composition.sentence() if composition and composition.parts else "",
            "composition_details": composition.as_json() if composition else None,
        }

    def history(self, combination: Combination) -> list[dict[str, Any]]:
        """The latest events of a combination, its parts and its base, the newest first."""
        names = {combination.served_name, combination.base, *(part.adapter for part in combination.parts)}
        of_base = AdapterEvent.BASE_CHANGED
        found = (one for one in reversed(self.timeline.events) if one.name in names or one.kind is of_base)
        return [event.as_json() for event in islice(found, MAX_HISTORY)]

    def events(self) -> list[dict[str, Any]]:
        """The latest events, the newest first."""
        return [event.as_json() for event in reversed(self.timeline.events)]

    def save(self) -> dict[str, Any]:
        """What a successor needs, as plain JSON values."""
        return self.timeline.save()

    def restore(self, state: object) -> None:
        """Carry on from what `save` gave. Raises ValueError when it is not that."""
        self.timeline.restore(state)
        for kind, count in self.timeline.counts.items():
            self._metrics.restore_events(kind.value, count)

    def _note_event(self, event: Event) -> None:
        self._metrics.event(event.kind.value, event.time)
        log.info("adapter event: %s %s%s", event.kind.value, event.name, f" ({event.detail})" if event.detail else "")
        file = self._section.events_file
        if file is None:
            return
        try:
            if file.exists() and file.stat().st_size > EVENTS_BYTES:
                file.replace(file.with_name(f"{file.name}.1"))
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(event.as_json()) + "\n")
        except OSError as error:
            log.warning("adapters.events_file: %s cannot be written: %s", file, error.strerror)

    def _read_events(self) -> None:
        file = self._section.events_file
        if file is None or not file.exists():
            return
        try:
            lines = file.read_bytes()[-MAX_EVENTS_READ:].splitlines()
        except OSError as error:
            log.warning("adapters.events_file: %s cannot be read: %s", file, error.strerror)
            return
        events = []
        for line in lines:
            try:
                events.append(msgspec.json.decode(line, type=Event))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # the first line may be cut, and the last one half written
        self.timeline.replay(events)


def _open(folder: Path, digest: str) -> AdapterWeights:
    weights = AdapterWeights(folder)
    weights.key = digest or weights.key
    return weights
