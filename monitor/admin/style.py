"""The status page's style sheet: system fonts, both colour schemes, cards instead of a table on a narrow screen.

State is never shown by colour alone: every colour stands beside a mark and a word.
"""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --bg: #fbfbfa; --card: #fff; --text: #1c1e21; --soft: #5c6370; --line: #d9dce1;
  --bad: #b3400a; --bad-bg: #fdeee4; --good: #0b6b53; --track: #e4e7ec; --mark: #1c1e21;
  font: 16px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
@media (prefers-color-scheme: dark) { :root { --bg: #14171b; --card: #1c2026; --text: #e8eaed; --soft: #a0a7b3; --line: #333943;
  --bad: #ffa26b; --bad-bg: #3a2216; --good: #5fd3b0; --track: #333943; --mark: #fff; } }
body { margin: 0 auto; max-width: 76rem; padding: 1.25rem 1rem 3rem; background: var(--bg); color: var(--text); }
h1 { font-size: 1.05rem; margin: 0; font-weight: 600; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; justify-content: space-between; }
small, .soft { color: var(--soft); font-size: .85rem; }
a { color: inherit; }
.sum { border: 1px solid var(--line); border-left: .4rem solid var(--good); border-radius: .5rem; background: var(--card);
  padding: .8rem 1rem; margin: .9rem 0; }
.sum h2 { margin: 0; font-size: 1.25rem; }
.sum.bad { border-color: var(--bad); background: var(--bad-bg); }
.sum.none { border-left-color: var(--soft); }
.sum ul { margin: .5rem 0 0; padding-left: 1.2rem; }
.sum li { margin: .25rem 0; overflow-wrap: anywhere; }
.note { margin: .4rem 0; padding: .4rem .8rem; border-left: .25rem solid var(--soft); }
table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line); }
th, td { text-align: left; padding: .6rem .75rem; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { font-size: .85rem; }
thead small { display: block; font-weight: 400; }
tbody th { overflow-wrap: anywhere; max-width: 18rem; }
tbody th small, td small { display: block; font-weight: 400; }
td { font-variant-numeric: tabular-nums; }
.state { font-weight: 600; white-space: nowrap; }
.ok .state { color: var(--good); }
.drifting { background: var(--bad-bg); }
.drifting .state { color: var(--bad); }
.unknown .state { color: var(--soft); font-weight: 400; }
svg { display: block; width: 100%; min-width: 8rem; max-width: 15rem; height: 1rem; margin: .2rem 0; }
.track { fill: var(--track); } .range { fill: var(--good); opacity: .55; } .drifting .range { fill: var(--bad); opacity: .7; }
.unknown .range { fill: var(--soft); opacity: .4; }
.rate { fill: var(--mark); } .limit { stroke: var(--mark); stroke-width: 1.5; stroke-dasharray: 2 1.5; }
.base { fill: none; stroke: var(--mark); stroke-width: 1.2; }
@media (max-width: 52rem) {
  thead { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden; }
  table, tbody, tr, th, td { display: block; border: 0; max-width: none; }
  table { background: none; }
  tr { border: 1px solid var(--line); border-radius: .5rem; background: var(--card); margin: .7rem 0; overflow: hidden; }
  td { border-top: 1px solid var(--line); }
  td::before { content: attr(data-of); display: block; font-size: .85rem; font-weight: 600; }
  svg { max-width: none; }
}
"""
