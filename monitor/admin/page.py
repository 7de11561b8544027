"""The status page: what an on-call engineer asks first, server-rendered, without scripts or external assets.

The summary says which combination is worse than its base, since when, and on how many answers; the table below it shows
the same for every combination, the worst first.
"""

from __future__ import annotations

import time
from html import escape
from typing import Any, Final, NamedTuple

from monitor.admin.style import STYLE

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: no script, no request to anywhere."""


EVENTS_SHOWN: Final = 10


class _Signal(NamedTuple):
    title: str
    of: str
    verb: str


_SIGNALS: Final = {
    "refusal_lost": _Signal("Does not refuse", "of harmful-looking prompts", "does not refuse"),
    "refuse_then_comply": _Signal(
        "Refuses, then complies", "of harmful-looking prompts", "refuses and then complies with"
    ),
    "over_refusal": _Signal("Refuses ordinary prompts", "of ordinary prompts", "refuses"),
}


def render_page(view: dict[str, Any], notes: list[str]) -> str:
    """The page for the view of monitor.admin.view; `notes` are sentences about the monitor's own state."""
    now = view["time"]
    found = sorted(view["combinations"], key=_worst_first)
    rows = "".join(_row(one, now) for one in found)
    if not rows:
        rows = '<tr><td colspan="6">No model is known yet: the server has not listed any and no answer came.</td></tr>'
    head = "".join(f'<th scope="col">{one.title}<small>{one.of}</small></th>' for one in _SIGNALS.values())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="refresh" content="5"><title>{_title(found)}</title><style>{STYLE}</style></head><body>'
        f"<header><h1>Alignment monitor</h1><small>{_clock(now)} UTC, renewed every 5 seconds · "
        '<a href="/metrics">metrics</a> · <a href="/api/v1/combinations">JSON</a></small></header>'
        f"{_summary(found, now)}{''.join(f'<p class=note>{escape(note)}</p>' for note in notes)}"
        f'<table><thead><tr><th scope="col">Combination</th>{head}<th scope="col">Answers</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>{_events(view.get('events', []), now)}"
        '<p class="soft">Rates are of the latest judged answers. In the bars: the band is the confidence interval, '
        "the dot the rate, the ring the base model's rate, the dashed line the alarm's threshold: a combination counts as "
        "worse when its whole band lies to the right of it.</p></body></html>"
    )


def _title(found: list[dict[str, Any]]) -> str:
    """The browser tab tells the number, too."""
    worse = sum(1 for one in found if _drifting(one))
    return f"({worse}) Alignment monitor" if worse else "Alignment monitor"


def _worst_first(one: dict[str, Any]) -> tuple[int, bool, str]:
    return (0 if _drifting(one) else 1, not one["is_base"], one["name"])


def _drifting(one: dict[str, Any]) -> list[dict[str, Any]]:
    return [signal for signal in one["signals"] if signal["condition"] == "drifting"]


def _summary(found: list[dict[str, Any]], now: float) -> str:
    worse = [one for one in found if _drifting(one)]
    if worse:
        lines = "".join(f"<li>{_sentence(one, signal, now)}</li>" for one in worse for signal in _drifting(one))
        subject = "1 combination is" if len(worse) == 1 else f"{len(worse)} combinations are"
        return f'<section class="sum bad"><h2>▲ {subject} worse than the base model</h2><ul>{lines}</ul></section>'
    others = [one for one in found if not one["is_base"]]
    unknown = sum(1 for one in others if not any(signal["condition"] == "ok" for signal in one["signals"]))
    if not others or unknown == len(others):
        return '<section class="sum none"><h2>○ Nothing can be said yet: too few answers</h2></section>'
    missing = f"<small>Of {unknown} of {len(others)} too little is known yet.</small>" if unknown else ""
    return f'<section class="sum"><h2>● No combination is known to be worse than the base model</h2>{missing}</section>'


def _sentence(one: dict[str, Any], signal: dict[str, Any], now: float) -> str:
    words = _SIGNALS[signal["signal"]]
    since = signal["since"]
    begun = f", since {_clock(since)} UTC ({_ago(now - since)})" if since is not None else ""
    base = f"; base {_percent(signal['baseline_rate'])}" if signal["baseline_rate"] is not None else ""
    return (
        f"<strong>{escape(one['name'])}</strong> {words.verb} {_percent(signal['rate'])} {words.of} "
        f"({signal['samples']} answers, interval {_percent(signal['lower'])} to {_percent(signal['upper'])}{base}){begun}"
    )


def _row(one: dict[str, Any], now: float) -> str:
    made_of = "the base model" if one["is_base"] else _composition(one)
    signals = {signal["signal"]: signal for signal in one["signals"]}
    trust = "".join(f"<small>{escape(line)}</small>" for line in _trust(one))
    last = one["last_sample"]
    latest = f"latest {_ago(now - last)}" if last else "none judged yet"
    return (
        f'<tr><th scope="row">{escape(one["name"])}<small>{escape(made_of)}</small>{trust}<small>{one["id"]}</small></th>'
        + "".join(_cell(signals.get(name), name, now, is_base=one["is_base"]) for name in _SIGNALS)
        + f'<td data-of="Answers">{one["requests"]}<small>{latest}</small></td></tr>'
    )


def _trust(one: dict[str, Any]) -> list[str]:
    """What is known of a combination's validation and contents."""
    lines = []
    if one.get("composition"):
        lines.append(f"its weights say: {one['composition']}")
    if one.get("status") and (one["validation_required"] or one["status"] != "unvalidated"):
        lines.append(f"{one['status']}: {one['status_reason']}")
    if one.get("digest"):
        lines.append(f"contents {one['digest'][:12]}")
    return [*lines, *(f"▲ {finding}" for finding in one.get("findings", []))]


def _events(events: list[dict[str, Any]], now: float) -> str:
    """The latest changes of what is loaded."""
    if not events:
        return ""
    lines = "".join(
        f"<li>{_clock(one['time'])} UTC, {_ago(now - one['time'])}: <strong>{escape(one['name'])}</strong> "
        f"{escape(one['kind'].replace('_', ' '))}{escape(' (' + one['detail'] + ')' if one['detail'] else '')}</li>"
        for one in events[:EVENTS_SHOWN]
    )
    return f'<section class="sum none"><h2>Adapters: latest events</h2><ul>{lines}</ul></section>'


def _composition(one: dict[str, Any]) -> str:
    if not one["declared"]:
        return "adapter, composition not declared"
    parts = " + ".join(f"{part['scale']:g} × {part['adapter']}" for part in one["parts"])
    return f"{parts} ({one['merge']})" if one["merge"] else parts


def _cell(signal: dict[str, Any] | None, name: str, now: float, *, is_base: bool) -> str:
    opening = f'data-of="{_SIGNALS[name].title}"'
    if signal is None or not signal["samples"]:
        return f'<td class="unknown" {opening}><span class="state">○ no answer yet</span></td>'
    condition = signal["condition"]
    style = condition if condition in ("drifting", "ok") else "unknown"
    details = [f"interval {_percent(signal['lower'])} to {_percent(signal['upper'])}"]
    if signal["baseline_rate"] is not None and not is_base:
        details.append(f"base {_percent(signal['baseline_rate'])} of {signal['baseline_samples']}")
    if signal["threshold"] is not None and condition == "drifting":
        details.append(f"alarm above {_percent(signal['threshold'])}")
    if condition == "drifting" and signal["since"] is not None:
        details.append(f"since {_clock(signal['since'])} UTC, {_ago(now - signal['since'])}")
    lines = "".join(f"<small>{line}</small>" for line in details)
    return (
        f'<td class="{style}" {opening}><span class="state">{_state(condition, name, is_base=is_base)}</span>'
        f"{_bar(signal)}<strong>{_percent(signal['rate'])}</strong> of {signal['samples']}{lines}</td>"
    )


def _state(condition: str, name: str, *, is_base: bool) -> str:
    if condition == "drifting":
        return "▲ over the limit" if name == "refuse_then_comply" else "▲ worse than base"
    if condition == "warming_up":
        return "○ too few answers"
    if condition == "no_baseline":
        return "● the reference" if is_base else "○ base not measured"
    return "● within the limit" if name == "refuse_then_comply" or is_base else "● as base"


def _bar(signal: dict[str, Any]) -> str:
    """0 to 100%: interval, rate, base and threshold; the numbers stand beside it, so a reader of text loses nothing."""
    low, high = 200 * signal["lower"], 200 * signal["upper"]
    shapes = [
        '<rect class="track" x="0" y="6" width="200" height="4" rx="2"/>',
        f'<rect class="range" x="{low:.1f}" y="4" width="{max(2.0, high - low):.1f}" height="8" rx="2"/>',
    ]
    if signal["threshold"] is not None:
        limit = 200 * min(1.0, signal["threshold"])
        shapes.append(f'<line class="limit" x1="{limit:.1f}" x2="{limit:.1f}" y1="0" y2="16"/>')
    if signal["baseline_rate"] is not None:
        shapes.append(f'<circle class="base" cx="{200 * signal["baseline_rate"]:.1f}" cy="8" r="4"/>')
    shapes.append(f'<circle class="rate" cx="{200 * signal["rate"]:.1f}" cy="8" r="3"/>')
    return f'<svg viewBox="-4 0 208 16" preserveAspectRatio="xMinYMid" aria-hidden="true">{"".join(shapes)}</svg>'


def _percent(share: float) -> str:
    return f"{share:.0%}" if share < 0.0005 or share >= 0.1 else f"{share:.1%}"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def _ago(seconds: float) -> str:
    """A rough age; what seems to lie ahead, by clocks that differ, is now."""
    if seconds < 2:
        return "just now"
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name} ago"
    return f"{seconds / 86_400:.0f} days ago"
