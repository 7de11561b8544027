"""Which combination answered: served names to combinations and to bounded metric labels.

A label is only ever made from a name that the server lists (or, while the server's list cannot be had, from the `model` of
its responses), never from what a client wrote, and never for more combinations than the cap. Every table here is bounded by
the cap or replaced as a whole by the server's next list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.adapters.registry import Registry
from monitor.records import EVERY, RESERVED_NAMES, Combination

OTHER: Final = "other"
"""Label of all combinations beyond the cap, and of names that cannot be a label."""
UNLISTED: Final = "unlisted"
"""Label of responses whose `model` the server does not list."""
MAX_NAME: Final = 256
"""Longest served name that may become a label, in characters."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One entry of /v1/models."""

    name: str
    parent: str
    """The base model's name for an adapter, "" for a base model."""
    root: str = ""
    """What the server loaded it from; the same for all names of one base model."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A combination and the label under which it is counted; None for `other` and `unlisted`."""

    label: str
    combination: Combination | None

    @property
    def is_base(self) -> bool:
        """The base model answered, without any adapter."""
        return self.combination is not None and self.combination.is_base


_OTHER: Final = Identity(OTHER, None)
_UNLISTED: Final = Identity(UNLISTED, None)


class Catalog:
    """Knows the served names and their labels, and which labels are no longer needed."""

    def __init__(self, registry: Registry, max_combinations: int, unload_grace_s: float) -> None:
        self._registry = registry
        self._cap = max_combinations
        self._grace_s = unload_grace_s
        self._known: dict[str, Identity] = {}
        """Served name -> identity, of names with a label of their own."""
        self._labels: dict[str, Combination | None] = {}
        """Label -> its combination; None for a label that came with a snapshot and was not seen since."""
        self._last_listed: dict[str, float] = {}
        """Label -> when `expire` last found it listed."""
        self._models: Sequence[ServedModel] = ()
        self._listed: frozenset[str] = frozenset()
        self._base = registry.base
        self._base_names: frozenset[str] = frozenset({registry.base} if registry.base else ())
        self._digests: dict[str, str] = {}
        """Served name -> SHA-256 of its files, of listed names whose files could be read."""
        self._base_digest = registry.base_digest
        self.listing_available = False
        """The server's list of models has been read at least once."""

    def update(self, models: Sequence[ServedModel]) -> list[Identity]:
        """Take the server's list; the identities that are new or changed by it."""
        before = self._base, self._base_names
        self._models = models
        self._choose_base(models)
        if not self.listing_available or before != (self._base, self._base_names):
            self._known.clear()  # what was identified until now has another base
            self._labels = dict.fromkeys(self._labels)
        self.listing_available = True
        self._listed = frozenset(model.name for model in models)
        self._digests = {name: digest for name, digest in self._digests.items() if name in self._listed}
        return self._identify_listed(dict(self._known))

    def note_digests(self, found: Mapping[str, str]) -> list[Identity]:
        """What the files of listed names hold, "" where they cannot be read; the identities that this changes."""
        new = {name: one for name, one in found.items() if name in self._listed and self._digests.get(name, "") != one}
        if not new:
            return []
        self._digests.update(new)
        self._find_base_digest()
        before = self._known
        self._known = {name: one for name, one in before.items() if name not in self._listed}
        kept = {one.label for one in self._known.values()}
        self._labels = {label: one if label in kept else None for label, one in self._labels.items()}
        return self._identify_listed(before)

    def take_registry(self, registry: Registry) -> list[Identity]:
        """Another registry is in use; the identities that this changes."""
        self._registry = registry
        if self.listing_available:
            self._choose_base(self._models)
        else:
            self._base = registry.base
            self._base_names = frozenset({registry.base} if registry.base else ())
        self._find_base_digest()
        before, self._known = self._known, {}
        self._labels = dict.fromkeys(self._labels)
        return self._identify_listed(before)

    def digest(self, name: str) -> str:
        """SHA-256 of a served name's files, "" while unknown."""
        return self._digests.get(name, "")

    @property
    def base(self) -> tuple[frozenset[str], str]:
        """Served names of the base model, and the digest of its files; empty while unknown."""
        return self._base_names, self._base_digest

    def labels_of(self, names: Iterable[str]) -> list[str]:
        """Labels under which these served names are counted; all labels when a base model is among them."""
        if any(name in self._base_names for name in names):
            return sorted({one.label for one in self._known.values()})
        return sorted({self._known[name].label for name in names if name in self._known})

    def _identify_listed(self, before: Mapping[str, Identity]) -> list[Identity]:
        """Give every listed name its identity, the base first; those that are new or changed."""
        changed: dict[str, Identity] = {}
        for name in sorted(self._listed, key=lambda name: (name not in self._base_names, name)):
            known = before.get(name)
            now = self._add(name, self.combination(name))
            if now.combination is not None and now != known:
                changed[now.label] = now
        return list(changed.values())

    def identify(self, answered: str, requested: str) -> Identity:
        """The combination behind a response: by its own `model`, else by the request's, else the base."""
        name = answered or requested or self._base
        known = self._known.get(name)
        if known:
            return known
        if self.listing_available:
            return _OTHER if name in self._listed else _UNLISTED
        return self._add(name, self.combination(name)) if answered else _UNLISTED

    def same(self, requested: str, answered: str) -> bool:
        """True when both names stand for the same combination, as the several names of one base model do."""
        requested = requested or self._base
        if requested == answered or not answered or not requested:
            return True
        one = self._known.get(requested)
        return one is not None and one == self._known.get(answered)

    def reserved_names(self) -> list[str]:
        """Listed adapters whose name is also a kind of content."""
        return [name for name in RESERVED_NAMES if name in self._listed and name not in self._base_names]

    def identities(self) -> list[Identity]:
        """All combinations with a label of their own, the base first, then by name."""
        found = {one.label: one for one in self._known.values()}
        return sorted(found.values(), key=lambda one: (not one.is_base, one.label))

    def find(self, label: str) -> Combination | None:
        """The combination that has this label."""
        return self._labels.get(label)

    def remember(self, labels: Iterable[str]) -> None:
        """Labels that came with a snapshot: they go like those of unloaded combinations, unless the server lists them."""
        for label in labels:
            if label not in (OTHER, UNLISTED) and len(self._labels) < self._cap:
                self._labels.setdefault(label, None)

    def expire(self, now: float) -> list[str]:
        """Forget what has not been listed for the grace time; the labels that are gone.

        now: seconds of a clock that is never set back. Nothing expires before the server's list has been read.
        """
        if not self.listing_available:
            return []
        listed = {one.label for name, one in self._known.items() if name in self._listed}
        for label in self._labels:
            if label in listed or label not in self._last_listed:
                self._last_listed[label] = now
        gone = [label for label, last in self._last_listed.items() if now - last > self._grace_s]
        for label in gone:
            del self._labels[label], self._last_listed[label]
        for name in [name for name, one in self._known.items() if one.label in gone]:
            del self._known[name]
        return gone

    def _choose_base(self, models: Sequence[ServedModel]) -> None:
        """The base is a model without parent that the registry does not declare to be more than a base model."""
        free = [one for one in models if not one.parent and one.name and not self._registry.declares(one.name)]
        if not free:
            return
        names = [one.name for one in free]
        if self._base not in names:
            self._base = self._registry.base if self._registry.base in names else names[0]
        root = next(one.root for one in free if one.name == self._base)
        self._base_names = frozenset(one.name for one in free if one.root == root)

    def _find_base_digest(self) -> None:
        of_base = [self._digests[name] for name in sorted(self._base_names) if self._digests.get(name)]
        self._base_digest = next(iter(of_base), self._registry.base_digest)

    def is_base_name(self, name: str) -> bool:
        """True for the names of the base model."""
        return name in self._base_names

    def combination(self, name: str) -> Combination:
        """What a served name stands for, whether or not it has a label of its own."""
        if self.is_base_name(name):
            return Combination(self._base, self._base, base_digest=self._base_digest)
        return self._registry.combination(name, self._base, self._base_digest, self._digests.get(name, ""))

    def _add(self, name: str, combination: Combination) -> Identity:
        """Give a name its identity; `other` when there is no label for it."""
        known = self._known.get(name)
        if known and known.combination == combination:
            return known
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            return _OTHER
        label = self._label(combination)
        holder = self._labels.get(label)
        if holder is not None and holder.id != combination.id:
            return _OTHER
        if label not in self._labels and len(self._labels) >= self._cap:
            return _OTHER
        combination = holder or combination  # a second name of a combination shares what the first one has
        self._labels[label] = combination
        identity = self._known[name] = Identity(label, combination)
        return identity

    def _label(self, combination: Combination) -> str:
        """The combination's name, with its id where the name alone would not be clear; never depends on what came first."""
        name = combination.name
        reserved = name in (OTHER, UNLISTED, EVERY) or (combination.parts and name in self._base_names)
        if reserved or self._registry.is_ambiguous(combination):
            return f"{name}#{combination.id}"
        return name
