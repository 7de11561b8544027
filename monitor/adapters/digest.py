"""What an adapter's or a base model's files hold, as one SHA-256 that does not depend on how they lie on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from monitor.adapters.contents import Contents
from monitor.adapters.weights import CONFIG, WEIGHTS, AdapterFilesError, TensorFile, open_tensors, read_config

FORMAT: Final = "alignment-monitor adapter digest 1"
BASE_FORMAT: Final = "alignment-monitor base digest 1"
BASE_CONFIG: Final = "config.json"
INDEX: Final = "model.safetensors.index.json"
SINGLE: Final = "model.safetensors"

_NEUTRAL: Final = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "inference_mode",
        "lora_dropout",
        "peft_version",
        "revision",
        "task_type",
    }
)
"""Keys of adapter_config.json that change nothing of what a server does with the adapter."""
_NEUTRAL_BASE: Final = frozenset({"_name_or_path", "transformers_version"})


def adapter_digest(folder: Path) -> str:
    """Digest of an adapter: its configuration and its tensors, whatever their order in the file.

    Raises AdapterFilesError.
    """
    digest = hashlib.sha256(f"{FORMAT}\n".encode())
    digest.update(_canonical(_without(read_config(folder), _NEUTRAL)))
    _add_tensors(digest, open_tensors(folder))
    return digest.hexdigest()


def base_digest(folder: Path) -> str:
    """Digest of a base model: its configuration, and which tensors of which shape lie in which files of which size.

    The weights themselves, many gigabytes, are not read: it tells models and versions apart, it does not prove their content.
    Raises AdapterFilesError.
    """
    digest = hashlib.sha256(f"{BASE_FORMAT}\n".encode())
    digest.update(_canonical(_without(_json(folder / BASE_CONFIG), _NEUTRAL_BASE)))
    if (folder / INDEX).exists():
        index = _json(folder / INDEX)
        digest.update(_canonical(index))
        names = index.get("weight_map")
        files = sorted({str(file) for file in names.values()}) if isinstance(names, dict) else []
        digest.update(_canonical([[file, _size(folder / file)] for file in files]))
    else:
        tensors = TensorFile(folder / SINGLE).tensors
        digest.update(_canonical([[name, one.kind, list(one.shape)] for name, one in sorted(tensors.items())]))
    return digest.hexdigest()


def _add_tensors(digest: Any, file: TensorFile) -> None:
    for name, tensor in sorted(file.tensors.items()):
        digest.update(_canonical([name, tensor.kind, list(tensor.shape)]))
        digest.update(file.bytes_of(name))


def _without(config: Mapping[str, Any], neutral: frozenset[str]) -> dict[str, Any]:
    """What counts of a configuration: lists that are sets in order, and nothing that only says "not set"."""
    kept: dict[str, Any] = {}
    for key, value in config.items():
        if key in neutral or value is None or value in ({}, []):
            continue
        is_set = key in ("target_modules", "modules_to_save") and isinstance(value, list)
        kept[key] = sorted(value, key=str) if is_set else value
    return kept


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise AdapterFilesError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise AdapterFilesError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise AdapterFilesError(f"{path}: not a JSON object")
    return value


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise AdapterFilesError(f"{path}: cannot be read: {error.strerror}") from error


def within(path: Path, folders: Sequence[Path]) -> Path:
    """The folder itself, when it and its files lie in one of these folders, links followed.

    A server lists whatever path it was told; only what the operator named may be read. Raises AdapterFilesError.
    """
    allowed = [folder.resolve() for folder in folders]
    try:
        found = path.resolve(strict=True)
        files = [
            found,
            *(one.resolve() for one in (found / CONFIG, found / WEIGHTS, found / BASE_CONFIG) if one.exists()),
        ]
    except (OSError, RuntimeError) as error:
        raise AdapterFilesError(f"{path}: cannot be read: {error}") from error
    for one in files:
        if not any(one == folder or folder in one.parents for folder in allowed):
            raise AdapterFilesError(f"{path}: {one.name} lies outside of adapters.folders")
    return found


Signature = tuple[tuple[str, int, int, int, int], ...]


def signature(folder: Path) -> Signature:
    """Name, inode, size and times of the files: while it is the same, so are they."""
    found = []
    for name in (CONFIG, WEIGHTS, BASE_CONFIG, INDEX, SINGLE):
        try:
            stat = (folder / name).stat()
        except OSError:
            continue
        found.append((name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return tuple(found)


class Digests:
    """Digests by folder, computed anew only when the files' inode, size or times changed."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._known: dict[Path, tuple[Signature, Contents]] = {}

    def of(self, root: str, *, base: bool = False) -> Contents:
        """Contents behind a path that the server lists; never raises, and never guesses."""
        if not self._folders:
            return Contents("", "adapters.folders names no folder that may be read")
        try:
            folder = within(Path(root), self._folders)
        except AdapterFilesError as error:
            return Contents("", str(error))
        before = signature(folder)
        known = self._known.get(folder)
        if known and known[0] == before:
            return known[1]
        try:
            contents = Contents(base_digest(folder) if base else adapter_digest(folder))
        except AdapterFilesError as error:
            contents = Contents("", str(error))
        if signature(folder) != before:
            return Contents("", f"{folder}: its files changed while they were read")
        self._known[folder] = (before, contents)
        return contents

    def forget_except(self, roots: Sequence[str]) -> None:
        """Drop what is no longer served."""
        kept = {Path(root).resolve() for root in roots}
        for folder in [folder for folder in self._known if folder not in kept]:
            del self._known[folder]
