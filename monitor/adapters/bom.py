"""The registry as a CycloneDX 1.7 ML-BOM, and back.

Components, hashes, licences, pedigree and properties are the library's own. Model cards, which it does not model, are put in as
plain JSON; the whole is then held against the library's copy of the schema. What no field of CycloneDX says (scales,
approvals, which evaluation a figure belongs to) stands in properties below `alignment-monitor:`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.adapters.registry import Approval, DeclaredCombination, Evaluation, KnownAdapter, Registry
from monitor.config.load import ConfigError, describe_validation

SPEC: Final = "1.7"
NAMESPACE: Final = "alignment-monitor:"
MODEL: Final = "machine-learning-model"
_EVALUATION: Final = f"{NAMESPACE}evaluation"


class _Loose(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Property(_Loose):
    name: str
    value: str = ""


class _Hash(_Loose):
    alg: str
    content: str


class _Interval(_Loose):
    lower: str | None = Field(None, alias="lowerBound")
    upper: str | None = Field(None, alias="upperBound")


class _Metric(_Loose):
    type: str = ""
    value: str = "0"
    slice: str = ""
    interval: _Interval | None = Field(None, alias="confidenceInterval")


class _Analysis(_Loose):
    metrics: tuple[_Metric, ...] = Field((), alias="performanceMetrics")


class _Card(_Loose):
    analysis: _Analysis | None = Field(None, alias="quantitativeAnalysis")
    properties: tuple[_Property, ...] = ()


class _Pedigree(_Loose):
    ancestors: tuple[_Component, ...] = ()


class _Component(_Loose):
    type: str
    name: str
    version: str = ""
    hashes: tuple[_Hash, ...] = ()
    licenses: tuple[dict[str, Any], ...] = ()
    properties: tuple[_Property, ...] = ()
    pedigree: _Pedigree | None = None
    card: _Card | None = Field(None, alias="modelCard")

    @property
    def said(self) -> dict[str, str]:
        """Our own properties, without the namespace."""
        return {
            one.name.removeprefix(NAMESPACE): one.value for one in self.properties if one.name.startswith(NAMESPACE)
        }

    @property
    def digest(self) -> str:
        """The digest of the contents, "" when there is none."""
        return next((one.content for one in self.hashes if one.alg == "SHA-256"), "")


class _Bom(_Loose):
    spec: str = Field(alias="specVersion")
    components: tuple[_Component, ...] = ()


def registry_content(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What a CycloneDX document says, in the registry's own words. Raises ConfigError."""
    if content.get("bomFormat") != "CycloneDX":
        raise ConfigError(f"{source}: bomFormat: not CycloneDX")
    try:
        bom = _Bom.model_validate(content)
        models = [one for one in bom.components if one.type == MODEL]
        base = next((one for one in models if one.said.get("role") == "base"), None)
        return {
            "base": base.name if base else "",
            "base_digest": base.digest if base else "",
            "base_version": base.version if base else "",
            "adapters": [_adapter(one) for one in models if one.said.get("role") == "adapter"],
            "combinations": [_combination(one) for one in models if one.said.get("role") == "combination"],
        }
    except ValidationError as error:
        raise ConfigError(describe_validation(error, source)) from error
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error


def _adapter(one: _Component) -> dict[str, Any]:
    said = one.said
    return {
        "name": one.name,
        "digest": one.digest,
        "version": one.version,
        "source": said.get("source", ""),
        "licence": _licence(one.licenses),
        "external": said.get("external") == "true",
        "signature": said.get("signature", ""),
        "quarantined": said.get("quarantined", ""),
        "evaluations": _evaluations(one),
    }


def _licence(licenses: Sequence[Mapping[str, Any]]) -> str:
    for one in licenses:
        inner = one.get("license", {})
        found = one.get("expression") or inner.get("id") or inner.get("name")
        if found:
            return str(found)
    return ""


def _combination(one: _Component) -> dict[str, Any]:
    said = one.said
    approval = said.get("approval")
    return {
        "served_name": one.name,
        "digest": one.digest,
        "merge": said.get("merge", ""),
        "quarantined": said.get("quarantined", ""),
        "parts": [
            {"adapter": part.name, "scale": float(part.said.get("scale", "1")), "digest": part.digest}
            for part in _in_order(one.pedigree.ancestors if one.pedigree else ())
        ],
        "evaluations": _evaluations(one),
        "approval": json.loads(approval) if approval else None,
    }


def _in_order(ancestors: Iterable[_Component]) -> list[_Component]:
    """The parts as they were put together; documents list ancestors in an order of their own."""
    parts = [one for one in ancestors if one.said.get("role") == "part"]
    return sorted(parts, key=lambda one: int(one.said.get("number", "0")))


def _evaluations(one: _Component) -> list[dict[str, Any]]:
    """The records of the card; each figure belongs to the record whose number stands before its slice."""
    if one.card is None:
        return []
    records = [json.loads(prop.value) for prop in one.card.properties if prop.name == _EVALUATION]
    for record in records:
        record["metrics"] = []
    for metric in one.card.analysis.metrics if one.card.analysis else ():
        number, _, measured_on = metric.slice.partition(" ")
        place = int(number.removeprefix("#") or "0") if number.startswith("#") else 0
        if place >= len(records):
            raise ValueError(f"{one.name}: a performance metric belongs to no evaluation: {metric.slice!r}")
        interval = metric.interval
        records[place]["metrics"].append(
            {
                "type": metric.type,
                "value": metric.value,
                "slice": measured_on,
                "lower": interval.lower if interval else None,
                "upper": interval.upper if interval else None,
            }
        )
    return records


def bom_of(registry: Registry) -> dict[str, Any]:
    """The registry as a CycloneDX document. Raises ValueError when the schema does not accept it."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot7

    components = [_base_component(registry)] if registry.base else []
    components += [_adapter_component(one) for one in registry.adapters]
    components += [_combination_component(one, registry) for one in registry.combinations]
    document: dict[str, Any] = json.loads(JsonV1Dot7(Bom(components=components)).output_as_string())
    cards = {_ref("adapter", one.name): one.evaluations for one in registry.adapters}
    cards |= {_ref("combination", one.served_name): one.evaluations for one in registry.combinations}
    for component in document.get("components", ()):
        evaluations = cards.get(component.get("bom-ref"))
        if evaluations:
            component["modelCard"] = _card(evaluations)
    check_schema(document)
    return document


def check_schema(document: Mapping[str, Any]) -> None:
    """Raises ValueError that names the first place where a document is not CycloneDX 1.7."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_7).validate_str(json.dumps(document))
    if error is not None:
        place = ".".join(str(step) for step in getattr(error.data, "absolute_path", ()))
        raise ValueError(f"not CycloneDX {SPEC}: {place or 'the document'}: {getattr(error.data, 'message', error)}")


def _ref(role: str, name: str) -> str:
    return f"{role}:{name}"


def _component(role: str, name: str, digest: str, said: Mapping[str, str], **fields: Any) -> Any:
    """One component; properties that say nothing are left out."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=name,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else None,
        properties=[
            Property(name=f"{NAMESPACE}{key}", value=value) for key, value in {"role": role, **said}.items() if value
        ],
        **fields,
    )


def _base_component(registry: Registry) -> Any:
    return _component(
        "base", registry.base, registry.base_digest, {}, version=registry.base_version or None, bom_ref=_ref("base", registry.base)
    )  # fmt: skip


def _adapter_component(one: KnownAdapter) -> Any:
    from cyclonedx.contrib.license.factories import LicenseFactory

    return _component(
        "adapter",
        one.name,
        one.digest,
        {
            "source": one.source,
            "external": "true" if one.external else "",
            "signature": one.signature,
            "quarantined": one.quarantined,
        },
        version=one.version or None,
        bom_ref=_ref("adapter", one.name),
        licenses=[LicenseFactory().make_from_string(one.licence)] if one.licence else None,
    )


def _combination_component(one: DeclaredCombination, registry: Registry) -> Any:
    from cyclonedx.model.component import Pedigree

    known = {adapter.name: adapter.digest for adapter in registry.adapters}
    ref = _ref("combination", one.served_name)
    parts = [
        _component(
            "part",
            part.adapter,
            part.digest or known.get(part.adapter, ""),
            {"scale": repr(part.scale), "number": str(number)},
            bom_ref=f"{ref}:part:{number}",
        )
        for number, part in enumerate(one.parts)
    ]
    return _component(
        "combination",
        one.served_name,
        one.digest,
        {"merge": one.merge, "quarantined": one.quarantined, "approval": _approval(one.approval)},
        pedigree=Pedigree(ancestors=parts),
        bom_ref=ref,
    )


def _approval(approval: Approval | None) -> str:
    return json.dumps(approval.model_dump(), sort_keys=True) if approval else ""


def _card(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The model card: every figure with its slice and interval, and beside them the record that it belongs to."""
    metrics = [_metric(number, one.model_dump()) for number, record in enumerate(evaluations) for one in record.metrics]
    card: dict[str, Any] = {
        "properties": [
            {"name": _EVALUATION, "value": json.dumps(record.model_dump(exclude={"metrics"}), sort_keys=True)}
            for record in evaluations
        ]
    }
    if metrics:
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return card


def _metric(number: int, one: Mapping[str, Any]) -> dict[str, Any]:
    metric: dict[str, Any] = {
        "type": one["type"],
        "value": repr(one["value"]),
        "slice": f"#{number} {one['slice']}".rstrip(),
    }
    bounds: Iterable[tuple[str, str]] = (("lower", "lowerBound"), ("upper", "upperBound"))
    interval = {name: repr(one[key]) for key, name in bounds if one[key] is not None}
    if interval:
        metric["confidenceInterval"] = interval
    return metric
