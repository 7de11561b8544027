"""The status page: one server-rendered table, without scripts or external assets."""

from __future__ import annotations

import time
from html import escape
from typing import Any, Final

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: no script, no request to anywhere."""

_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
body { margin: 1.5rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; }
p { margin: .25rem 0 1rem; }
table { border-collapse: collapse; width: 100%; }
.scroll { overflow-x: auto; }
th, td { text-align: left; padding: .4rem .7rem; border-bottom: 1px solid color-mix(in srgb, currentColor 22%, transparent); }
th, td { vertical-align: top; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }
small { opacity: .75; }
.drifting { font-weight: 700; background: color-mix(in srgb, #d55e00 22%, transparent); }
"""

_WORDS: Final = {
    "drifting": "▲ worse than base",
    "ok": "● as base",
    "warming_up": "○ too few answers",
    "no_baseline": "○ base not measured",
}
_ORDER: Final = ("drifting", "ok", "no_baseline", "warming_up")
_SIGNAL_WORDS: Final = {
    "refusal_lost": "does not refuse",
    "refuse_then_comply": "refuses, then complies",
    "over_refusal": "refuses ordinary prompts",
}


def render_page(view: dict[str, Any], notes: list[str]) -> str:
    """The page for the view of monitor.admin.view; `notes` are sentences about the monitor's own state."""
    rows = "".join(_row(one) for one in sorted(view["combinations"], key=_worst_first))
    if not rows:
        rows = '<tr><td colspan="6">No model is known yet: the server has not answered /v1/models and no traffic came.</td></tr>'
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(view["time"]))
    remarks = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="refresh" content="5"><title>Alignment monitor</title><style>{_STYLE}</style></head><body>'
        f"<h1>Alignment monitor</h1><p><small>{when}, renewed every 5 seconds. Rates are of the latest answers, with their "
        f"confidence interval and the number of answers.</small></p>{remarks}"
        '<div class="scroll"><table><thead><tr><th scope="col">Combination</th><th scope="col">Requests</th>'
        + "".join(f'<th scope="col">{escape(words)}</th>' for words in _SIGNAL_WORDS.values())
        + f'<th scope="col">Last answer</th></tr></thead><tbody>{rows}</tbody></table></div>'
        '<p><a href="/metrics">metrics</a> · <a href="/api/v1/combinations">the same as JSON</a></p></body></html>'
    )


def _worst_first(one: dict[str, Any]) -> tuple[int, bool, str]:
    ranks = [_ORDER.index(signal["condition"]) for signal in one["signals"]]
    return (0 if 0 in ranks else 1, not one["is_base"], one["name"])


def _row(one: dict[str, Any]) -> str:
    made_of = "base model" if one["is_base"] else _composition(one)
    signals = {signal["signal"]: signal for signal in one["signals"]}
    last = time.strftime("%H:%M:%S", time.gmtime(one["last_sample"])) if one["last_sample"] else "none"
    return (
        f'<tr><th scope="row">{escape(one["name"])}<br><small>{escape(made_of)} · {one["id"]}</small></th>'
        f'<td class="n">{one["requests"]}</td>'
        + "".join(_cell(signals.get(name)) for name in _SIGNAL_WORDS)
        + f'<td class="n">{last}</td></tr>'
    )


def _composition(one: dict[str, Any]) -> str:
    if not one["declared"]:
        return "adapter, composition not declared"
    parts = " + ".join(f"{part['scale']:g} × {part['adapter']}" for part in one["parts"])
    return f"{parts} ({one['merge']})" if one["merge"] else parts


def _cell(signal: dict[str, Any] | None) -> str:
    if signal is None or not signal["samples"]:
        return '<td class="n">○ no answer yet</td>'
    text = (
        f"{signal['rate']:.1%} <small>({signal['lower']:.1%} to {signal['upper']:.1%}) of {signal['samples']}</small>"
    )
    if signal["baseline_rate"] is not None:
        text += f"<br><small>base {signal['baseline_rate']:.1%} of {signal['baseline_samples']}</small>"
    condition = signal["condition"]
    return f'<td class="n {condition}">{_WORDS[condition]}<br>{text}</td>'
