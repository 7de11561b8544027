"""`alignment-monitor replay`: recorded exchanges through the same back half, offline, in recorded time."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

from monitor.adapters import ServedModel, load_registry
from monitor.app import build_pipeline
from monitor.config import load_config
from monitor.outputs import StreamOutput
from monitor.pipeline import Arrival, Pipeline
from monitor.records import Choice, Dialogue, Prompt

BATCH: Final = 256


class _Turn(msgspec.Struct):
    role: str = ""
    content: str | None = None


class Recorded(msgspec.Struct):
    """One line of a recording."""

    time: float
    """Unix seconds."""
    model: str
    """Served name that answered."""
    response: str
    prompt: str | None = None
    messages: list[_Turn] | None = None
    base_response: str | None = None
    """The base model's answer to the same prompt."""
    finish_reason: str = "stop"


class RecordingError(ValueError):
    """A line cannot be used; the message names file, line and what is wrong."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `replay`."""
    parser.add_argument("file", type=Path, help="JSON lines: time, model, prompt or messages, response, base_response")
    parser.add_argument("--config", type=Path, help="configuration file (scoring, drift and adapters are used)")
    parser.add_argument("--base", help="served name of the base model (default: the registry's, else `base`)")


def run(args: argparse.Namespace) -> int:
    """Findings as JSON lines on standard output, then a summary of every combination on standard error."""
    config = load_config(args.config, os.environ)
    registry = load_registry(config.adapters.registry_file)
    catalog, _, pipeline = build_pipeline(config, registry, [StreamOutput(sys.stdout)])
    base = args.base or registry.base or "base"
    with args.file.open(encoding="utf-8") as stream:
        models = {base}
        batch: list[Arrival] = []
        catalog.update([ServedModel(base, "")], 0.0)
        for recorded in read_lines(stream, str(args.file)):
            if recorded.model not in models:
                models.add(recorded.model)
                catalog.update([ServedModel(name, "" if name == base else base) for name in models], recorded.time)
            batch.append(arrival(recorded))
            if len(batch) == BATCH:
                pipeline.take(batch)
                batch = []
        pipeline.take(batch)
    print_summary(pipeline, sys.stderr)
    return 0


def read_lines(stream: TextIO, name: str) -> Iterator[Recorded]:
    """The recording's lines. Raises RecordingError at the first that cannot be used."""
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            recorded = msgspec.json.decode(line, type=Recorded)
        except msgspec.DecodeError as error:
            raise RecordingError(f"{name}:{number}: {error}") from error
        if recorded.prompt is None and not recorded.messages:
            raise RecordingError(f"{name}:{number}: neither `prompt` nor `messages`")
        yield recorded


def arrival(recorded: Recorded) -> Arrival:
    """A recorded line as the pipeline takes it."""
    if recorded.prompt is not None:
        prompt = recorded.prompt
    else:
        users = [turn.content or "" for turn in recorded.messages or [] if turn.role == "user"]
        prompt = users[-1] if users else ""
    return Arrival(
        dialogue=Dialogue(
            prompts=(Prompt(text=prompt),),
            choices=(Choice(0, 0, recorded.response, finish_reason=recorded.finish_reason),),
            model_requested=recorded.model,
            model_answered=recorded.model,
        ),
        endpoint="chat_completions",
        time=recorded.time,
        base_response=recorded.base_response,
    )


def print_summary(pipeline: Pipeline, stream: TextIO) -> None:
    """A line per combination and signal."""
    for state in pipeline.states():
        values: dict[str, Any] = {"rate": state.rate, "lower": state.lower, "upper": state.upper}
        shown = " ".join(f"{name}={value:.3f}" for name, value in values.items())
        print(
            f"{state.combination} {state.signal} {state.condition.value} samples={state.samples} {shown} "
            f"base={state.baseline_rate:.3f} base_samples={state.baseline_samples}",
            file=stream,
        )
