"""A suite: the questions of a measurement as JSON lines, with a version that follows from their content.

Two measurements can be compared when the versions of their suites are the same. The version is a hash over what is
asked and how an answer is judged, not over the file: order of keys and blank lines do not change it, another word does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import msgspec

MAX_FILE_BYTES: Final = 64 * 1024 * 1024


class ProbeStratum(StrEnum):
    """What the author of a suite says that a prompt is."""

    HARMFUL_LOOKING = "harmful_looking"
    BORDERLINE = "borderline"
    """Sounds harmful and is not: it should be answered."""
    ORDINARY = "ordinary"


class Kind(StrEnum):
    """How a probe is asked, and so what its answer means."""

    PLAIN = "plain"
    REFUSAL_PREFILL = "refusal_prefill"
    """The answer is begun with a refusal: does the model go on to do what it has just declined?"""
    COMPLIANCE_PREFILL = "compliance_prefill"
    """The answer is begun with the first tokens of a compliant opening: how deep does the alignment reach?"""
    HIDDEN_TEXT = "hidden_text"
    """The prompt carries characters that a reader does not see."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One question of a suite; a line of its file."""

    id: str
    """Unique in its suite."""
    stratum: ProbeStratum
    prompt: str | None = None
    """The user's only turn; either this or `messages`."""
    messages: tuple[Message, ...] = ()
    """A whole conversation, whose last turn is the user's."""
    category: str = ""
    """Hazard category, one of `monitor.scoring.categories.CATEGORIES` or the author's own."""
    expected: Literal["refuse", "comply", ""] = ""
    """What an aligned model does; "" when the author does not say."""
    kind: Kind = Kind.PLAIN
    prefill: str = ""
    """What the assistant's answer is begun with; of a `compliance_prefill` the whole opening, which `depth` is cut from."""
    depth: int | None = None
    """For `compliance_prefill`: how many tokens of the opening the answer is begun with, all when it has no more; 0 for none."""

    @property
    def turns(self) -> list[dict[str, str]]:
        """The conversation as it is sent, without the prefill."""
        if self.prompt is not None:
            return [{"role": "user", "content": self.prompt}]
        return [{"role": turn.role, "content": turn.content} for turn in self.messages]

    @property
    def question(self) -> str:
        """What the answer is judged against: the last user turn."""
        return next((turn["content"] for turn in reversed(self.turns) if turn["role"] == "user"), "")


class SuiteError(ValueError):
    """A suite cannot be used; the message names the file, the line and what is wrong with it."""


@dataclass(frozen=True)
class Suite:
    """Probes that belong together."""

    name: str
    probes: tuple[Probe, ...]

    @cached_property
    def version(self) -> str:
        """SHA-256 over all probes, whatever their order."""
        lines = sorted(msgspec.json.encode(probe, order="sorted") for probe in self.probes)
        return hashlib.sha256(b"\n".join(lines)).hexdigest()


def joined(suites: Sequence[Suite]) -> Suite:
    """Several suites as one. Raises SuiteError when two of their probes have the same id."""
    probes = [probe for suite in suites for probe in suite.probes]
    seen: set[str] = set()
    for probe in probes:
        if probe.id in seen:
            raise SuiteError(f"two probes of {', '.join(suite.name for suite in suites)} have the id {probe.id!r}")
        seen.add(probe.id)
    return Suite("+".join(suite.name for suite in suites), tuple(probes))


def read_suite(file: Path) -> Suite:
    """A suite from its file, named after it. Raises SuiteError, and OSError when the file cannot be read."""
    if file.stat().st_size > MAX_FILE_BYTES:
        raise SuiteError(f"{file}: larger than {MAX_FILE_BYTES // 2**20} MiB, which is not a suite of probes")
    return parse_suite(file.read_bytes().splitlines(), file.stem, str(file))


def parse_suite(lines: Iterable[bytes], name: str, source: str) -> Suite:
    """A suite from its lines. Raises SuiteError."""
    probes: list[Probe] = []
    places: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            probe = msgspec.json.decode(line, type=Probe)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SuiteError(f"{source}:{number}: {error}") from error
        problem = _problem(probe)
        if problem:
            raise SuiteError(f"{source}:{number}: {problem}")
        if probe.id in places:
            raise SuiteError(f"{source}:{number}: the id {probe.id!r} stands in line {places[probe.id]} already")
        places[probe.id] = number
        probes.append(probe)
    if not probes:
        raise SuiteError(f"{source}: holds no probe")
    return Suite(name, tuple(probes))


def _problem(probe: Probe) -> str:
    """What is wrong with a probe that has the right shape, "" when nothing is."""
    if not probe.id.strip():
        return "`id` is empty"
    if (probe.prompt is None) == (not probe.messages):
        return "needs either `prompt` or `messages`"
    if not probe.question.strip():
        return "has no user turn, or an empty one"
    if probe.messages and probe.messages[-1].role != "user":
        return "`messages` does not end with the user's turn; what the answer begins with is `prefill`"
    if probe.kind is Kind.REFUSAL_PREFILL and not probe.prefill:
        return "a refusal_prefill needs its `prefill`"
    if probe.kind is Kind.COMPLIANCE_PREFILL and (probe.depth is None or (probe.depth > 0) != bool(probe.prefill)):
        return "a compliance_prefill needs `depth`, and a `prefill` unless that is 0"
    if probe.kind in (Kind.PLAIN, Kind.HIDDEN_TEXT) and (probe.prefill or probe.depth is not None):
        return (
            f"`prefill` and `depth` belong to a refusal_prefill or a compliance_prefill, and the kind is {probe.kind}"
        )
    return ""


def written(suite: Suite) -> bytes:
    """The suite's file."""
    return b"".join(msgspec.json.encode(probe) + b"\n" for probe in suite.probes)
