"""`alignment-monitor registry`: keeps the registry file and looks into adapters, without a server."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from monitor.adapters.alignment import ModelWeights, alignment_shares
from monitor.adapters.bom import bom_of
from monitor.adapters.composition import identify
from monitor.adapters.digest import adapter_digest, base_digest
from monitor.adapters.gram import Gram
from monitor.adapters.pairs import rank_pairs
from monitor.adapters.registry import Registry, load_registry
from monitor.adapters.signing import Trust, verify_bundle
from monitor.adapters.validation import validate
from monitor.adapters.watch import known_folders
from monitor.adapters.weights import AdapterFilesError, AdapterWeights
from monitor.config.load import ConfigError, describe_validation

DEFAULT_FILE: Final = Path("registry.json")
EXIT_DIFFERENT: Final = 1
"""`verify` found something else than the registry says."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its subcommands."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        found = actions.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
        found.add_argument(
            "--registry", type=Path, default=DEFAULT_FILE, metavar="FILE", help="registry file (default: %(default)s)"
        )
        found.set_defaults(run_action=run)
        return found

    scan = action(
        "scan", "list the adapters below folders with their digests, and what the registry knows of them", _scan
    )
    scan.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    _add_add_arguments(action("add", "add or replace an adapter, a combination, the base, or an evaluation", _add))
    show = action("show", "show what the registry says, as JSON", _show)
    show.add_argument("name", nargs="?", default="", help="served name or adapter")
    _add_verify_arguments(action("verify", "compare adapters' files and signatures with the registry", _verify))
    export = action("export", "print the registry as a CycloneDX 1.7 ML-BOM, or as YAML", _export)
    export.add_argument("--format", choices=("cyclonedx", "yaml"), default="cyclonedx")
    approve = action("approve", "approve a combination, bound to the digests of all that it is made of", _approve)
    approve.add_argument("combination", metavar="COMBINATION", help="its served name")
    approve.add_argument("--by", required=True, help="who approves")
    approve.add_argument("--revoke", action="store_true", help="take the approval back")
    stop = action(
        "quarantine", "say that an adapter or a combination must not serve, or that it may again", _quarantine
    )
    stop.add_argument(
        "name", metavar="NAME", help="served name of a combination, or an adapter: then all that contain it"
    )
    stop.add_argument("--reason", default="", help="why")
    stop.add_argument("--release", action="store_true", help="end the quarantine")
    look = action("identify", "find which known adapters an adapter is made of, from its weights", _identify)
    look.add_argument("adapter", type=Path, metavar="ADAPTER")
    look.add_argument(
        "--among", type=Path, nargs="+", required=True, metavar="DIR", help="adapters, or folders of them"
    )
    look.add_argument("--cache", type=Path, metavar="DIR", help="folder that keeps inner products for the next time")
    pairs = action(
        "rank-pairs", "order pairs of adapters by what their updates share: what to evaluate first", _rank_pairs
    )
    pairs.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="adapters, or folders of them")
    pairs.add_argument(
        "--alignment",
        type=Path,
        metavar="ADAPTER",
        help="the update that aligned the base, as an adapter of the same shape",
    )
    pairs.add_argument(
        "--base",
        type=Path,
        metavar="DIR",
        help="the model before alignment: tells what lies outside of what alignment changed",
    )
    pairs.add_argument("--aligned", type=Path, metavar="DIR", help="the model after it")
    pairs.add_argument("--cache", type=Path, metavar="DIR", help="folder that keeps inner products for the next time")


def _add_add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name of the adapter, served name of the combination, or name of the base")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="folder of its files, for the digest")
    parser.add_argument("--base", action="store_true", help="it is the base model")
    parser.add_argument("--parts", nargs="+", metavar="ADAPTER[=SCALE]", help="it is a combination of these adapters")
    parser.add_argument("--merge", default="", help="how the parts were put together: cat, linear, svd, ties, ...")
    parser.add_argument("--version", default="", help="of the adapter or of the base")
    parser.add_argument("--source", default="", help="where the adapter comes from")
    parser.add_argument("--licence", default="", help="SPDX expression")
    parser.add_argument("--external", action="store_true", help="it was made outside of the organisation")
    parser.add_argument("--quarantine", default="", metavar="REASON", help="it must not serve, nor what contains it")
    parser.add_argument("--evaluation", type=Path, metavar="FILE", help="JSON record of an evaluation to add to it")


def _add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="adapters, or folders of them")
    parser.add_argument("--public-key", type=Path, metavar="FILE", help="whose signature counts")
    parser.add_argument("--certificate", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--identity", default="", help="Sigstore identity whose signature counts")
    parser.add_argument("--oidc-issuer", default="", help="who vouches for that identity")


def run(args: argparse.Namespace) -> int:
    """Do it; 2 when a file cannot be used."""
    try:
        code: int = args.run_action(args)
    except BrokenPipeError:
        raise  # nothing is wrong with what was asked
    except (AdapterFilesError, ConfigError, ValueError, OSError) as error:
        for line in str(error).splitlines():
            print(f"alignment-monitor registry: {line}", file=sys.stderr)
        return 2
    return code


def _scan(args: argparse.Namespace) -> int:
    registry = _load(args.registry, may_be_new=args.registry == DEFAULT_FILE)
    by_digest = {one.digest: one.name for one in registry.adapters if one.digest}
    by_digest |= {one.digest: one.served_name for one in registry.combinations if one.digest}
    for folder in _adapters(args.folders):
        found: dict[str, Any] = {"name": folder.name, "folder": str(folder)}
        try:
            weights = AdapterWeights(folder)
            digest = adapter_digest(folder)
            found |= {
                "digest": digest,
                "modules": len(weights.modules),
                "ranks": sorted({weights.rank(module) for module in weights.modules}),
                "not_handled": list(weights.unhandled),
                "registered_as": by_digest.get(digest),
            }
        except AdapterFilesError as error:
            found["problem"] = str(error)
        _print(found)
    return 0


_SAYS_NOTHING_OF: Final = {
    "the base": ("parts", "merge", "source", "licence", "external", "quarantine", "evaluation"),
    "a combination": ("version", "source", "licence", "external"),
    "an adapter": ("merge",),
}
"""Flags of `add` that are kept of none of these."""


def _add(args: argparse.Namespace) -> int:
    registry = _load(args.registry, may_be_new=True)
    content = registry.model_dump()
    combined = bool(args.parts) or registry.declares(args.name)
    kind = "the base" if args.base else "a combination" if combined else "an adapter"
    for flag in _SAYS_NOTHING_OF[kind]:
        if getattr(args, flag):
            raise ValueError(f"--{flag}: {args.name} is {kind}, of which the registry keeps none")
    if args.evaluation and not args.dir and not combined and registry.adapter(args.name) is None:
        raise ValueError(f"{args.registry}: knows no {args.name!r} that was evaluated: add it first")
    if args.base:
        content |= _base_entry(args, registry)
    elif combined:
        _put(content, "combinations", "served_name", _combination_entry(args, registry))
    else:
        _put(content, "adapters", "name", _adapter_entry(args, registry))
    _save(_checked(content, str(args.registry)), args.registry)
    return 0


def _base_entry(args: argparse.Namespace, registry: Registry) -> dict[str, str]:
    same = args.name == registry.base
    return {
        "base": args.name,
        "base_version": args.version or (registry.base_version if same else ""),
        "base_digest": base_digest(args.dir) if args.dir else registry.base_digest if same else "",
    }


def _combination_entry(args: argparse.Namespace, registry: Registry) -> dict[str, Any]:
    known = registry.declared(args.name)
    entry: dict[str, Any] = known.model_dump() if known else {"served_name": args.name, "evaluations": []}
    if args.parts:
        entry |= {"parts": [_part(text, registry) for text in args.parts], "merge": args.merge}
    elif args.merge:
        entry["merge"] = args.merge
    if args.dir:
        entry["digest"] = adapter_digest(args.dir)
    if args.quarantine:
        entry["quarantined"] = args.quarantine
    entry["evaluations"] = [*entry["evaluations"], *_evaluation(args.evaluation)]
    return entry


def _part(text: str, registry: Registry) -> dict[str, Any]:
    name, _, scale = text.partition("=")
    known = registry.adapter(name)
    try:
        return {"adapter": name, "scale": float(scale or 1), "digest": known.digest if known else ""}
    except ValueError:
        raise ValueError(f"--parts: {text!r} is not ADAPTER or ADAPTER=SCALE") from None


def _adapter_entry(args: argparse.Namespace, registry: Registry) -> dict[str, Any]:
    known = registry.adapter(args.name)
    entry: dict[str, Any] = known.model_dump() if known else {"name": args.name, "evaluations": []}
    if args.dir:
        digest = adapter_digest(args.dir)
        if digest != entry.get("digest"):
            entry["signature"] = ""  # it was of other contents
        entry["digest"] = digest
    for key in ("version", "source", "licence"):
        entry[key] = getattr(args, key) or entry.get(key, "")
    entry["external"] = args.external or entry.get("external", False)
    entry["quarantined"] = args.quarantine or entry.get("quarantined", "")
    entry["evaluations"] = [*entry["evaluations"], *_evaluation(args.evaluation)]
    return entry


def _evaluation(file: Path | None) -> list[Any]:
    if file is None:
        return []
    try:
        return [json.loads(file.read_bytes())]
    except ValueError as error:
        raise ValueError(f"{file}: not JSON: {error}") from error


def _put(content: dict[str, Any], section: str, key: str, entry: dict[str, Any]) -> None:
    """Replace the entry of that name, or add it."""
    entries = list(content[section])
    place = next((at for at, one in enumerate(entries) if one[key] == entry[key]), len(entries))
    content[section] = [*entries[:place], entry, *entries[place + 1 :]]


def _show(args: argparse.Namespace) -> int:
    registry = _load(args.registry)
    if not args.name:
        for one in registry.combinations:
            _print(_shown(registry, one.served_name))
        for adapter in registry.adapters:
            _print({"adapter": adapter.model_dump()})
        return 0
    adapter_found = registry.adapter(args.name)
    if registry.declares(args.name):
        _print(_shown(registry, args.name))
    elif adapter_found is not None:
        _print({"adapter": adapter_found.model_dump()})
    else:
        raise ValueError(f"{args.registry}: knows no {args.name!r}")
    return 0


def _shown(registry: Registry, served_name: str) -> dict[str, Any]:
    """A declared combination with its id, and its status if it is served as it is declared."""
    declared = registry.declared(served_name)
    assert declared is not None
    combination = registry.combination(served_name, registry.base)
    found = validate(registry, combination, declared.digest)
    return {
        "combination": declared.model_dump(),
        "name": combination.name,
        "id": combination.id,
        "status": found.status.value,
        "reason": found.reason,
        "findings": list(found.findings),
    }


def _verify(args: argparse.Namespace) -> int:
    registry = _load(args.registry)
    trust = Trust(args.public_key, tuple(args.certificate), args.identity, args.oidc_issuer)
    content = registry.model_dump()
    bad = False
    for folder in _adapters(args.folders):
        adapter, declared = registry.adapter(folder.name), registry.declared(folder.name)
        expected = adapter.digest if adapter else declared.digest if declared else ""
        digest, problem = "", ""
        try:
            digest = adapter_digest(folder)
        except AdapterFilesError as error:
            problem = str(error)
        signed = verify_bundle(folder, trust)
        contents = (
            "unreadable" if problem else "unknown" if not expected else "same" if digest == expected else "changed"
        )
        bad = bad or contents in ("unreadable", "changed") or signed.state == "invalid"
        _print(
            {"name": folder.name, "contents": contents, "digest": digest, "problem": problem,
             "signature": signed.state, "detail": signed.detail}
        )  # fmt: skip
        if adapter and (signed.state == "invalid" or (signed.state == "verified" and digest == adapter.digest)):
            _put(content, "adapters", "name", {**adapter.model_dump(), "signature": signed.state})
    changed = _checked(content, str(args.registry))
    if changed != registry:
        _save(changed, args.registry)
    return EXIT_DIFFERENT if bad else 0


def _export(args: argparse.Namespace) -> int:
    registry = _load(args.registry)
    text = _yaml(registry) if args.format == "yaml" else json.dumps(bom_of(registry), indent=1) + "\n"
    sys.stdout.write(text)
    return 0


def _approve(args: argparse.Namespace) -> int:
    registry = _load(args.registry)
    declared = registry.declared(args.combination)
    if declared is None:
        raise ValueError(f"{args.registry}: declares no combination {args.combination!r}")
    entry = declared.model_dump()
    if args.revoke:
        entry["approval"] = None
    else:
        combination = registry.combination(args.combination, registry.base)
        missing = [part.adapter for part in combination.parts if not part.digest]
        if not registry.base_digest:
            missing.insert(0, f"the base {registry.base or '(none is named)'}")
        if len(combination.parts) > 1 and not declared.digest:
            missing.append(f"the merged adapter {args.combination} itself")
        if missing:
            raise ValueError(
                f"{args.combination}: an approval is bound to digests, and there is none of {', '.join(missing)}: "
                "give each with `registry add NAME --dir DIR`"
            )
        entry["approval"] = {
            "by": args.by,
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "id": combination.id,
            "digest": declared.digest,
        }
    content = registry.model_dump()
    _put(content, "combinations", "served_name", entry)
    _save(_checked(content, str(args.registry)), args.registry)
    return 0


def _quarantine(args: argparse.Namespace) -> int:
    if bool(args.reason) == args.release:
        raise ValueError("give either --reason or --release")
    registry = _load(args.registry, may_be_new=not args.release)
    section, key = ("combinations", "served_name") if registry.declares(args.name) else ("adapters", "name")
    known = registry.declared(args.name) or registry.adapter(args.name)
    if known is None and args.release:
        raise ValueError(f"{args.registry}: knows no {args.name!r}")
    if known is None:
        told = f"{args.registry} knew no {args.name!r}: it is quarantined as an adapter of that name"
        print(f"alignment-monitor registry: {told}", file=sys.stderr)
    entry = known.model_dump() if known else {"name": args.name}
    content = registry.model_dump()
    _put(content, section, key, entry | {"quarantined": args.reason})
    _save(_checked(content, str(args.registry)), args.registry)
    return 0


def _identify(args: argparse.Namespace) -> int:
    query = AdapterWeights(args.adapter)
    known = []
    for folder in _adapters(args.among):
        try:
            known.append(AdapterWeights(folder))
        except AdapterFilesError as error:
            print(f"left out: {error}", file=sys.stderr)
    if args.cache:
        for one in (query, *known):
            one.key = adapter_digest(one.folder)
    print(json.dumps(identify(query, known, Gram(args.cache)).as_json(), indent=1))
    return 0


def _rank_pairs(args: argparse.Namespace) -> int:
    adapters = [AdapterWeights(folder) for folder in _adapters(args.folders)]
    alignment = AdapterWeights(args.alignment) if args.alignment else None
    if alignment:
        adapters = [one for one in adapters if one.folder.resolve() != alignment.folder.resolve()]
    if args.cache:
        for one in (*adapters, *([alignment] if alignment else [])):
            one.key = adapter_digest(one.folder)
    if bool(args.base) != bool(args.aligned):
        raise ValueError("--base and --aligned belong together: what alignment changed is their difference")
    shares = alignment_shares(adapters, ModelWeights(args.base), ModelWeights(args.aligned)) if args.base else None
    for pair in rank_pairs(adapters, Gram(args.cache), alignment, shares):
        _print(pair.as_json())
    return 0


def _adapters(places: Iterable[Path]) -> list[Path]:
    found = []
    for place in places:
        inside = known_folders([place])
        if not inside:
            raise ValueError(f"{place}: neither an adapter nor a folder of adapters")
        found += inside
    return found


def _load(file: Path, *, may_be_new: bool = False) -> Registry:
    """The registry; empty when the file is not there yet, where that may be. Raises ConfigError."""
    return load_registry(None if may_be_new and not file.exists() else file)


def _checked(content: dict[str, Any], source: str) -> Registry:
    try:
        return Registry.model_validate(content)
    except ValidationError as error:
        raise ConfigError(describe_validation(error, source)) from error


def _save(registry: Registry, file: Path) -> None:
    """Write the file in one step: YAML by its name, else CycloneDX."""
    text = _yaml(registry) if file.suffix in (".yaml", ".yml") else json.dumps(bom_of(registry), indent=1) + "\n"
    file = file.resolve()  # a link stays one
    half = file.with_name(f"{file.name}.{os.getpid()}")
    half.write_text(text, encoding="utf-8")
    if file.exists():  # the sidecar that reads it may be another user's
        shutil.copymode(file, half)
        before = file.stat()
        try:
            os.chown(half, before.st_uid, before.st_gid)
        except OSError:
            pass  # only root may give files away; the group alone is not worth failing for
    half.replace(file)


def _yaml(registry: Registry) -> str:
    text: str = yaml.safe_dump(
        registry.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True
    )
    return text


def _print(value: object) -> None:
    print(json.dumps(value))
