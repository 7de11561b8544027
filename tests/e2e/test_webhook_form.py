"""Messages in Alertmanager's form have what Alertmanager's own have, so that its receivers take them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from alerting_stage import Pager, program, served, tool
from running_sidecar import eventually, free_ports

from monitor.findings import Numbers
from monitor.outputs.message import Event, Message, as_alertmanager
from monitor.records import Part

NUMBERS = Numbers(40, 38, 0.95, 0.7, 0.99, 0.02, 101, 0.11, 16.0, 14.0, None, None, None)


def ours(event: Event) -> dict[str, Any]:
    message = Message(
        id="1", incident="0123456789abcdef", event=event, severity="page", time=1000.0, combination="a+b", combination_id="x",
        served_name="ab", parts=[Part("a"), Part("b")], alert="AlignmentRefusalLost", signal="refusal_lost", finding="f",
        also=[], began=990.0, changed=980.0, ended=2000.0 if event is Event.CLOSED else None, resolution="", numbers=NUMBERS,
        categories={}, summary="s", description="d", changes="c", action="a", dashboard_url="http://x/", runbook_url="http://x/r",
        instance="x",
    )  # fmt: skip
    found: dict[str, Any] = json.loads(as_alertmanager(message))
    return found


def form(message: dict[str, Any]) -> dict[str, Any]:
    """Names and types, without the names of labels and annotations, which are free."""
    free = {"groupLabels", "commonLabels", "commonAnnotations"}
    shape: dict[str, Any] = {name: type(value).__name__ for name, value in message.items() if name != "alerts"}
    for name in free:
        assert all(isinstance(value, str) for value in message[name].values())
    shape["alerts"] = [{name: type(value).__name__ for name, value in one.items()} for one in message["alerts"]]
    return shape


@pytest.mark.prometheus
async def test_the_form_is_that_of_a_real_alertmanager_s_webhook(tmp_path: Path) -> None:
    pager, (port,) = Pager(), free_ports(1)
    async with served(pager.application()) as url, aiohttp.ClientSession() as session:
        webhook = {"name": "pages", "webhook_configs": [{"url": f"{url}/pages", "send_resolved": True}]}
        route = {"receiver": "pages", "group_by": ["combination"], "group_wait": "100ms", "group_interval": "200ms"}
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump({"route": route, "receivers": [webhook]}))
        command = (
            tool("prometheus-alertmanager"),
            f"--config.file={tmp_path / 'alertmanager.yml'}",
            f"--storage.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        )
        async with program(tmp_path / "log", *command):

            async def sent(ends: str | None) -> bool:
                labels = {"alertname": "AlignmentRefusalLost", "combination": "a+b", "severity": "page"}
                alert: dict[str, Any] = {"labels": labels, "annotations": {"summary": "s"}, "generatorURL": "http://x/"}
                if ends:
                    alert["endsAt"] = ends
                try:
                    async with session.post(f"http://127.0.0.1:{port}/api/v2/alerts", json=[alert]) as response:
                        return response.status == 200
                except aiohttp.ClientError:
                    return False

            await eventually(lambda: sent(None), "it takes an alert")
            await eventually(lambda: pager.messages["pages"], "it sends a message")
            await sent(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
            await eventually(lambda: len(pager.messages["pages"]) > 1, "and its end")
    firing, resolved = pager.messages["pages"][:2]
    assert form(ours(Event.OPENED)) == form(firing)
    assert form(ours(Event.CLOSED)) == form(resolved)
    for own, real in ((ours(Event.OPENED), firing), (ours(Event.CLOSED), resolved)):
        assert (own["version"], own["status"], own["alerts"][0]["status"]) == (
            real["version"],
            real["status"],
            real["alerts"][0]["status"],
        )
        assert len(own["alerts"][0]["fingerprint"]) == len(real["alerts"][0]["fingerprint"])
    assert ours(Event.OPENED)["alerts"][0]["endsAt"] == firing["alerts"][0]["endsAt"]
