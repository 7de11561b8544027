"""Sentences about the monitor's own state, for the status page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from monitor.adapters import OTHER, UNLISTED
from monitor.app.intake import Intake
from monitor.app.served import Served
from monitor.app.switched_on import SwitchedOn
from monitor.pipeline import Pipeline

MOST_MISMATCHES: Final = 5
"""Pairs of models asked for and answering that the status page tells of; the metric has all."""


def notes(intake: Intake, served: Served, pipeline: Pipeline, switched_on: SwitchedOn, enforcement: str) -> list[str]:
    """What whoever reads the numbers has to know; empty when all is well."""
    found = intake.problems()
    if pipeline.drifts.baseline_note:
        found.append(pipeline.drifts.baseline_note)
    if not served.listed:
        found.append("The server's list of models cannot be read; names are taken from its responses.")
    if served.registry_problem:
        found.append(f"The registry file cannot be used; what was read before counts: {served.registry_problem}")
    if switched_on.evidence and switched_on.evidence.problem:
        found.append(f"Examples cannot be stored, everything else goes on: {switched_on.evidence.problem}.")
    if enforcement != "observe":
        blocked = intake.workers.total("blocked").total()
        found.append(f"Enforcement is on ({enforcement}): {blocked} requests were refused.")
    dropped = sum(intake.workers.total("dropped").values())
    if dropped:
        found.append(f"{dropped} sampled exchanges were dropped before they could be judged.")
    if switched_on.webhook and (note := switched_on.webhook.note()):
        found.append(note)
    return found + on_names(served.reserved, pipeline)


def on_names(reserved: Iterable[str], pipeline: Pipeline) -> list[str]:
    """What has to be known of served names. reserved: adapters that are named like a kind of content."""
    found = []
    unlisted = pipeline.counts.tallies.get(UNLISTED)
    if unlisted:
        found.append(f"{unlisted.requests} answers came from models that the server does not list.")
    other = pipeline.counts.tallies.get(OTHER)
    if other:
        found.append(
            f"{other.requests} answers came from combinations beyond adapters.max_combinations, or whose names cannot be shown: "
            "longer than 256 characters, or with invisible ones."
        )
    for (requested, answered), count in pipeline.counts.mismatches.most_common(MOST_MISMATCHES):
        found.append(f"{count} answers to requests for {requested} came from {answered}.")
    for name in sorted(reserved):
        found.append(
            f"An adapter is named {name}: vLLM applies it to requests for the base model whose content has a part of "
            "that type. Give it another name."
        )
    return found
