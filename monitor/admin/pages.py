"""The pages of the admin port, for the engineer on call: rendered here, complete without any script.

One static script of our own renews a page in place; without it there is a link that loads it again. All addresses are
relative, so that the pages also work behind a proxy that serves them under another path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from monitor import terms
from monitor.adapters.pairs import Pair
from monitor.admin import graphics, past
from monitor.admin.pair_matrix import evaluate_first, matrix, pairs_served
from monitor.admin.runbooks_page import runbook, runbook_names
from monitor.admin.stored_examples import Beside, StoredExamples
from monitor.drift import Point
from monitor.findings import Case

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: the port's own files only, nothing inline, no request to anywhere else."""
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
STATIC: Final = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}
EVENTS_SHOWN: Final = 10
TIMELINE_SHOWN: Final = 50

Trends = Callable[[str], Mapping[str, Sequence[Point]]]
"""Combination -> signal -> the points of its history."""
Ranked = Callable[[], Sequence[Pair]]
"""Pairs of served adapters by what their weights share, the most first."""


def link(name: str) -> str:
    """Address of a combination's page, relative to the first page: any name is one segment, whatever stands in it."""
    if set(name) <= {"."}:
        return f"combinations?name={name}"  # a browser would resolve it as a path
    return f"combinations/{quote(name, safe='')}"


@cache
def environment() -> Environment:
    """The templates: everything that is put into one is escaped."""
    made = Environment(
        loader=PackageLoader("monitor.admin"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        percent=terms.percent,
        clock=terms.clock,
        span=terms.span,
        ago=terms.ago,
        link=link,
        composition=terms.composition,
    )
    made.globals.update(
        term=terms.term,
        state_of=terms.state,
        condition_of=terms.condition,
        bar_of=graphics.bar,
        line_of=graphics.line,
        evidence_of=graphics.evidence_share,
        EVENTS=terms.EVENTS,
    )
    return made


def drifting(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The signals of a combination that are alarms now."""
    return [signal for signal in one["signals"] if signal["condition"] == "drifting"]


def worst_first(view: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The combinations in the order in which somebody on call wants them: drifting ones, the base, the others.

    One that only refuses too much comes after those that are a danger.
    """

    def urgency(one: Mapping[str, Any]) -> tuple[int, bool, str]:
        alarms = {signal["signal"] for signal in drifting(one)}
        return (2 if not alarms else 1 if alarms == {"over_refusal"} else 0, not one["is_base"], one["name"])

    return sorted(view["combinations"], key=urgency)


def overview(view: Mapping[str, Any], notes: Sequence[str], trends: Trends, cases: Sequence[Case] = ()) -> str:
    """The first page: every combination with its states, the worst first; cases: all findings that are kept."""
    found = worst_first(view)
    others = [one for one in found if not one["is_base"]]
    return _render(
        "overview.html",
        view,
        "",
        combinations=found,
        worse=[(one, drifting(one)) for one in found if drifting(one)],
        others=len(others),
        unknown=sum(1 for one in others if not any(signal["condition"] == "ok" for signal in one["signals"])),
        signals=terms.order({signal["signal"] for one in found for signal in one["signals"]} or set(_ALWAYS)),
        trends={one["name"]: trends(one["name"]) for one in found},
        notes=[*notes, *_uncovered(view)],
        covered=terms.covered(coverage) if (coverage := view.get("coverage")) and coverage["window_s"] else "",
        ended=past.ended(cases, view["time"])[:EVENTS_SHOWN],
        events=view.get("events", [])[:EVENTS_SHOWN],
        sentence=terms.sentence,
    )


def _uncovered(view: Mapping[str, Any]) -> list[str]:
    """What is wrong with how much of the latest traffic is judged."""
    found = terms.uncovered(view["coverage"]) if view.get("coverage") else []
    return [f"{one[:1].upper()}{one[1:]}." for one in found]


_ALWAYS: Final = ("refusal_lost", "refuse_then_comply", "over_refusal")


def one_of(view: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The combination of this name, else the one that is served under it; None when neither is known."""
    for key in ("name", "served_name"):
        for one in view["combinations"]:
            if one[key] == name:
                found: Mapping[str, Any] = one
                return found
    return None


def combination(
    view: Mapping[str, Any],
    name: str,
    trends: Trends,
    root: str = "../",
    cases: Sequence[Case] = (),
    beside: Beside | None = None,
) -> str | None:
    """The page of one combination, None for a name that is not known. root: the way from it to the first page; cases: all findings
    that are kept; beside: its stored examples, None while nothing is stored."""
    one = one_of(view, name)
    if one is None:
        return None
    names = {one["served_name"], *(part["adapter"] for part in one["parts"])}
    base = next((other["served_name"] for other in view["combinations"] if other["is_base"]), None)
    signals = {signal["signal"]: signal for signal in one["signals"]}
    runbooks = runbook_names()
    return _render(
        "combination.html",
        view,
        root,
        one=one,
        signals=[signals[signal] for signal in terms.order(set(signals))],
        alarms=drifting(one),
        runbooks=[book for signal in drifting(one) if (book := terms.term(signal["signal"]).runbook) in runbooks],
        trends=trends(one["name"]),
        beside=beside,
        served={other["served_name"]: other["name"] for other in view["combinations"] if not other["is_base"]},
        timeline=_timeline(view, one, names | ({base} if base else set()), cases),
        judged=("refusal", "compliance", "partial", "refuse_then_comply"),
        sentence=terms.sentence,
    )


def pairs(view: Mapping[str, Any], ranked: Sequence[Pair]) -> str:
    """The page of all pairs of adapters that are served together, and of those that are worth an evaluation first."""
    served = pairs_served(view, ranked)
    return _render(
        "pairs.html",
        view,
        "",
        pairs=served,
        matrix=matrix(view, served),
        first=evaluate_first(served, ranked),
        ranked=bool(ranked),
    )


def unknown_combination(view: Mapping[str, Any], name: str, root: str = "../", cases: Sequence[Case] = ()) -> str:
    """What stands at the address of a combination that is not known, any more or yet."""
    found = sorted(past.entries(cases, name), key=lambda event: -event["time"])
    return _render("unknown.html", view, root, name=name, timeline=found[:TIMELINE_SHOWN])


def _timeline(
    view: Mapping[str, Any], one: Mapping[str, Any], names: set[str], cases: Sequence[Case]
) -> list[dict[str, Any]]:
    """Events of the combination's adapters and of the base, and its own alarms to their end, the newest first."""
    events = [
        {"time": event["time"], "name": event["name"], "text": terms.EVENTS.get(event["kind"], event["kind"]),
         "detail": event["detail"], "bad": False}
        for event in view.get("events", [])
        if event["name"] in names
    ]  # fmt: skip
    events += past.entries(cases, one["name"])
    return sorted(events, key=lambda event: -event["time"])[:TIMELINE_SHOWN]


def _render(template: str, view: Mapping[str, Any], root: str, **values: Any) -> str:
    return environment().get_template(template).render(view=view, now=view["time"], root=root, **values)


def add_pages(
    app: web.Application,
    view: Callable[[], dict[str, Any]],
    notes: Callable[[], list[str]],
    trends: Trends,
    ranked: Ranked,
    cases: past.Cases,
    stored: StoredExamples | None = None,
) -> None:
    """Give the application its pages: `/`, `/combinations/NAME` (or `?name=NAME`), `/pairs`, `/evidence`, `/runbooks/NAME`,
    `/static/FILE`."""

    def page(text: str, status: int = 200) -> web.Response:
        return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)

    async def first(_: web.Request) -> web.Response:
        return page(overview(view(), notes(), trends, cases()))

    async def one(request: web.Request) -> web.Response:
        segments = request.match_info.get("name")
        name = request.query.get("name", "") if segments is None else segments
        # An address whose name was not escaped has more segments, and is as much deeper.
        root = (
            "" if segments is None else "../" * (1 + request.rel_url.raw_path.partition("/combinations/")[2].count("/"))
        )
        now = view()
        known = one_of(now, name)
        beside = await stored.beside(request, known) if stored and known else None
        found = combination(now, name, trends, root, cases(), beside)
        return page(unknown_combination(now, name, root, cases()), 404) if found is None else page(found)

    async def two(_: web.Request) -> web.Response:
        return page(pairs(view(), ranked()))

    async def examples(request: web.Request) -> web.Response:
        if stored is None:
            raise web.HTTPNotFound(text="nothing is stored: the evidence store is off (evidence.enabled)\n")
        values = await stored.many(request)
        return page(_render("evidence.html", view(), "", one=None, missing=False, **values))

    async def one_example(request: web.Request) -> web.Response:
        if stored is None:
            raise web.HTTPNotFound(text="nothing is stored: the evidence store is off (evidence.enabled)\n")
        found = await stored.one(request)
        text = _render("evidence.html", view(), "../", one=found, missing=found is None)
        return page(text, 404 if found is None else 200)

    async def books(request: web.Request) -> web.Response:
        name = request.match_info.get("name", "").removesuffix(".md")
        if name and name not in runbook_names():
            raise web.HTTPNotFound(text="no such runbook\n")
        text = runbook(name) if name else ""
        root = "../" if "name" in request.match_info else ""
        return page(_render("runbook.html", view(), root, name=name, text=text, names=runbook_names()))

    async def static(request: web.Request) -> web.StreamResponse:
        kind = STATIC.get(request.match_info["file"])
        if kind is None:
            raise web.HTTPNotFound(text="no such file\n")
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
        }
        return web.FileResponse(Path(__file__).with_name("static") / request.match_info["file"], headers=headers)

    app.router.add_get("/", first)
    app.router.add_get("/combinations", one)
    app.router.add_get("/combinations/{name:.+}", one)
    app.router.add_get("/pairs", two)
    app.router.add_get("/evidence", examples)
    app.router.add_get("/evidence/{id}", one_example)
    app.router.add_get("/runbooks", books)
    app.router.add_get("/runbooks/{name}", books)
    app.router.add_get("/static/{file}", static)
