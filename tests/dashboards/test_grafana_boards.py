"""The dashboards as files: written by their generator, as the library's types promise, complete, readable without colours."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from grafana_boards import BOARDS, FILES, GRAFANA, panels, queries, variables
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitor.adapters.validation import Status
from monitor.records import Condition

BUILT_IN = {"__range", "__rate_interval", "datasource"}
NOT_IN_THE_TYPES = ("titleFormat", "textFormat", "useValueForTime", "step")
each_board = pytest.mark.parametrize("uid", BOARDS)
README = GRAFANA.parents[1] / "README.md"


def test_committed_files_are_what_the_generator_writes():
    script = "import json, generate; print(json.dumps(dict(generate.documents())))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=GRAFANA, capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(done.stdout) == {file.name: file.read_text() for file in FILES}, (
        "run python dashboards/grafana/generate.py"
    )


@each_board
def test_file_says_nothing_that_the_library_s_types_do_not_know(uid):
    board = json.loads(json.dumps(BOARDS[uid]))
    for annotation in board["annotations"]["list"]:
        for key in NOT_IN_THE_TYPES:
            del annotation[key]
        annotation["builtIn"] = 0
    variables(board)["datasource"].pop("current")
    read_back = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    read_back["templating"]["list"][0].pop("current", None)
    assert read_back == board


@each_board
def test_every_panel_says_what_it_shows_in_which_unit_and_from_where(uid):
    found = panels(BOARDS[uid])
    assert len({panel["title"] for panel in found}) == len(found)
    for panel in found:
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"


@each_board
def test_panels_are_numbered_and_do_not_lie_on_each_other(uid):
    everything = BOARDS[uid]["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken = set()
    for panel in everything:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells


@each_board
def test_any_prometheus_can_be_chosen_and_every_variable_exists(uid):
    board = BOARDS[uid]
    known = variables(board)
    assert list(known)[:3] == ["datasource", "job", "instance"]
    assert known["datasource"]["current"] == {}
    text = json.dumps(board)
    assert "${DS_" not in text
    assert "__inputs" not in text
    used = set(re.findall(r"\$\{?([a-z_]\w*)", text))
    assert used <= set(known) | BUILT_IN
    assert set(known) <= used


def test_a_name_that_is_chosen_alone_is_not_used_as_a_regular_expression():
    """Grafana escapes a name such as a+b only for variables of which several values can be chosen."""
    for query in queries():
        for name, variable in variables(BOARDS[query.board]).items():
            if variable["type"] == "query":
                operator = "=~" if variable.get("multi") else "="
                assert f'{name}{"=" if operator == "=~" else "=~"}"${name}"' not in query.expr, query.name


def test_states_are_words():
    """Whatever is coloured by state has its word too, and all states have one."""
    conditions = {condition.value.replace("_", " ") for condition in Condition}
    statuses = {status.value for status in Status}
    seen = []
    for board in BOARDS.values():
        for panel in panels(board):
            fields = [panel["fieldConfig"]["defaults"].get("mappings") or []]
            fields += [
                p["value"] for o in panel["fieldConfig"]["overrides"] for p in o["properties"] if p["id"] == "mappings"
            ]
            for mappings in filter(None, fields):
                texts = {result["text"].lower() for mapping in mappings for result in mapping["options"].values()}
                seen.append(texts)
            if panel["type"] == "state-timeline":
                assert panel["options"]["showValue"] == "always"
                assert panel["fieldConfig"]["defaults"]["mappings"]
    assert conditions in seen
    assert statuses in seen


def test_curves_that_are_compared_differ_in_more_than_their_colour():
    for board in BOARDS.values():
        for panel in panels(board):
            legends = [target.get("legendFormat", "") for target in panel["targets"]]
            if panel["type"] == "timeseries" and {"base", "threshold"} & set(legends):
                styled = [
                    o for o in panel["fieldConfig"]["overrides"] if o["properties"][0]["id"] == "custom.lineStyle"
                ]
                assert len(styled) >= 2, panel["title"]


def test_queries_use_no_metric_that_the_product_does_not_have(metric_names, rules):
    known = metric_names | {rule["record"] for rule in rules if "record" in rule}
    texts = [query.expr for query in queries()]
    texts += [
        v["query"]["query"] for board in BOARDS.values() for v in variables(board).values() if v["type"] == "query"
    ]
    for text in texts:
        used = {word for word in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", text) if "alignment_" in word}
        assert used <= known, text


@pytest.mark.prometheus
def test_every_query_parses(tool, tmp_path):
    filled = [re.sub(r"\$__\w+", "5m", query.expr).replace("$", "x") for query in queries()]
    group = {"name": "q", "rules": [{"record": f"q:{n}", "expr": expr} for n, expr in enumerate(filled)]}
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [group]}))
    tool("promtool", "check", "rules", file)


def test_provisioning_reads_the_folder_that_the_readme_mounts():
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/alignment.yaml").read_text())["providers"][0]
    text = README.read_text()
    assert f"dashboards/grafana/json:{provider['options']['path']}:ro" in text
    assert "dashboards/grafana/provisioning:/etc/grafana/provisioning:ro" in text
    assert source["url"] == "$PROMETHEUS_URL"
    assert "PROMETHEUS_URL=" in text
    for path in re.findall(r"dashboards/grafana/[\w/.]*\w", text):
        assert (GRAFANA.parents[1] / path).exists(), path


def test_the_rules_point_at_dashboards_that_exist(rule_file):
    found = set(re.findall(r"grafana\.your-company\.net/d/([\w-]+)", rule_file.read_text()))
    assert len(found) == 2
    assert found <= set(BOARDS)
