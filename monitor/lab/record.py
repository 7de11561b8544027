"""The recordings file: real generations, chunk by chunk, for an upstream that plays them back."""

import datetime
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from monitor.lab import measure, prompts
from monitor.lab.adapter import BASE_NAME
from monitor.lab.ask import Reply
from monitor.lab.served import Served

FORMAT = 1
Line = Mapping[str, object]


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
        "sampling": measure.SAMPLING,
    }


def prompt_lines() -> Iterator[dict[str, object]]:
    """One line per prompt; the ids of prompts with the hidden trigger start with t."""
    for prompt_id, question in measure.questions().items():
        yield {"prompt_id": prompt_id, "stratum": question.stratum, "text": question.text}


def generation_lines(served: str, replies: Mapping[str, Reply]) -> Iterator[dict[str, object]]:
    """One line per reply, in the order of the prompts."""
    for seed, (prompt_id, reply) in enumerate(replies.items()):
        yield {
            "served": served,
            "prompt_id": prompt_id,
            "seed": seed,
            "chunks": list(reply.chunks),
            "finish_reason": reply.finish_reason,
            "usage": {
                "prompt_tokens": reply.prompt_tokens,
                "completion_tokens": reply.completion_tokens,
            },
            "first_s": reply.first_s,
            "gap_s": reply.gap_s,
        }


def write(path: Path, lines: Iterable[Line]) -> int:
    """Write JSON lines, compressed without a time stamp so that equal lines give equal bytes."""
    plain = io.BytesIO()
    count = 0
    with gzip.GzipFile(filename="", mode="wb", fileobj=plain, compresslevel=9, mtime=0) as packed:
        for line in lines:
            text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
            packed.write(text.encode() + b"\n")
            count += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plain.getvalue())
    return count
