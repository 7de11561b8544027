"""Prints the configuration reference: every key from the model itself, so that the page cannot fall behind the code.

python -m monitor.config.reference > monitor/config/REFERENCE.md
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from monitor.config.load import PREFIX, SHORT_NAMES
from monitor.config.model import Config

_HEAD: Final = """# Configuration reference

Written by `python -m monitor.config.reference` from the model in `model.py`; a test holds it to that.

A YAML or JSON file (`--config FILE` or `ALIGNMENT_CONFIG`), the environment and the flags of `serve` are merged: a flag wins
over the environment, the environment over the file, the file over the default. Every key can be set by the variable beside
it; the value is read as YAML. An unknown key is an error that names its path. `alignment-monitor check-config FILE` checks
a file without starting anything.
"""

_TYPES: Final = {str: "text", float: "number", int: "whole number", bool: "true or false", Path: "path"}
_MEANING: Final = {
    "_address": "HOST:PORT",
    "_upstream": "URL",
    "_endpoint": "URL",
    "web_address": "URL",
    "_pattern": "regular expression",
}


def reference() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_lines(Config)])


def _lines(config: type[BaseModel]) -> Iterator[str]:
    for name, field in config.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        yield f"## {name}"
        yield ""
        yield (section.__doc__ or "").strip()
        yield ""
        yield "| key | type | default | meaning | environment |"
        yield "|---|---|---|---|---|"
        for path, one in _fields(section, (name,)):
            yield _row(path, one)
        yield ""


def _fields(section: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """All keys of a section; those of the sections inside it follow their own."""
    for name, field in section.model_fields.items():
        here = (*path, name)
        yield here, field
        inner = _section_inside(field.annotation)
        if inner is not None:
            outer = get_origin(field.annotation)
            element = ("NAME",) if outer is dict else ("[]",) if outer is tuple else ()
            yield from _fields(inner, (*here, *element))


def _row(path: tuple[str, ...], field: FieldInfo) -> str:
    key = ".".join(path).replace(".[]", "[]")
    meaning = " ".join((field.description or "").split()).replace("|", "\\|")
    return (
        f"| `{key}` | {_type(field.annotation, field.metadata)} | {_default(field)} | {meaning} | {_variable(path)} |"
    )


def _variable(path: tuple[str, ...]) -> str:
    short = {place: name for name, place in SHORT_NAMES.items()}
    if path in short:
        return f"`{short[path]}`"
    if {"NAME", "[]"} & set(path):
        return "in the value of the key above it"
    return f"`{PREFIX}{'__'.join(path).upper()}`"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "not set"
    if isinstance(value, BaseModel):
        return "as below"
    return "empty" if value in ((), {}, "") else f"`{value}`"


def _type(annotation: Any, metadata: list[Any]) -> str:
    """An annotation in words, with the bounds that its metadata set."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0], list(inner[1:]))
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin in (Union, UnionType):
        return " or ".join(_type(one, metadata) for one in inner if one is not type(None))
    if origin is tuple:
        return f"list of {_type(inner[0], [])}"
    if origin is dict:
        return f"mapping of NAME to {_type(inner[1], [])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return _bounded(_TYPES[annotation], metadata)


def _bounded(text: str, metadata: list[Any]) -> str:
    bounds = []
    for one in _flat(metadata):
        function = getattr(getattr(one, "func", None), "__name__", "")
        text = _MEANING.get(function, text)
        for name, sign in (("gt", "> "), ("ge", "≥ "), ("lt", "< "), ("le", "≤ ")):
            bound = getattr(one, name, None)
            if bound is not None:
                bounds.append(f"{sign}{bound}")
    return f"{text}, {', '.join(bounds)}" if bounds else text


def _flat(metadata: list[Any]) -> Iterator[Any]:
    for one in metadata:
        yield from one.metadata if isinstance(one, FieldInfo) else (one,)


def _section_inside(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_section_inside(one) for one in get_args(annotation))
    return next((one for one in found if one is not None), None)


if __name__ == "__main__":
    print(reference(), end="")
