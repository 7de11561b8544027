"""From flags, environment and file to one checked configuration.

Precedence: flags, then environment, then file, then defaults. Environment: ALIGNMENT_CONFIG, ALIGNMENT_UPSTREAM,
ALIGNMENT_LISTEN and ALIGNMENT_ADMIN mirror the flags; any other key is ALIGNMENT_<SECTION>__<KEY>, its value read as YAML.
Variables without a double underscore are not ours (Kubernetes sets such for every Service) and are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from monitor.config.model import Config

PREFIX = "ALIGNMENT_"
SHORT_NAMES = {
    "ALIGNMENT_UPSTREAM": ("proxy", "upstream"),
    "ALIGNMENT_LISTEN": ("proxy", "listen"),
    "ALIGNMENT_ADMIN": ("admin", "listen"),
}


class _Loader(yaml.SafeLoader):
    """As YAML asks, but as its library does not: a key that stands twice in a mapping is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """yaml: called for every mapping."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} stands twice", problem_mark=key.start_mark)
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class ConfigError(ValueError):
    """The configuration cannot be used; the message has one line per mistake, each with its source and key."""


def load_config(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[tuple[str, str], Any] | None = None
) -> Config:
    """Merge the sources and check the result.

    Raises ConfigError that names every wrong key with its path.
    """
    merged: dict[str, Any] = read_mapping(file, "configuration file") if file else {}
    origins: dict[tuple[str, ...], str] = {}
    for name, value in sorted(environment.items(), key=lambda pair: "__" in pair[0], reverse=True):
        path = SHORT_NAMES.get(name) or _nested_path(name)
        if path:
            _put(merged, path, value if name in SHORT_NAMES else _yaml_value(name, value), name)
            origins[path] = f"environment variable {name}"
    for path, value in (flags or {}).items():
        if value is not None:
            flag = f"flag --{'admin' if path == ('admin', 'listen') else path[-1]}"
            _put(merged, path, value, flag)
            origins[path] = flag
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        source = str(file) if file else "configuration"
        raise ConfigError("\n".join(_describe(detail, origins, source) for detail in error.errors())) from error


def read_mapping(file: Path, what: str) -> dict[str, Any]:
    """The mapping in a YAML or JSON file; {} when it is empty. Raises ConfigError."""
    try:
        loaded = _parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot read the {what}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: the {what} is not UTF-8 text (byte {error.start})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1} column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise ConfigError(f"{file}:{where} {what} is not valid YAML: {problem}") from error
    except (ValueError, RecursionError) as error:  # a date that does not exist; brackets a thousand deep
        raise ConfigError(f"{file}: {what} is not valid YAML: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{file}: the {what} must be a mapping of keys, not {type(loaded).__name__}")
    return loaded


def describe_validation(error: ValidationError, source: str) -> str:
    """One line per mistake: source, key path, what is wrong."""
    return "\n".join(_describe(detail, {}, source) for detail in error.errors())


def _nested_path(name: str) -> tuple[str, ...] | None:
    if not name.startswith(PREFIX) or "__" not in name:
        return None
    return tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))


def _yaml_value(name: str, value: str) -> Any:
    try:
        return _parse(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"environment variable {name}: not valid YAML") from error


def _parse(text: str) -> Any:
    return yaml.load(text, _Loader)  # a SafeLoader


def _put(target: dict[str, Any], path: tuple[str, ...], value: Any, source: str) -> None:
    for depth, key in enumerate(path[:-1], 1):
        inner = target.setdefault(key, {})
        if inner is None:
            inner = target[key] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"{source}: {'.'.join(path[:depth])} is not a section")
        target = inner
    target[path[-1]] = value


def _describe(detail: Any, origins: Mapping[tuple[str, ...], str], source: str) -> str:
    location = tuple(str(part) for part in detail["loc"])
    key = ".".join(location)
    of_parents = [origins[location[:length]] for length in range(len(location), 0, -1) if location[:length] in origins]
    around = location[:-1] if detail["type"] == "missing" else location
    of_children = [origin for path, origin in origins.items() if around and path[: len(around)] == around]
    source = next(iter([*of_parents, *of_children]), source)
    if detail["type"] == "extra_forbidden":
        return f"{source}: {key}: unknown key"
    if not key:
        return f"{source}: {detail['msg'].removeprefix('Value error, ')}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{source}: {key}: {message[:1].lower()}{message[1:]}"
