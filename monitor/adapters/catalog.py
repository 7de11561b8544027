"""Which combination answered: served names to combinations and to bounded metric labels.

A label is only ever made from a name that the server lists (or, while the server's list cannot be had, from the `model` of
its responses), never from what a client wrote, and never for more combinations than the cap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.adapters.registry import Registry
from monitor.records import Combination

OTHER: Final = "other"
"""Label of all combinations beyond the cap."""
UNLISTED: Final = "unlisted"
"""Label of responses whose `model` the server does not list."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One entry of /v1/models."""

    name: str
    parent: str
    """The base model's name for an adapter, "" for a base model."""
    root: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """A combination and the label under which it is counted; None for `other` and `unlisted`."""

    label: str
    combination: Combination | None

    @property
    def is_base(self) -> bool:
        """The base model answered, without any adapter."""
        return self.combination is not None and self.combination.is_base


class Catalog:
    """Knows the served names, their labels, and when each was last loaded."""

    def __init__(self, registry: Registry, max_combinations: int, unload_grace_s: float) -> None:
        self._registry = registry
        self._cap = max_combinations
        self._grace_s = unload_grace_s
        self._known: dict[str, Identity] = {}
        self._last_listed: dict[str, float] = {}
        self._listed: frozenset[str] = frozenset()
        self._base = registry.base
        self.listing_available = False
        """The server's list of models has been read at least once."""

    def update(self, models: Sequence[ServedModel], now: float) -> list[Identity]:
        """Take the server's list; the identities that are new or changed by it."""
        if not self.listing_available:
            self._known.clear()  # what was identified without the list lacks the base's name
        self.listing_available = True
        bases = [model.name for model in models if not model.parent]
        if bases and self._base not in bases:
            self._base = self._registry.base if self._registry.base in bases else bases[0]
        self._listed = frozenset(model.name for model in models)
        new = []
        for model in models:
            self._last_listed[model.name] = now
            if model.name not in self._known:
                identity = self._add(model.name, is_base=not model.parent)
                if identity:
                    new.append(identity)
        return new

    def identify(self, answered: str, requested: str, now: float) -> Identity:
        """The combination behind a response.

        answered: the response's `model`; requested: the request's, used only when the response names none and the server
        lists it (or to recognise the base, which a request may leave unnamed).
        """
        name = answered or (requested if requested in self._listed else "") or self._base
        known = self._known.get(name)
        if known:
            return known
        if self.listing_available or not answered:
            return Identity(UNLISTED, None)
        identity = self._add(name, is_base=name == self._registry.base)
        if identity is None:
            return Identity(OTHER, None)
        self._last_listed[name] = now
        return identity

    def identities(self) -> list[Identity]:
        """All combinations with a label of their own, the base first, then by name."""
        found = {one.label: one for one in self._known.values() if one.combination}
        return sorted(found.values(), key=lambda one: (not one.is_base, one.label))

    def expire(self, now: float) -> list[str]:
        """Forget what has not been listed for the grace time; the labels that are gone."""
        if not self.listing_available:
            return []
        gone = [
            name for name, last in self._last_listed.items() if name not in self._listed and now - last > self._grace_s
        ]
        labels = []
        for name in gone:
            del self._last_listed[name]
            identity = self._known.pop(name, None)
            if identity and identity.combination and not any(o.label == identity.label for o in self._known.values()):
                labels.append(identity.label)
        return labels

    def _add(self, name: str, *, is_base: bool) -> Identity | None:
        """Give a name its identity; None when it is beyond the cap."""
        if is_base:
            combination = Combination(self._base or name, self._base or name, base_digest=self._registry.base_digest)
        else:
            combination = self._registry.combination(name, self._base)
        taken = {one.label: one.combination for one in self._known.values() if one.combination}
        label = combination.name
        if label in (OTHER, UNLISTED) or (label in taken and taken[label] != combination):
            label = f"{combination.name}#{combination.id}"
        if label not in taken and len(taken) >= self._cap:
            if name in self._listed:  # only the server's list may make this table grow
                self._known[name] = Identity(OTHER, None)
            return None
        identity = Identity(label, combination)
        self._known[name] = identity
        return identity
