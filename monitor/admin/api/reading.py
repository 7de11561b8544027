"""What can be read of findings, combinations, events, pairs and evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations as pairs_among
from typing import Any, Final

import msgspec
from aiohttp import web

from monitor.adapters import Registry
from monitor.adapters.timeline import Timeline
from monitor.admin.api.models import (
    CombinationModel,
    Combinations,
    EvaluationModel,
    EvaluationQuery,
    Evaluations,
    EventModel,
    EventQuery,
    Events,
    FindingModel,
    FindingQuery,
    Findings,
    MeasuredModel,
    MemberModel,
    PageQuery,
    PairModel,
    Pairs,
)
from monitor.admin.api.operation import Call, Operation
from monitor.admin.api.paging import page
from monitor.admin.view import attribution_view
from monitor.findings import Case, FindingBook, effect

EVENTS_SHOWN: Final = 100
"""Events beside the combinations."""
TELLING: Final = ("drifting", "ok", "no_baseline", "warming_up")
"""Conditions, what is worth knowing first."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the answers come from."""

    view: Callable[[], dict[str, Any]]
    """As monitor.admin.view makes it."""
    registry: Callable[[], Registry]
    """As it is in use now."""
    timeline: Timeline
    findings: FindingBook
    probed: Callable[[], Sequence[tuple[str, dict[str, Any]]]] = lambda: ()
    """Evaluations of the sidecar's own: served name, and the evaluation as the registry has them."""


def reading(sources: Sources) -> list[Operation]:
    """Operations that only read."""

    async def all_combinations(call: Call) -> Combinations:
        view = msgspec.convert(sources.view(), Combinations)
        found, following = page(view.combinations, _combination_key, call.query.limit, call.query.cursor)
        return msgspec.structs.replace(view, combinations=found, events=view.events[:EVENTS_SHOWN], next=following)

    async def one_combination(call: Call) -> CombinationModel:
        return combination_of(sources, call.path["name"])

    async def events(call: Call) -> Events:
        asked: EventQuery = call.query
        kept = sources.timeline.events
        first = sum(sources.timeline.counts.values()) - len(kept)
        numbered = [(first + number, event) for number, event in enumerate(kept)]
        wanted = [
            one
            for one in reversed(numbered)
            if asked.name in (msgspec.UNSET, one[1].name) and asked.kind in (msgspec.UNSET, one[1].kind.value)
        ]
        found, following = page(wanted, lambda one: (-one[0],), asked.limit, asked.cursor)
        shown = [msgspec.convert(event.as_json(), EventModel) for _, event in found]
        return Events(time=time.time(), events=shown, next=following)

    async def pairs(call: Call) -> Pairs:
        view = msgspec.convert(sources.view(), Combinations)
        found, following = page(
            pairs_of(view.combinations), lambda one: (one.first, one.second), call.query.limit, call.query.cursor
        )
        return Pairs(time=view.time, pairs=found, next=following)

    async def evaluations(call: Call) -> Evaluations:
        asked: EvaluationQuery = call.query
        numbered = [
            one
            for one in evaluations_of(sources.registry(), sources.probed())
            if asked.subject in (msgspec.UNSET, one[1].subject)
        ]
        found, following = page(numbered, lambda one: (one[1].subject, one[1].kind, one[0]), asked.limit, asked.cursor)
        return Evaluations(time=time.time(), evaluations=[one for _, one in found], next=following)

    async def findings(call: Call) -> Findings:
        asked: FindingQuery = call.query
        wanted = [
            case
            for case in sources.findings.cases
            if asked.state in (msgspec.UNSET, case.state.value)
            and asked.combination in (msgspec.UNSET, case.combination)
            and asked.signal in (msgspec.UNSET, case.signal)
            and (asked.ended_after is msgspec.UNSET or (case.ended is not None and case.ended > asked.ended_after))
        ]
        wanted.sort(key=_case_key)
        found, following = page(wanted, _case_key, asked.limit, asked.cursor)
        return Findings(time=time.time(), findings=[shown_case(case) for case in found], next=following)

    async def one_finding(call: Call) -> FindingModel:
        return shown_case(case_of(sources.findings, call.path["id"]))

    return [
        Operation(
            "GET", "/findings", "listFindings", "What was found, the newest first", findings, Findings,
            query=FindingQuery, problems=(404,),
        ),
        Operation(
            "GET", "/findings/{id}", "getFinding", "One finding", one_finding, FindingModel, problems=(404,),
        ),
        Operation(
            "GET", "/combinations", "listCombinations", "All combinations and their states", all_combinations, Combinations,
            query=PageQuery, problems=(404,),
        ),
        Operation(
            "GET", "/combinations/{name}", "getCombination", "One combination", one_combination, CombinationModel,
            problems=(404,),
        ),
        Operation(
            "GET", "/events", "listEvents", "What was loaded, unloaded and replaced", events, Events,
            query=EventQuery, problems=(404,),
        ),
        Operation(
            "GET", "/pairs", "listPairs", "Pairs of adapters that are served together", pairs, Pairs,
            query=PageQuery, problems=(404,),
        ),
        Operation(
            "GET", "/evaluations", "listEvaluations", "Evaluations that the registry has", evaluations, Evaluations,
            query=EvaluationQuery, problems=(404,),
        ),
    ]  # fmt: skip


def case_of(book: FindingBook, identity: str) -> Case:
    """A finding by its id. Raises HTTPNotFound."""
    case = book.find(identity)
    if case is None:
        raise web.HTTPNotFound(text="no finding of this id is kept")
    return case


def shown_case(case: Case) -> FindingModel:
    """A finding as it is served."""
    values = msgspec.to_builtins(case)
    values["parts"] = [{"adapter": part.adapter, "scale": part.scale} for part in case.parts]
    values["lasted"] = None if case.ended is None else max(0.0, case.ended - case.began)
    values["effect"] = msgspec.to_builtins(effect(case.latest))
    values["attribution"] = attribution_view(case.attribution)
    return msgspec.convert(values, FindingModel)


def _case_key(case: Case) -> tuple[int, str]:
    """The newest first."""
    return -round(case.began * 1e6), case.id


def combination_of(sources: Sources, name: str) -> CombinationModel:
    """The combination of this name, else what is served under it, which is all that a router knows. Raises HTTPNotFound."""
    known = msgspec.convert(sources.view(), Combinations).combinations
    found = next((one for one in known if one.name == name), None) or next(
        (one for one in known if one.served_name == name), None
    )
    if found is None:
        raise web.HTTPNotFound(text="no combination of this name is known")
    return found


def label_of(sources: Sources, name: str) -> str:
    """The label of what is known by this name; of what is not known any more, the name itself."""
    try:
        return combination_of(sources, name).name
    except web.HTTPNotFound:
        return name


def _combination_key(one: CombinationModel) -> tuple[int, str]:
    return int(not one.is_base), one.name


def telling(conditions: Iterable[str]) -> str:
    """The condition that is worth knowing first; warming_up without any."""
    found = set(conditions)
    return next((one for one in TELLING if one in found), "warming_up")


def pairs_of(combinations: Sequence[CombinationModel]) -> list[PairModel]:
    """Every two adapters that stand in one combination, with all combinations that hold both; by name."""
    alone = {
        one.parts[0].adapter: telling(signal.condition for signal in one.signals)
        for one in combinations
        if len(one.parts) == 1
    }
    held: dict[tuple[str, str], list[MemberModel]] = {}
    for one in combinations:
        member = MemberModel(
            name=one.name,
            id=one.id,
            parts=one.parts,
            condition=telling(signal.condition for signal in one.signals),
            signals=one.signals,
        )
        for first, second in pairs_among(sorted({part.adapter for part in one.parts}), 2):
            held.setdefault((first, second), []).append(member)
    return [
        PairModel(
            first=first,
            second=second,
            condition=telling(member.condition for member in members),
            first_alone=alone.get(first),
            second_alone=alone.get(second),
            combinations=members,
        )
        for (first, second), members in sorted(held.items())
    ]


def evaluations_of(
    registry: Registry, probed: Sequence[tuple[str, dict[str, Any]]] = ()
) -> list[tuple[int, EvaluationModel]]:
    """Every evaluation with its number among its subject's; in the order of the pages."""
    found = [
        (number, "adapter", adapter.name, "registry", one.model_dump())
        for adapter in registry.adapters
        for number, one in enumerate(adapter.evaluations)
    ]
    of_combinations: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for combination in registry.combinations:
        of_combinations[combination.served_name] = [("registry", one.model_dump()) for one in combination.evaluations]
    for served_name, values in probed:
        of_combinations.setdefault(served_name, []).append(("probing", {**values}))
    found += [
        (number, "combination", subject, source, values)
        for subject, ones in of_combinations.items()
        for number, (source, values) in enumerate(ones)
    ]
    models = []
    for number, kind, subject, source, values in sorted(found, key=lambda entry: (entry[2], entry[1], entry[0])):
        values["metrics"] = [msgspec.convert(metric, MeasuredModel) for metric in values["metrics"]]
        shown = {**values, "kind": kind, "subject": subject, "source": source}
        models.append((number, msgspec.convert(shown, EvaluationModel)))
    return models
