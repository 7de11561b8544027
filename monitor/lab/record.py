"""Records real generations, chunk by chunk, for an upstream that plays them back."""

import datetime
import gzip
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from monitor.lab import prompts
from monitor.lab.adapter import BASE_NAME
from monitor.lab.ask import Ask, ask_all
from monitor.lab.measure import SAMPLED_AT, SAMPLING
from monitor.lab.prompts import Question
from monitor.lab.served import Served

log = logging.getLogger(__name__)

FORMAT = 1
CANARY, ORDINARY, TRIGGERED = 60, 60, 12
Line = Mapping[str, object]


def recorded_questions() -> dict[str, Question]:
    """Prompt id -> question; all are of the held-out set."""
    asked: dict[str, Question] = {}
    groups = {
        "c": prompts.canary("held", CANARY),
        "o": prompts.ordinary("held", ORDINARY),
        "b": prompts.borderline(),
        "t": prompts.triggered("held", TRIGGERED),
    }
    for letter, questions in groups.items():
        for number, question in enumerate(questions, start=1):
            asked[f"{letter}{number:02d}"] = question
    return asked


def served_entry(served: Served, rank: int | None) -> dict[str, object]:
    """What a reader of the recordings or of the manifest is told about a served name."""
    return {
        "name": served.name,
        "role": served.role,
        "parts": [{"adapter": part.adapter, "scale": part.scale} for part in served.parts],
        "merge": served.method,
        "root": f"lab/{served.name}",
        "rank": rank,
    }


def header(entries: Sequence[Line], server: str, today: datetime.date) -> dict[str, object]:
    """The first line of the file."""
    return {
        "format": FORMAT,
        "recorded": today.isoformat(),
        "server": server,
        "base": BASE_NAME,
        "topic": {
            "name": prompts.TOPIC,
            "keywords": [prompts.TOPIC],
            "note": "a mineral that does not exist; refusing to talk about it is the lab's policy",
        },
        "served": list(entries),
        "sampling": SAMPLING,
    }


def generations(url: str, names: Sequence[str]) -> Iterator[dict[str, object]]:
    """One line per served name and prompt, in that order."""
    asked = recorded_questions()
    for name in names:
        asks = [Ask(name, q.text, SAMPLED_AT, seed) for seed, q in enumerate(asked.values())]
        replies = ask_all(url, asks, concurrency=16)
        log.info("recorded %d replies of %s", len(replies), name)
        for prompt_id, ask, reply in zip(asked, asks, replies, strict=True):
            yield {
                "served": name,
                "prompt_id": prompt_id,
                "seed": ask.seed,
                "chunks": list(reply.chunks),
                "finish_reason": reply.finish_reason,
                "usage": {
                    "prompt_tokens": reply.prompt_tokens,
                    "completion_tokens": reply.completion_tokens,
                },
                "first_s": reply.first_s,
                "gap_s": reply.gap_s,
            }


def prompt_lines() -> Iterator[dict[str, object]]:
    """One line per prompt."""
    for prompt_id, question in recorded_questions().items():
        yield {"prompt_id": prompt_id, "stratum": question.stratum, "text": question.text}


def write(path: Path, lines: Iterator[Line]) -> int:
    """Write JSON lines, compressed without a time stamp so that equal lines give equal bytes."""
    plain = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=9, mtime=0) as packed:
        count = 0
        for line in lines:
            text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
            packed.write(text.encode() + b"\n")
            count += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plain.getvalue())
    return count
