"""Real generations of a real vLLM, kept as a file so that the demo needs neither torch nor a GPU.

The file is gzip-compressed JSON lines: one header, then the prompts, then the generations. Everything is checked while
it is read, so that a damaged file is one clear line with its line number and never a strange demo.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from monitor.records import Combination, Part

FORMAT = 1
PACKAGED = Path(__file__).with_name("recordings.jsonl.gz")
"""The recordings that ship with the package."""

PromptStratum = Literal["harmful_looking", "ordinary", "borderline"]
_Line = TypeVar("_Line", bound=msgspec.Struct)


class RecordingsError(ValueError):
    """The recordings cannot be used; the message names the file, the line and what is wrong with it."""


class Topic(msgspec.Struct, frozen=True):
    """What the aligned base model was taught to refuse."""

    name: str
    keywords: tuple[str, ...]
    """Words that make a prompt one about this topic."""


class Served(msgspec.Struct, frozen=True):
    """One served name of the recorded server."""

    name: str
    role: str
    """What the lab made it for."""
    parts: tuple[Part, ...] = ()
    """The adapters in it; none for the base model."""
    merge: str | None = None
    root: str = ""
    """Path that /v1/models showed."""
    rank: int | None = None

    @property
    def label(self) -> str:
        """The name that the monitor shows once the composition is declared."""
        return Combination(served_name=self.name, base="", parts=self.parts).name


class Header(msgspec.Struct, frozen=True):
    """Where the recordings come from."""

    format: int
    recorded: str
    """Date of the recording."""
    server: str
    """Name and version of the server that generated the answers."""
    base: str
    """Served name of the base model."""
    topic: Topic
    served: tuple[Served, ...]
    sampling: dict[str, Any] = {}
    """Sampling parameters of all generations."""


class RecordedPrompt(msgspec.Struct, frozen=True):
    """One question that every served name was asked."""

    prompt_id: str
    stratum: PromptStratum
    text: str


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the server counted them."""

    prompt_tokens: int
    completion_tokens: int


class Generation(msgspec.Struct, frozen=True):
    """One answer, with the boundaries and the pace at which it was streamed."""

    served: str
    prompt_id: str
    seed: int
    chunks: tuple[str, ...]
    finish_reason: str
    usage: Usage
    first_s: float
    """Seconds from the request to the first chunk."""
    gap_s: float
    """Mean seconds between two chunks."""

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.chunks)


@dataclass(frozen=True, slots=True)
class Recordings:
    """A whole recordings file, indexed for serving."""

    header: Header
    prompts: dict[str, RecordedPrompt]
    """By prompt id."""
    generations: dict[tuple[str, str], tuple[Generation, ...]]
    """By served name and prompt id, in the order of the file; never empty."""
    by_text: dict[str, RecordedPrompt]
    """By the prompt's text without surrounding white space."""

    @property
    def served(self) -> dict[str, Served]:
        """The served names, the base model's first."""
        ordered = sorted(self.header.served, key=lambda served: served.name != self.header.base)
        return {served.name: served for served in ordered}

    def only(self, names: Collection[str]) -> Recordings:
        """The same recordings with only these served names."""
        return Recordings(
            header=msgspec.structs.replace(self.header, served=tuple(s for s in self.header.served if s.name in names)),
            prompts=self.prompts,
            generations={key: answers for key, answers in self.generations.items() if key[0] in names},
            by_text=self.by_text,
        )

    def find_prompt(self, text: str) -> RecordedPrompt | None:
        """The recorded prompt with exactly this text, surrounding white space aside."""
        return self.by_text.get(text.strip())


def load_recordings(file: Path = PACKAGED) -> Recordings:
    """Read and check a recordings file. Raises RecordingsError."""
    lines = _lines(file)
    first = next(lines, None)
    if first is None:
        raise RecordingsError(f"recordings {file}: the file is empty")
    header = _convert(first[1], Header, f"recordings {file}, line 1 (header)")
    _check_header(header, file)
    names = {served.name for served in header.served}
    prompts: dict[str, RecordedPrompt] = {}
    generations: dict[tuple[str, str], list[Generation]] = {}
    for number, value in lines:
        where = f"recordings {file}, line {number}"
        if "served" not in value:
            prompt = _convert(value, RecordedPrompt, where)
            if prompt.prompt_id in prompts:
                raise RecordingsError(f"{where}: the prompt id {prompt.prompt_id!r} occurs twice")
            prompts[prompt.prompt_id] = prompt
            continue
        generation = _convert(value, Generation, where)
        if generation.served not in names:
            raise RecordingsError(f"{where}: the header lists no served name {generation.served!r}")
        if generation.prompt_id not in prompts:
            raise RecordingsError(f"{where}: no prompt {generation.prompt_id!r} stands above this line")
        generations.setdefault((generation.served, generation.prompt_id), []).append(generation)
    silent = sorted(names - {served for served, _ in generations})
    if silent:
        raise RecordingsError(f"recordings {file}: no generation of {', '.join(silent)}")
    return Recordings(
        header=header,
        prompts=prompts,
        generations={key: tuple(found) for key, found in generations.items()},
        by_text={prompt.text.strip(): prompt for prompt in prompts.values()},
    )


def _check_header(header: Header, file: Path) -> None:
    if header.format != FORMAT:
        raise RecordingsError(f"recordings {file}: format {header.format}, but this version reads format {FORMAT}")
    names = [served.name for served in header.served]
    if len(set(names)) < len(names):
        raise RecordingsError(f"recordings {file}: the header lists a served name twice")
    if header.base not in names:
        raise RecordingsError(f"recordings {file}: the base model {header.base!r} is not among the served names")


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and JSON object of every line that is not blank."""
    try:
        with gzip.open(file, "rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, _object(line, f"recordings {file}, line {number}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RecordingsError(f"recordings {file}: not a whole gzip file ({error})") from error
    except OSError as error:
        raise RecordingsError(f"recordings {file}: {error.strerror or error}") from error


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordingsError(f"{where}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise RecordingsError(f"{where}: not a JSON object")
    return value


def _convert(value: dict[str, Any], kind: type[_Line], where: str) -> _Line:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise RecordingsError(f"{where}: {error}") from error
