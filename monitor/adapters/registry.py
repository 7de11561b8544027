"""The registry: which served names are combinations and of what, what each adapter holds, and what was evaluated.

Written by hand as YAML, or kept by `alignment-monitor registry` as a CycloneDX ML-BOM (monitor/adapters/bom.py); both are read
into the same model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from monitor.config.load import ConfigError, describe_validation, read_mapping
from monitor.records import Combination, Part

Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
Share = Annotated[float, Field(ge=0, le=1)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Measured(_Entry):
    """One figure of an evaluation, with its interval."""

    type: str = Field(min_length=1)
    """What was measured: refusal_lost, refuse_then_comply, over_refusal, or any other name."""
    value: float
    slice: str = ""
    """What it was measured on: harmful_looking, ordinary, ..."""
    lower: float | None = None
    upper: float | None = None


class Evaluation(_Entry):
    """A safety evaluation of an adapter or of a combination."""

    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d")
    """When it was made, ISO 8601."""
    scope: Literal["alone", "combined"]
    """One adapter by itself on the base, or the parts together as they are served."""
    suite: str = Field(min_length=1)
    """The set of questions."""
    suite_version: str = ""
    scorer: str = ""
    scorer_version: str = ""
    base: str = ""
    """The base model that it ran on."""
    base_version: str = ""
    """Its version or digest."""
    context: str = ""
    """What else was the case: other adapters loaded, sampling, system prompt."""
    by: str = ""
    """Who evaluated."""
    report: str = ""
    """Where the whole report lies."""
    metrics: tuple[Measured, ...] = ()


class Approval(_Entry):
    """Somebody's word that a combination may serve, bound to what it holds: any change voids it."""

    by: str = Field(min_length=1)
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d")
    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    """The combination's id, over the digests of base and parts, the scales and the merge method."""
    digest: Digest = ""
    """SHA-256 of the merged adapter that is served."""


class KnownAdapter(_Entry):
    """One adapter."""

    name: str = Field(min_length=1)
    digest: Digest = ""
    source: str = ""
    """Where it comes from: a URL, a job, a team."""
    version: str = ""
    licence: str = ""
    """SPDX expression or a name."""
    external: bool = False
    """It was made outside of the organisation."""
    signature: Literal["", "verified", "invalid"] = ""
    """What `registry verify` found of its model-signing bundle; "" when it has none."""
    evaluations: tuple[Evaluation, ...] = ()
    quarantined: str = ""
    """Why neither it nor any combination with it may serve."""


class DeclaredPart(_Entry):
    """One adapter of a combination."""

    adapter: str = Field(min_length=1)
    scale: float = 1.0
    digest: Digest = ""


class DeclaredCombination(_Entry):
    """What a served name is made of."""

    served_name: str = Field(min_length=1)
    parts: tuple[DeclaredPart, ...]
    merge: str = ""
    digest: Digest = ""
    """SHA-256 of the served adapter's own files. When they hold something else, the declaration does not count."""
    evaluations: tuple[Evaluation, ...] = ()
    approval: Approval | None = None
    quarantined: str = ""
    """Why it must not serve."""

    @model_validator(mode="after")
    def _parts_differ(self) -> DeclaredCombination:
        if not self.parts:
            raise ValueError(f"{self.served_name!r} has no parts: a combination is made of at least one adapter")
        names = [part.adapter for part in self.parts]
        if len(set(names)) < len(names):
            raise ValueError(f"an adapter stands twice among the parts of {self.served_name!r}: give it one scale")
        return self

    def combination(self, base: str, base_digest: str, known: Mapping[str, str]) -> Combination:
        """The combination that is declared. known: adapter -> digest, for parts that state none."""
        return Combination(
            served_name=self.served_name,
            base=base,
            parts=tuple(
                Part(part.adapter, part.scale, part.digest or known.get(part.adapter, "")) for part in self.parts
            ),
            merge=self.merge if len(self.parts) > 1 else "",
            base_digest=base_digest,
            declared=True,
        )


class Registry(_Entry):
    """The registry file."""

    base: str = ""
    """Name of the base model, for display where the server lists several."""
    base_digest: Digest = ""
    base_version: str = ""
    adapters: tuple[KnownAdapter, ...] = ()
    combinations: tuple[DeclaredCombination, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Registry:
        seen: set[str] = set()
        for one in self.combinations:
            if one.served_name in seen:
                raise ValueError(f"served name {one.served_name!r} is declared twice")
            seen.add(one.served_name)
        names = [one.name for one in self.adapters]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"adapter {twice!r} stands twice")
        return self

    @property
    def holds_evaluations(self) -> bool:
        """True when it says of anything that it was evaluated or approved: then what was not is worth an alert."""
        return any(one.evaluations for one in self.adapters) or any(
            one.evaluations or one.approval for one in self.combinations
        )

    @cached_property
    def quarantined_digests(self) -> dict[str, str]:
        """Digest of files that must not serve, under whatever name -> why."""
        found = {one.digest: one.quarantined for one in self.adapters if one.digest and one.quarantined}
        return found | {one.digest: one.quarantined for one in self.combinations if one.digest and one.quarantined}

    def declared(self, served_name: str) -> DeclaredCombination | None:
        """What the file says of a served name."""
        return self._declared.get(served_name)

    def adapter(self, name: str) -> KnownAdapter | None:
        """What the file says of an adapter."""
        return self._adapters.get(name)

    def declares(self, served_name: str) -> bool:
        """True when the file says what this served name is made of."""
        return served_name in self._declared

    def combination(self, served_name: str, base: str, base_digest: str = "", digest: str = "") -> Combination:
        """What this served name stands for: as declared, else one adapter of unknown composition.

        digest: of the served adapter's files, "" while unknown. A declaration of other contents does not count.
        """
        base_digest = base_digest or self.base_digest
        declared = self._declared.get(served_name)
        if declared is None or (digest and declared.digest and digest != declared.digest):
            return Combination(served_name, base, (Part(served_name, digest=digest),), base_digest=base_digest)
        found = replace(self._by_served_name[served_name], base=base, base_digest=base_digest)
        if digest and len(found.parts) == 1 and not found.parts[0].digest:
            return replace(found, parts=(replace(found.parts[0], digest=digest),))
        return found

    def is_ambiguous(self, combination: Combination) -> bool:
        """True when a declared combination other than this one has the same readable name."""
        return bool(self._compositions.get(combination.name, set()) - {(combination.parts, combination.merge)})

    @cached_property
    def _declared(self) -> dict[str, DeclaredCombination]:
        return {one.served_name: one for one in self.combinations}

    @cached_property
    def _adapters(self) -> dict[str, KnownAdapter]:
        return {one.name: one for one in self.adapters}

    @cached_property
    def _by_served_name(self) -> dict[str, Combination]:
        known = {one.name: one.digest for one in self.adapters}
        return {one.served_name: one.combination(self.base, self.base_digest, known) for one in self.combinations}

    @cached_property
    def _compositions(self) -> dict[str, set[tuple[tuple[Part, ...], str]]]:
        """Readable name -> what declared combinations of that name are made of."""
        found: dict[str, set[tuple[tuple[Part, ...], str]]] = {}
        for one in self._by_served_name.values():
            found.setdefault(one.name, set()).add((one.parts, one.merge))
        return found


def load_registry(file: Path | None) -> Registry:
    """Read the registry, YAML or CycloneDX; an empty one without a file. Raises ConfigError with a line per mistake."""
    if file is None:
        return Registry.model_validate({})
    content = read_mapping(file, "registry file")
    if "bomFormat" in content:
        from monitor.adapters.bom import registry_content  # it imports this module's model

        content = registry_content(content, str(file))
    try:
        return Registry.model_validate(content)
    except ValidationError as error:
        raise ConfigError(describe_validation(error, str(file))) from error
