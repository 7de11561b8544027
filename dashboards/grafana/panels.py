"""The kinds of panels that the dashboards are made of, over Grafana's typed library, and what all dashboards share.

Every panel has a title, a description, a unit and queries. Thresholds and states are words or lines of their own style, never
a colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG: Final = "alignment-monitor"
SIDECARS: Final = 'job=~"$job",instance=~"$instance"'
"""Matchers of the sidecars that are chosen above."""
CHOSEN: Final = f'{SIDECARS},combination="$combination"'
"""Matchers of the combination that is chosen above: equal, since Grafana escapes a name with a `+` for a regular expression only
where several can be chosen."""
WIDTH: Final = 24
"""Columns of Grafana's grid."""
CONDITIONS: Final = {1: "warming up", 2: "no baseline", 3: "ok", 4: "DRIFTING"}
STATUSES: Final = {1: "validated", 2: "validating", 3: "unvalidated", 4: "FAILED", 5: "drifting", 6: "QUARANTINED"}
COLOURS: Final = {
    "warming up": "text", "no baseline": "#CC79A7", "ok": "#0072B2", "DRIFTING": "#D55E00",
    "validated": "#0072B2", "validating": "#56B4E9", "unvalidated": "#E69F00", "drifting": "#D55E00",
    "FAILED": "#F0E442",
    "QUARANTINED": "#CC79A7", "NOT USABLE": "#D55E00", "in use": "#0072B2",
}  # fmt: skip
"""Okabe and Ito's palette, which people who confuse red and green can tell apart; each stands beside its word."""
CALM, WARN, BAD = "#0072B2", "#E69F00", "#D55E00"
SOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

Panel = stat.Panel | timeseries.Panel | table.Panel | bargauge.Panel | statetimeline.Panel


@dataclass(frozen=True)
class Ask:
    """A query of a panel."""

    expr: str
    legend: str = ""
    """Template of the series' names, or the column's name in a table."""


def number_of(states: Mapping[int, str], metric: str, label: str, matchers: str, by: str) -> str:
    """PromQL: the number of the state whose series is 1, so that a timeline can show it as a word."""
    values = [word.lower().replace(" ", "_") for word in states.values()]
    terms = [
        f'({number} * max by ({by}, {label}) ({metric}{{{matchers},{label}="{value}"}}))'
        for number, value in zip(states, values, strict=True)
    ]
    return f"max by ({by}) ({' or '.join(terms)})"


def words(states: Mapping[int, str]) -> list[model.ValueMapping]:
    """Numbers shown as words."""
    results = {
        str(number): model.ValueMappingResult(text=word, color=COLOURS.get(word), index=index)
        for index, (number, word) in enumerate(states.items())
    }
    return [model.ValueMap(options=results)]


def steps(*above: tuple[float, str]) -> dashboard.ThresholdsConfig:
    """Calm, and from each value on another colour; the panel's text says what it means."""
    first = model.Threshold(value=None, color=CALM)
    return dashboard.ThresholdsConfig().steps([first, *(model.Threshold(value=v, color=c) for v, c in above)])


def _queries(asks: Sequence[Ask], *, instant: bool, as_table: bool = False) -> list[prometheus.Dataquery]:
    made = []
    for number, ask in enumerate(asks):
        query = prometheus.Dataquery().expr(ask.expr).ref_id(chr(ord("A") + number)).datasource(SOURCE)
        query = query.instant() if instant else query.range()
        if as_table:
            query = query.format(PromQueryFormat.TABLE)
        elif ask.legend:
            query = query.legend_format(ask.legend)
        made.append(query)
    return made


def _dressed(panel: Any, title: str, about: str, unit: str, width: int, height: int) -> Any:
    panel.title(title).description(about).datasource(SOURCE).span(width).height(height)
    return panel.unit(unit) if unit else panel


def figure(
    title: str, about: str, ask: Ask, unit: str = "none", width: int = 4, *, thresholds: dashboard.ThresholdsConfig | None = None,
    states: Mapping[int, str] | None = None, missing: str = "not measured", names: bool = False,
) -> stat.Panel:  # fmt: skip
    """One number, or one word per series."""
    panel = _dressed(stat.Panel(), title, about, unit, width, 4)
    panel.targets(_queries([ask], instant=True)).no_value(missing)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.graph_mode(shapes.BigValueGraphMode.NONE).color_mode(shapes.BigValueColorMode.VALUE)
    panel.text_mode(shapes.BigValueTextMode.NAME if names else shapes.BigValueTextMode.AUTO)
    panel.thresholds(thresholds or steps())
    return panel.mappings(words(states)) if states else panel


def curve(
    title: str, about: str, asks: Sequence[Ask], unit: str, width: int = 12, *, most: float | None = None,
    dashed: Sequence[str] = (), dotted: Sequence[str] = (), band: tuple[str, str] | None = None, line_at: float | None = None,
    stacked: bool = False, bars: bool = False, height: int = 8,
) -> timeseries.Panel:  # fmt: skip
    """Values over time. `dashed`, `dotted`: regular expressions of names drawn in that style; `band`: (lower, upper) names."""
    panel = _dressed(timeseries.Panel(), title, about, unit, width, height)
    panel.targets(_queries(asks, instant=False)).min(0).fill_opacity(0).line_width(2)
    panel.show_points(shapes.VisibilityMode.AUTO).span_nulls(False)
    legend = (
        common.VizLegendOptions().display_mode(shapes.LegendDisplayMode.TABLE).placement(shapes.LegendPlacement.BOTTOM)
    )
    panel.legend(legend.show_legend(True).calcs(["lastNotNull"]))
    panel.tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING))
    if most is not None:
        panel.max(most)
    if bars:
        panel.draw_style(shapes.GraphDrawStyle.BARS).fill_opacity(60).line_width(1)
    if stacked:
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL)).fill_opacity(30)
    if line_at is not None:
        panel.thresholds(steps((line_at, BAD)))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED))
    for pattern, style in [*((p, "dash") for p in dashed), *((p, "dot") for p in dotted)]:
        pieces: list[object] = [10, 10] if style == "dash" else [2, 6]
        line = model.DynamicConfigValue("custom.lineStyle", {"fill": style, "dash": pieces})
        panel.override_by_regexp(f"/{pattern}/", [line])
    if band:
        lower, upper = band
        thin = model.DynamicConfigValue("custom.lineWidth", 0)
        panel.override_by_name(lower, [thin])
        panel.override_by_name(
            upper,
            [
                thin,
                model.DynamicConfigValue("custom.fillBelowTo", lower),
                model.DynamicConfigValue("custom.fillOpacity", 20),
            ],
        )
    return panel


def listing(
    title: str, about: str, asks: Sequence[Ask], units: Mapping[str, str], width: int = 24, height: int = 9, *,
    columns: Mapping[str, str], sort: str = "", states: Mapping[str, Mapping[int, str]] | None = None, unit: str = "none",
) -> table.Panel:  # fmt: skip
    """A table of what is now: queries joined by their labels. `columns`: label or query's legend -> heading, in order; all else
    is left out; `units`, `states`: by heading."""
    panel = _dressed(table.Panel(), title, about, unit, width, height)
    if len(asks) > 1:  # without the metrics' names, which would keep the rows apart
        asks = [Ask(f"max without () ({ask.expr})", ask.legend) for ask in asks]
    panel.targets(_queries(asks, instant=True, as_table=True)).no_value("–").filterable(True)
    letters = {ask.legend: f"Value #{chr(ord('A') + n)}" if len(asks) > 1 else "Value" for n, ask in enumerate(asks)}
    names = {letters.get(name, name): heading for name, heading in columns.items()}
    arrange: dict[str, object] = {
        "excludeByName": {},
        "includeByName": dict.fromkeys(names, True),
        "indexByName": {name: number for number, name in enumerate(names)},
        "renameByName": names,
    }
    if len(asks) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=arrange))
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    for heading, own in units.items():
        panel.override_by_name(heading, [model.DynamicConfigValue("unit", own)])
    for heading, mapping in (states or {}).items():
        panel.override_by_name(
            heading, [model.DynamicConfigValue("mappings", [one.to_json() for one in words(mapping)])]
        )
    return panel


def matrix(title: str, about: str, ask: Ask, rows: str, across: str, unit: str, width: int = 12) -> table.Panel:
    """One value for every two labels, as a square of numbers."""
    panel = _dressed(table.Panel(), title, about, unit, width, 10)
    panel.targets(_queries([ask], instant=True, as_table=True)).no_value("–").decimals(1)
    options: dict[str, object] = {"columnField": across, "rowField": rows, "valueField": "Value", "emptyValue": "null"}
    return panel.with_transformation(model.DataTransformerConfig(id_val="groupingToMatrix", options=options))


def bars(
    title: str, about: str, ask: Ask, unit: str, width: int = 12, *, most: float | None = None, height: int = 9
) -> bargauge.Panel:
    """The value of each series now, with its number beside the bar."""
    panel = _dressed(bargauge.Panel(), title, about, unit, width, height)
    panel.targets(_queries([ask], instant=True)).no_value("nothing yet").min(0)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.orientation(shapes.VizOrientation.HORIZONTAL).display_mode(shapes.BarGaugeDisplayMode.BASIC)
    panel.thresholds(steps(*([(most, BAD)] if most is not None else [])))
    return panel.max(most) if most is not None else panel


def timeline(
    title: str, about: str, ask: Ask, states: Mapping[int, str], width: int = 24, height: int = 7
) -> statetimeline.Panel:
    """States over time, each with its word in it."""
    panel = _dressed(statetimeline.Panel(), title, about, "none", width, height)
    panel.targets(_queries([ask], instant=False)).mappings(words(states)).merge_values(True)
    legend = (
        common.VizLegendOptions().display_mode(shapes.LegendDisplayMode.LIST).placement(shapes.LegendPlacement.BOTTOM)
    )
    return panel.show_value(shapes.VisibilityMode.ALWAYS).fill_opacity(70).legend(legend.show_legend(True))


def _choice(name: str, label: str, about: str, values_of: str, *, several: bool) -> dashboard.QueryVariable:
    query: dict[str, object] = {"qryType": 1, "query": values_of, "refId": f"variable-{name}"}
    made = dashboard.QueryVariable(name).label(label).description(about).datasource(SOURCE).query(query)
    made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)
    return made.multi(True).include_all(True).all_value(".+") if several else made


def board(uid: str, title: str, about: str, *, combination: bool = False) -> dashboard.Dashboard:
    """An empty dashboard with the variables, links and annotations that all have."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([TAG])
        .refresh("30s")
        .time("now-6h", "now")
        .readonly()
    )
    made.tooltip(model.DashboardCursorSync.CROSSHAIR).timezone("browser")
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    made.with_variable(_choice("job", "Job", "Scrape job", "label_values(alignment_build_info, job)", several=True))
    made.with_variable(
        _choice(
            "instance",
            "Sidecar",
            "Scrape address",
            'label_values(alignment_build_info{job=~"$job"}, instance)',
            several=True,
        )
    )
    if combination:
        values = f"label_values(alignment_combination_info{{{SIDECARS}}}, combination)"
        made.with_variable(_choice("combination", "Combination", "As the alerts name it", values, several=False))
    links = dashboard.DashboardLink("Alignment monitor").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    made.link(links.as_dropdown(True).include_vars(True).keep_time(True))
    return made


def arranged(made: dashboard.Dashboard, rows: Mapping[str, Sequence[Panel]]) -> dashboard.Dashboard:
    """The dashboard with its rows of panels, numbered in order."""
    number = 0
    for title, panels in rows.items():
        number += 1
        made.with_row(dashboard.Row(title).id(number))
        for panel in panels:
            number += 1
            made.with_panel(panel.id(number))
    return made
