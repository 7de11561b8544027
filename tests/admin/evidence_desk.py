"""A real evidence store with a few examples, for the API and the pages."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from monitor.adapters import Identity
from monitor.arrival import Arrival
from monitor.config.model import EvidenceSection
from monitor.evidence import EvidenceError, Filter
from monitor.evidence.keeper import Keeper
from monitor.records import Choice, Combination, Dialogue, Outcome, Part, Prompt, Stratum, Verdict
from monitor.telemetry.evidence_metrics import EvidenceMetrics


def keeper_in(folder: Path) -> Keeper:
    """It stores everything that it gets."""
    section = EvidenceSection(enabled=True, folder=folder / "store", share=1.0)
    keeper = Keeper(section, EvidenceMetrics(CollectorRegistry()))
    keeper.start()
    return keeper


async def fill(keeper: Keeper) -> None:
    """Four answers of a+b that comply, one of the base that refuses; the oldest is named by the finding f1."""
    pair = Identity("a+b", Combination("org/ab", "base", (Part("a"), Part("b"))))
    base = Identity("base", Combination("base", "base"))
    first, began = "", time.time() - 100
    for number in range(5):
        refused = number == 4
        outcome = Outcome.REFUSAL if refused else Outcome.COMPLIANCE
        dialogue = Dialogue((Prompt(f"prompt {number}"),), (Choice(0, 0, "no" if refused else "yes"),), "", "")
        verdict = Verdict(outcome, "words", "1", Stratum.HARMFUL_LOOKING, category="weapons")
        arrival = Arrival(dialogue, "chat_completions", began + number)
        first = first or keeper.offer(arrival, pair, dialogue.choices[0], verdict)
        if number:
            keeper.offer(arrival, base if refused else pair, dialogue.choices[0], verdict)
    keeper.add_base(first, "no", Outcome.REFUSAL)
    keeper.name([first], "f1")
    async with asyncio.timeout(20):
        while True:
            await asyncio.sleep(0.02)
            try:
                found, _ = await keeper.reader.page(Filter(finding="f1"), 9)
            except EvidenceError:  # it is being made
                continue
            if found:
                return
