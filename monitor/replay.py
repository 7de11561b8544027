"""`alignment-monitor replay`: recorded exchanges through the same back half, offline, in recorded time."""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TextIO

import msgspec
from prometheus_client import CollectorRegistry

from monitor import __version__
from monitor.adapters import ServedModel, load_registry
from monitor.app.build import build_pipeline
from monitor.arrival import Arrival, Known
from monitor.config import load_config
from monitor.outputs import StreamOutput
from monitor.pipeline import Pipeline
from monitor.protocols.turns import Message, last_question
from monitor.records import Choice, Dialogue, DriftState, Outcome, Prompt, Stratum
from monitor.telemetry.metrics import Metrics

BATCH: Final = 256
EXIT_BROKEN_PIPE: Final = 141
"""Nobody reads the findings any more, as after `replay FILE | head`; what a shell reports for SIGPIPE."""


class Recorded(msgspec.Struct):
    """One line of a recording."""

    time: float
    """Unix seconds."""
    model: str
    """Served name that answered."""
    response: str
    prompt: str | None = None
    messages: list[Message] | None = None
    base_response: str | None = None
    """The base model's answer to the same prompt: then the two are compared as a pair, too."""
    stratum: Stratum | None = None
    """What kind of prompt it is known to be; else the scorer decides."""
    outcome: Outcome | None = None
    """What the answer is known to be (a person's label, say); else the scorer decides."""
    base_outcome: Outcome | None = None
    """The same for the base model's answer."""
    finish_reason: str = "stop"


class RecordingError(ValueError):
    """A line cannot be used; the message names file, line and what is wrong."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `replay`."""
    parser.add_argument(
        "file",
        type=Path,
        help="JSON lines: time, model, prompt or messages, response; optional base_response, finish_reason, and what is "
        "already known of them: stratum, outcome, base_outcome",
    )
    parser.add_argument("--config", type=Path, help="configuration file (scoring, drift and adapters are used)")
    parser.add_argument("--base", help="served name of the base model (default: the registry's, else `base`)")


def run(args: argparse.Namespace) -> int:
    """Findings as JSON lines on standard output, then a summary of every combination on standard error."""
    file = args.config or os.environ.get("ALIGNMENT_CONFIG")
    config = load_config(Path(file) if file else None, os.environ)
    registry = load_registry(config.adapters.registry_file)
    output = StreamOutput(sys.stdout)
    catalog, pipeline = build_pipeline(config, registry, [output], Metrics(CollectorRegistry(), __version__))
    logging.getLogger("monitor.pipeline").setLevel(logging.ERROR)  # the findings themselves are the output
    base = args.base or registry.base or "base"
    try:
        opened = args.file.open("rb")
    except OSError as error:
        raise RecordingError(f"{args.file}: cannot be read: {error.strerror}") from error
    with opened as stream:
        models = {base}
        batch: list[Arrival] = []
        catalog.update([ServedModel(base, "")])
        pipeline.drifts.check_baseline(0.0)
        if pipeline.drifts.baseline_note:
            print(pipeline.drifts.baseline_note, file=sys.stderr)
        for recorded in read_lines(stream, str(args.file)):
            if recorded.model not in models:
                models.add(recorded.model)
                catalog.update([ServedModel(name, "" if name == base else base) for name in models])
            batch.append(arrival(recorded))
            if len(batch) == BATCH:
                pipeline.take(batch)
                batch = []
            if output.broken:
                break
        pipeline.take(batch)
    print_summary(pipeline, sys.stderr)
    return EXIT_BROKEN_PIPE if output.broken else 0


def read_lines(stream: Iterable[bytes], name: str) -> Iterator[Recorded]:
    """The recording's lines. Raises RecordingError at the first that cannot be used."""
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            recorded = msgspec.json.decode(line, type=Recorded)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordingError(f"{name}:{number}: {error}") from error
        if recorded.prompt is None and not recorded.messages:
            raise RecordingError(f"{name}:{number}: neither `prompt` nor `messages`")
        if recorded.base_outcome is not None and recorded.base_response is None:
            raise RecordingError(f"{name}:{number}: `base_outcome` without `base_response`")
        yield recorded


def arrival(recorded: Recorded) -> Arrival:
    """A recorded line as the pipeline takes it."""
    prompt = Prompt(recorded.prompt) if recorded.prompt is not None else last_question(recorded.messages or [])
    return Arrival(
        dialogue=Dialogue(
            prompts=(prompt,),
            choices=(Choice(0, 0, recorded.response, finish_reason=recorded.finish_reason),),
            model_requested=recorded.model,
            model_answered=recorded.model,
        ),
        endpoint="chat_completions",
        time=recorded.time,
        base_response=recorded.base_response,
        known=Known(recorded.stratum, recorded.outcome, recorded.base_outcome),
    )


def print_summary(pipeline: Pipeline, stream: TextIO) -> None:
    """A line per combination and signal."""
    for state in pipeline.drifts.states():
        print(
            f"{state.combination} {state.signal} {state.condition.value} samples={state.samples} "
            f"rate={_known(state.rate)} lower={_known(state.lower)} upper={_known(state.upper)} "
            f"base={_known(state.baseline_rate)} base_samples={state.baseline_samples}{_effect(state)}",
            file=stream,
        )


def _effect(state: DriftState) -> str:
    """The mean difference on the same prompts, for a paired signal."""
    if math.isnan(state.effect):
        return ""
    return f" effect={state.effect:.3f} effect_lower={state.effect_lower:.3f} effect_upper={state.effect_upper:.3f}"


def _known(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.3f}"
