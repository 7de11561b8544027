"""The registry file: which served names are combinations, and of what."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from monitor.config.load import ConfigError, describe_validation, read_mapping
from monitor.records import Combination, Part


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DeclaredPart(_Entry):
    """One adapter of a combination."""

    adapter: str = Field(min_length=1)
    scale: float = 1.0
    digest: str = Field("", pattern=r"^([0-9a-f]{64})?$")


class DeclaredCombination(_Entry):
    """What a served name is made of."""

    served_name: str = Field(min_length=1)
    parts: tuple[DeclaredPart, ...]
    merge: str = ""

    @model_validator(mode="after")
    def _parts_differ(self) -> DeclaredCombination:
        if not self.parts:
            raise ValueError(f"{self.served_name!r} has no parts: a combination is made of at least one adapter")
        names = [part.adapter for part in self.parts]
        if len(set(names)) < len(names):
            raise ValueError(f"an adapter stands twice among the parts of {self.served_name!r}: give it one scale")
        return self

    def combination(self, base: str, base_digest: str) -> Combination:
        """The combination that is declared."""
        return Combination(
            served_name=self.served_name,
            base=base,
            parts=tuple(Part(part.adapter, part.scale, part.digest) for part in self.parts),
            merge=self.merge if len(self.parts) > 1 else "",
            base_digest=base_digest,
            declared=True,
        )


class Registry(_Entry):
    """The registry file."""

    base: str = ""
    """Name of the base model, for display where the server lists several."""
    base_digest: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    combinations: tuple[DeclaredCombination, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Registry:
        seen: set[str] = set()
        for one in self.combinations:
            if one.served_name in seen:
                raise ValueError(f"served name {one.served_name!r} is declared twice")
            seen.add(one.served_name)
        return self

    def declares(self, served_name: str) -> bool:
        """True when the file says what this served name is made of."""
        return served_name in self._by_served_name

    def combination(self, served_name: str, base: str) -> Combination:
        """What this served name stands for: as declared, else one adapter of unknown composition."""
        declared = self._by_served_name.get(served_name)
        if declared is None:
            return Combination(served_name, base, (Part(served_name),), base_digest=self.base_digest)
        return replace(declared, base=base)

    def is_ambiguous(self, combination: Combination) -> bool:
        """True when a declared combination other than this one has the same readable name."""
        return bool(self._compositions.get(combination.name, set()) - {(combination.parts, combination.merge)})

    @cached_property
    def _by_served_name(self) -> dict[str, Combination]:
        return {one.served_name: one.combination(self.base, self.base_digest) for one in self.combinations}

    @cached_property
    def _compositions(self) -> dict[str, set[tuple[tuple[Part, ...], str]]]:
        """Readable name -> what declared combinations of that name are made of."""
        found: dict[str, set[tuple[tuple[Part, ...], str]]] = {}
        for one in self._by_served_name.values():
            found.setdefault(one.name, set()).add((one.parts, one.merge))
        return found


def load_registry(file: Path | None) -> Registry:
    """Read the registry; an empty one without a file. Raises ConfigError with a line per mistake."""
    if file is None:
        return Registry.model_validate({})
    try:
        return Registry.model_validate(read_mapping(file, "registry file"))
    except ValidationError as error:
        raise ConfigError(describe_validation(error, str(file))) from error
