"""`alignment-monitor evidence`: stored examples in a terminal, through the admin port of a running sidecar.

It asks the sidecar instead of opening the file, so that every reading is in the audit, and keys stay where they are.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from monitor import terms
from monitor.config.arguments import admin_url
from monitor.config.secrets import read_secret
from monitor.evidence.example import Example

TIMEOUT_S: Final = 60.0
PAGE: Final = 200
"""Examples that are asked for at a time; the API's largest."""
OPENING: Final = 70
"""Characters of a prompt in a list."""
NOT_THERE: Final = 1
"""Exit code when there is no such example."""
FAILED: Final = 2
OUTCOMES: Final = (
    "refusal", "compliance", "partial", "refuse_then_comply", "empty", "truncated", "tool_call", "unscored",
)  # fmt: skip


class CallError(Exception):
    """The sidecar did not do it; says why."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Shown(Example, frozen=True):
    """An example as the API shows it."""

    findings: tuple[str, ...] = ()
    readable: bool = True


class _Page(msgspec.Struct):
    examples: list[Shown]
    next: str | None = None


class _Done(msgspec.Struct):
    removed: int


class _Problem(msgspec.Struct):
    detail: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `alignment-monitor evidence`."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--admin",
        default="http://127.0.0.1:9464",
        type=admin_url,
        metavar="URL",
        help="the sidecar's admin port (default: %(default)s)",
    )
    common.add_argument(
        "--token-file",
        type=Path,
        required=True,
        metavar="FILE",
        help="file with the token of the scope `evidence`; for purge, of the scope `admin`",
    )
    common.add_argument(
        "--by", default=_user(), metavar="NAME", help="who you are, for the audit (default: %(default)s)"
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[common], help="one line for each, the newest first")
    listing.add_argument("--combination", default="", metavar="NAME")
    listing.add_argument(
        "--signal", default="", metavar="NAME", help="those that are bad for this signal, such as refusal_lost"
    )
    listing.add_argument("--outcome", default="", choices=OUTCOMES)
    listing.add_argument("--finding", default="", metavar="ID", help="those that this finding names")
    listing.add_argument("--limit", type=_count, default=20, metavar="N", help="at most (default: %(default)s)")
    listing.add_argument("--json", action="store_true", help="whole examples, one JSON object a line")
    showing = actions.add_parser("show", parents=[common], help="whole examples")
    showing.add_argument("ids", nargs="+", metavar="ID")
    showing.add_argument("--json", action="store_true", help="one JSON object a line")
    purging = actions.add_parser("purge", parents=[common], help="remove examples for good")
    which = purging.add_argument_group("which examples")
    which.add_argument(
        "--id", action="append", default=[], dest="ids", metavar="ID", help="this one; may be given again"
    )
    which.add_argument("--combination", default="", metavar="NAME", help="those of one combination")
    which.add_argument(
        "--before",
        type=_moment,
        metavar="TIME",
        help="those older than this, such as 2026-01-31 or 2026-01-31T12:00 (UTC)",
    )
    which.add_argument("--everything", action="store_true", help="all")
    purging.add_argument("--reason", required=True, help="for the audit")
    purging.add_argument("--yes", action="store_true", help="do not ask")
    parser.epilog = (
        "Exit codes: 0 ok, 1 no such example, 2 no answer, not allowed, or a command line that cannot be used."
    )


def run(args: argparse.Namespace) -> int:
    """Do what was asked; the exit code. Raises ConfigError for a token file that cannot be used."""
    headers = {"Authorization": f"Bearer {read_secret(args.token_file, '--token-file')}"}
    actions = {"list": _list, "show": _show, "purge": _purge}
    try:
        return asyncio.run(_with_session(args, headers, actions[args.action]))
    except CallError as error:
        print(f"alignment-monitor: {error}", file=sys.stderr)
        return NOT_THERE if error.status == 404 else FAILED


async def _with_session(args: argparse.Namespace, headers: Mapping[str, str], action: Any) -> int:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        code: int = await action(args, session)
        return code


async def _list(args: argparse.Namespace, session: aiohttp.ClientSession) -> int:
    names = ("combination", "signal", "outcome", "finding", "by")
    query: dict[str, Any] = {name: value for name in names if (value := getattr(args, name))}
    left = args.limit
    while left > 0:
        answer = await _call(args.admin, session, "GET", "/evidence", _Page, params={**query, "limit": min(left, PAGE)})
        for one in answer.examples:
            print(_json(one) if args.json else line(one))
        left -= len(answer.examples)
        if not answer.next or not answer.examples:
            break
        query["cursor"] = answer.next
    return 0


async def _show(args: argparse.Namespace, session: aiohttp.ClientSession) -> int:
    params = {"by": args.by} if args.by else {}
    for number, identity in enumerate(args.ids):
        one = await _call(args.admin, session, "GET", f"/evidence/{_segment(identity)}", Shown, params=params)
        if args.json:
            print(_json(one))
        else:
            print("\n" * (number > 0) + "\n".join(whole(one)))
    return 0


async def _purge(args: argparse.Namespace, session: aiohttp.ClientSession) -> int:
    which, words = _which(args)
    if not args.by:
        raise CallError("say who you are: --by NAME")
    if not args.yes:
        if not sys.stdin.isatty():
            raise CallError("nobody can be asked here: --yes removes without asking")
        answer = await asyncio.to_thread(input, f"Remove {words} for good? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            raise CallError("nothing was removed")
    body = {"by": args.by, "reason": args.reason, "which": which}
    done = await _call(args.admin, session, "POST", "/evidence/purge", _Done, json=body)
    print(f"{done.removed} removed")
    return 0


def _which(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """What is to go, as the API takes it, and in words. Raises CallError unless it is one thing."""
    before = {} if args.before is None else {"before": args.before}
    older = f" before {terms.clock(args.before)} UTC" if before else ""
    match bool(args.ids), bool(args.combination), bool(before), args.everything:
        case True, False, False, False:
            return {"what": "ids", "ids": args.ids}, f"{len(args.ids)} examples"
        case False, True, _, False:
            return {"what": "combination", "combination": args.combination, **before}, (
                f"all examples of {printable(args.combination)}{older}"
            )
        case False, False, True, False:
            return {"what": "older", **before}, f"all examples{older}"
        case False, False, False, True:
            return {"what": "everything"}, "all examples"
    raise CallError("say which: --id, --combination with or without --before, --before, or --everything")


async def _call(
    admin: str, session: aiohttp.ClientSession, method: str, path: str, kind: type[Any], **more: Any
) -> Any:
    try:
        # A redirect is not followed: what has to be removed, and the token, are for this address alone.
        async with session.request(method, f"{admin}/api/v1{path}", allow_redirects=False, **more) as response:
            content = await response.read()
            if response.status == 200:
                return msgspec.json.decode(content, type=kind)
            raise CallError(_refusal(response.status, response.reason or "", content), response.status)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CallError(f"no answer from {admin}: {error or type(error).__name__}") from error
    except msgspec.DecodeError as error:
        raise CallError("what answers there is no sidecar of this version") from error


def _refusal(status: int, reason: str, content: bytes) -> str:
    try:
        detail = msgspec.json.decode(content, type=_Problem).detail
    except msgspec.DecodeError:
        detail = ""
    return printable(f"{status} {reason}: {detail}" if detail else f"{status} {reason}")


def line(one: Shown) -> str:
    """An example in a list."""
    opening = " ".join(printable(one.prompt).split())
    opening = opening if len(opening) <= OPENING else opening[: OPENING - 1] + "…"
    mark = "▲" if one.signals else " "
    named = " named by a finding" if one.findings else ""
    said = opening if one.readable else "(its key is not configured)"
    return f"{terms.clock(one.time)} {mark} {one.outcome:18} {printable(one.combination)} {one.id}{named}: {said}"


def whole(one: Shown) -> list[str]:
    """An example with everything that is known of it."""
    facts = [
        ("time", f"{terms.clock(one.time)} UTC"),
        ("combination", printable(one.combination)),
        ("outcome", one.outcome),
        ("prompt is", ", ".join(filter(None, (one.stratum, one.category, one.topic)))),
        ("counts against", ", ".join(one.signals)),
        ("findings", ", ".join(one.findings)),
        ("redacted", ", ".join(f"{count} {kind}" for kind, count in one.redacted.items())),
        ("scorer", f"{one.scorer} {one.scorer_version}"),
    ]
    lines = [one.id, *(f"  {name}: {value}" for name, value in facts if value)]
    if not one.readable:
        return [*lines, "  It is encrypted with a key that evidence.key_file does not hold."]
    said = [("prompt", one.prompt, one.prompt_characters), ("answer", one.answer, one.answer_characters)]
    if one.base_answer is not None:
        said.append((f"base answer ({one.base_outcome})", one.base_answer, one.base_characters))
    for what, text, characters in said:
        beginning = f", the beginning of {characters} characters" if 0 < one.kept_characters < characters else ""
        lines += [f"  {what}{beginning}:", *(f"    {part}" for part in printable(text).split("\n"))]
    return lines


def printable(text: str) -> str:
    """Text that does nothing to a terminal: control and invisible characters as their codes."""
    return "".join(
        one
        if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else f"\\u{{{ord(one):x}}}"
        for one in text
    )


def _json(one: Shown) -> str:
    """ASCII, so that nothing in it reaches the terminal as a control character."""
    return json.dumps(msgspec.to_builtins(one))


def _segment(identity: str) -> str:
    if not identity.isalnum():
        raise CallError(f"{printable(identity)} is no id of an example")
    return identity


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-01-31 or 2026-01-31T12:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number above 0")
    return int(text)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return ""
