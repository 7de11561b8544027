"""The sample configuration in a real Alertmanager: who is woken, and what stays silent beside it."""

import asyncio
import re

import aiohttp
import pytest
from alerting_stage import DASHBOARDS, Pager, program, served, tool
from running_sidecar import eventually, free_ports

SIDECAR, BROKEN = "pod-1:9464", "pod-2:9464"


def alert(name: str, severity: str, instance: str = SIDECAR, **labels: str) -> dict[str, object]:
    """An alert as Prometheus sends it."""
    every = {"alertname": name, "severity": severity, "job": "alignment-monitor", "instance": instance}
    return {"labels": every | labels, "annotations": {"summary": name}}


COLLUSION = [
    alert("AlignmentRefusalLost", "ticket", combination="a+b", signal="refusal_lost"),
    alert("AlignmentRefusalLostPaired", "page", combination="a+b", signal="refusal_lost_paired"),
    alert("AlignmentCollusion", "page", combination="a+b", signal="collusion"),
    alert("AlignmentNoSamples", "ticket", combination="a+b"),
]
COMMON_CAUSE = [
    alert("AlignmentCommonCause", "page", BROKEN, signal="refusal_lost"),
    alert("AlignmentRefusalLost", "page", BROKEN, combination="c", signal="refusal_lost"),
    alert("AlignmentRefusalLost", "page", BROKEN, combination="d", signal="refusal_lost"),
    alert("AlignmentOverRefusal", "ticket", BROKEN, combination="e", signal="over_refusal"),
    alert("AlignmentBaselineVoid", "ticket", BROKEN, reason="base_changed"),
    alert("AlignmentNoBaseline", "ticket", BROKEN, combination="c", signal="refusal_lost"),
]


def told(messages: list[dict]) -> list[set[tuple[str, str]]]:
    """What each message is about: names of alerts and their combinations."""
    return [{(a["labels"]["alertname"], a["labels"].get("combination", "")) for a in m["alerts"]} for m in messages]


@pytest.mark.prometheus
async def test_collusion_makes_one_page_and_a_common_cause_silences_the_combinations(tmp_path):
    pager = Pager()
    address = f"127.0.0.1:{free_ports(1)[0]}"
    async with served(pager.application()) as url, aiohttp.ClientSession() as session:
        sample = (DASHBOARDS / "alertmanager" / "alertmanager.yml").read_text()
        sample = sample.replace("http://pager.example.com/alignment", f"{url}/pages")
        sample = sample.replace("http://tickets.example.com/alignment", f"{url}/tickets")
        (tmp_path / "alertmanager.yml").write_text(re.sub(r"group_wait: \w+", "group_wait: 2s", sample))
        command = [
            tool("prometheus-alertmanager"),
            f"--config.file={tmp_path / 'alertmanager.yml'}",
            f"--storage.path={tmp_path / 'alertmanager'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ]
        async with program(tmp_path / "alertmanager.log", *command):

            async def ready():
                try:
                    async with session.get(f"http://{address}/-/ready") as response:
                        return response.status == 200
                except aiohttp.ClientError:
                    return False

            await eventually(ready, "Alertmanager is ready")
            async with session.post(f"http://{address}/api/v2/alerts", json=COLLUSION + COMMON_CAUSE) as response:
                assert response.status == 200, await response.text()
            await eventually(
                lambda: len(pager.messages["pages"]) >= 2 and len(pager.messages["tickets"]) >= 2, "two of each"
            )
            await asyncio.sleep(2.5)  # every group has waited by then

    both = {("AlignmentRefusalLostPaired", "a+b"), ("AlignmentCollusion", "a+b")}
    assert sorted(told(pager.messages["pages"]), key=len) == [{("AlignmentCommonCause", "")}, both]
    assert {one for message in told(pager.messages["tickets"]) for one in message} == {
        ("AlignmentOverRefusal", "e"),
        ("AlignmentBaselineVoid", ""),
    }
