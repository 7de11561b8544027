"""Every query of every dashboard, against a real Prometheus that scrapes a running demo and has loaded the product's rules."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_boards import BOARDS, Query, filled, panels, queries, variables
from running_sidecar import free_ports

pytestmark = pytest.mark.prometheus

WITHIN_S = 180.0
"""For the demo's pair to drift, and for everything to have been scraped: about 25 s on a machine with nothing else to do."""
MAY_BE_EMPTY = {
    "alignment_requests_blocked_total": "nothing is blocked",
    "alignment_judge_": "no judge is configured",
    "alignment_webhook_": "no webhook is configured",
    "alignment_probe_": "nothing is probed",
    "alignment_model_mismatch_total": "the demo's server answers with the model that was asked for",
    "alignment_composition_residual": "the demo's adapters have no files",
    "alignment_exchanges_skipped_total": "everything is sampled",
    "alignment_exchanges_unscored_total": "everything may have been judged",
    "alignment_prompt_categories_total": "the demo's prompts may have no hazard category",
    "alignment_proxy_errors_total": "the proxy has nothing to complain about",
    'parts=~".+,.+,.+"': "the demo has no merge of three",
}
"""What a query may be about and have no data in the demo: a piece of its text -> why."""
RARE_COLUMNS = {"reason", "explained_by", "missing"}
"""Labels that only some of the rows have."""


def get(url: str, **parameters: str) -> Any:
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=20) as response:
        return json.load(response)["data"]


def until(condition: Any, what: str, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(1)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


@contextmanager
def program(log: Path, *command: str) -> Iterator[None]:
    """A running program in a process group of its own, which goes with it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Grafana:
    """Asks Prometheus as Grafana would, with everything chosen, and the pair that drifts where one combination is."""

    def __init__(self, prometheus: str) -> None:
        self._api = f"http://{prometheus}/api/v1"
        self._values = {"job": ".+", "instance": ".+", "__range": "10m", "__rate_interval": "15s"}

    def choose(self) -> bool:
        """Choose the combination; False while none drifts."""
        found = get(
            f"{self._api}/query", query='alignment_drift_condition{condition="drifting",signal="refusal_lost"} == 1'
        )
        for one in found["result"]:
            self._values["combination"] = one["metric"]["combination"]
            self._values["signal"] = "refusal_lost"
        return bool(found["result"])

    def ask(self, query: Query) -> list[dict[str, str]]:
        """Labels of the series that have a value which is a number. Fails where Prometheus does not take the query."""
        expr = filled(query.expr, self._values)
        try:
            if query.instant:
                found = get(f"{self._api}/query", query=expr)["result"]
                return [one["metric"] for one in found if one["value"][1] != "NaN"]
            now = time.time()
            found = get(f"{self._api}/query_range", query=expr, start=str(now - 60), end=str(now), step="5")["result"]
            return [one["metric"] for one in found if any(value != "NaN" for _, value in one["values"])]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query.name}: {error.read().decode()}\n{expr}") from error

    def values_of(self, variable: dict[str, Any]) -> list[str]:
        """What a variable offers."""
        text = filled(variable["query"]["query"], self._values)
        selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", text).groups()
        return get(f"{self._api}/label/{label}/values", **{"match[]": selector})


def reason(query: Query) -> str:
    """Why a query may be empty, "" where it may not."""
    return next((why for piece, why in MAY_BE_EMPTY.items() if piece in query.expr), "")


@pytest.fixture(scope="module")
def grafana(tmp_path_factory, dashboards, find_program):
    folder = tmp_path_factory.mktemp("grafana")
    admin, prometheus = (f"127.0.0.1:{port}" for port in free_ports(2))
    rules = (dashboards / "rules" / "alignment.rules.yml").read_text()
    (folder / "rules.yml").write_text(re.sub(r"^    interval: \w+$", "    interval: 2s", rules, flags=re.MULTILINE))
    settings = {
        "global": {"scrape_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "alignment-monitor", "static_configs": [{"targets": [admin]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    server = [
        find_program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={prometheus}",
    ]
    demo = [sys.executable, "-m", "monitor", "demo", "--plain", "--admin", admin]
    with program(folder / "demo.log", *demo), program(folder / "prometheus.log", *server):
        until(lambda: answers(f"http://{prometheus}/-/ready"), "Prometheus is ready", 30)
        grafana = Grafana(prometheus)
        until(grafana.choose, f"a combination drifts\n{(folder / 'demo.log').read_text()}", WITHIN_S)
        yield grafana


def test_every_query_brings_data_or_has_a_reason_why_not(grafana):
    waiting = [query for query in queries() if not reason(query)]
    deadline = time.monotonic() + WITHIN_S
    while waiting and time.monotonic() < deadline:
        waiting = [query for query in waiting if not grafana.ask(query)]
        time.sleep(1)
    assert not waiting, "no data:\n" + "\n".join(f"{query.name}: {query.expr}" for query in waiting)


def test_queries_that_may_be_empty_are_taken_too(grafana):
    optional = [query for query in queries() if reason(query)]
    for query in optional:
        grafana.ask(query)
    assert not {piece for piece in MAY_BE_EMPTY if not any(piece in query.expr for query in optional)}, (
        "no longer asked"
    )


def test_every_variable_offers_something(grafana):
    for board in BOARDS.values():
        for name, variable in variables(board).items():
            if variable["type"] == "query":
                assert grafana.values_of(variable), name


def test_every_column_of_every_table_exists(grafana):
    """What a table arranges are labels of what its queries bring, or their values."""
    for uid, board in BOARDS.items():
        for panel in panels(board):
            arrange = [t["options"] for t in panel.get("transformations", []) if t["id"] == "organize"]
            asked = [query for query in queries() if query.board == uid and query.where == panel["title"]]
            if panel["type"] != "table" or not arrange or any(reason(query) for query in asked):
                continue
            brought = [series for query in asked for series in grafana.ask(query)]
            labels = {label for series in brought for label in series}
            values = {"Value"} if len(asked) == 1 else {f"Value #{query.letter}" for query in asked}
            assert set(arrange[0]["includeByName"]) <= labels | values | RARE_COLUMNS, f"{uid}: {panel['title']}"
            if len(asked) > 1:
                assert "__name__" not in labels, f"{uid}: {panel['title']}: names keep the rows apart"
