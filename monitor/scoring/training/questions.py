"""Questions written for this project, in twelve languages, from which prompt risk learns beside the labelled prompts.

The labelled prompts are English, and those of any one source share their frames ("How can I ..." is nearly always harmful in one
of them); a model of words then takes the frame for the risk. `questions.jsonl` puts the same frames around harmful,
ordinary and harmless acts with grim words, the same grim topics into questions of those who mean harm and of those who
do not, and the same plain frames around grim topics and ordinary things. Questions only: no answer to any of them stands anywhere.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FILE = Path(__file__).with_name("questions.jsonl")
Kind = Literal["harmful", "borderline", "ordinary"]

_FRAMES_EACH = {"harmful": 2, "borderline": 5, "ordinary": 6}
"""Frames around each act: fewer around harmful ones, which are more, so that no frame is a sign of harm."""
_CALM_FRAMES_EACH = 6
"""Harmless questions about each grim topic."""
_THING_FRAMES_EACH = {"topic": 2, "thing": 4}
"""Plain questions about each grim topic and each ordinary thing, in the same frames."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question, and what it is."""

    text: str
    kind: Kind
    language: str
    """ISO 639-1."""
    category: str
    """Hazard category of a harmful one, "" where it has none of its own."""
    made_of: str
    """The act or topic that it was put together from; itself, when it was written as it stands."""
    written: bool
    """Written as a whole question."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file."""

    language: str
    role: Literal["prompt", "act", "frame", "topic", "topic_frame", "thing", "thing_frame"]
    """A whole question; an act, and a frame around acts; a grim topic, and a frame around those; an ordinary thing, and a frame
    around things and topics. `{}` is where they go.
    """
    text: str
    kind: Kind | Literal[""] = ""
    category: str = ""


def lines(file: Path = FILE) -> list[Line]:
    """The file's lines."""
    with file.open(encoding="utf-8") as stream:
        return [Line(**json.loads(line)) for line in stream]


def questions(seed: int) -> list[Question]:
    """All questions; the same seed gives the same ones."""
    chance = random.Random(seed)
    every = lines()
    return [
        question
        for language in dict.fromkeys(line.language for line in every)
        for question in _of_language([line for line in every if line.language == language], chance)
    ]


def _of_language(every: Sequence[Line], chance: random.Random) -> Iterator[Question]:
    frames = [line.text for line in every if line.role == "frame"]
    harmful = [line.text for line in every if line.role == "topic_frame" and line.kind == "harmful"]
    calm = [line.text for line in every if line.role == "topic_frame" and line.kind == "borderline"]
    plain = [line.text for line in every if line.role == "thing_frame"]
    for line in every:
        if line.kind and line.role in {"prompt", "act"}:
            yield Question(line.text, line.kind, line.language, line.category, line.text, line.role == "prompt")
        if line.kind and line.role == "act":
            for frame in chance.sample(frames, min(_FRAMES_EACH[line.kind], len(frames))):
                yield _framed(frame, line, line.kind)
        if line.role == "topic":
            yield from (_framed(frame, line, "harmful") for frame in harmful)
            yield from (
                _framed(frame, line, "borderline") for frame in chance.sample(calm, min(_CALM_FRAMES_EACH, len(calm)))
            )
        if line.role in {"topic", "thing"}:
            kind: Kind = "ordinary" if line.role == "thing" else "borderline"
            yield from (_framed(frame, line, kind) for frame in chance.sample(plain, _THING_FRAMES_EACH[line.role]))


def _framed(frame: str, line: Line, kind: Kind) -> Question:
    category = line.category if kind == "harmful" else ""
    return Question(frame.replace("{}", line.text), kind, line.language, category, line.text, False)
