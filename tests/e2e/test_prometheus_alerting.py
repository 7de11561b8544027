"""From an answer on the wire to a page in somebody's pocket, with the real Prometheus and the real Alertmanager."""

import asyncio
import html
import json
import os
import re
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from alerting_stage import (
    BASE,
    CONTROL,
    DASHBOARDS,
    LABEL,
    PACE,
    PAIR,
    Pager,
    recorded_stage,
    served,
    stage,
    tool,
)
from running_sidecar import eventually

RUNBOOKS = sorted((DASHBOARDS / "runbooks").glob("*.md"))


SIDECAR, BROKEN = "pod-1:9464", "pod-2:9464"


def alert(name: str, severity: str, instance: str, **labels: str) -> dict[str, Any]:
    """An alert as Prometheus sends it."""
    every = {"alertname": name, "severity": severity, "job": "alignment-monitor", "instance": instance}
    return {"labels": every | labels, "annotations": {"summary": name}}


OF_ONE_COMBINATION = [
    alert("AlignmentRefusalLost", "ticket", SIDECAR, combination="a+b", signal="refusal_lost"),
    alert("AlignmentRefusalLostPaired", "page", SIDECAR, combination="a+b", signal="refusal_lost_paired"),
    alert("AlignmentCollusion", "page", SIDECAR, combination="a+b", signal="collusion"),
    alert("AlignmentRefuseThenComply", "page", SIDECAR, combination="a+b", signal="refuse_then_comply"),
    alert("AlignmentNoSamples", "ticket", SIDECAR, combination="a+b"),
]
ALONE = [
    alert("AlignmentCollusion", "page", SIDECAR, combination="c+d", signal="collusion"),
    alert("AlignmentRefusalLost", "ticket", SIDECAR, combination="c+d", signal="refusal_lost"),
]
COMMON_CAUSE = [
    alert("AlignmentCommonCause", "page", BROKEN, signal="refusal_lost"),
    alert("AlignmentRefusalLost", "page", BROKEN, combination="e", signal="refusal_lost"),
    alert("AlignmentRefusalLost", "page", BROKEN, combination="f", signal="refusal_lost"),
    alert("AlignmentOverRefusal", "ticket", BROKEN, combination="g", signal="over_refusal"),
    alert("AlignmentBaselineVoid", "ticket", BROKEN, reason="base_changed"),
    alert("AlignmentNoBaseline", "ticket", BROKEN, combination="e", signal="refusal_lost"),
]


def told(messages: list[dict[str, Any]]) -> list[list[tuple[str, str]]]:
    """What each message is about: names of alerts and their combinations."""
    about = [
        sorted((a["labels"]["alertname"], a["labels"].get("combination", "")) for a in m["alerts"]) for m in messages
    ]
    return sorted(about)


@pytest.mark.prometheus
async def test_collusion_makes_exactly_one_page_that_says_all_and_its_unload_ends_it(tmp_path, sidecar):
    tool("prometheus")
    tool("prometheus-alertmanager")
    pager = Pager()
    async with (
        recorded_stage(tmp_path, sidecar) as on,
        served(pager.application()) as pager_url,
        on.alerting(pager_url),
    ):
        began = time.monotonic()
        label, prompts = (
            on.pair.label,
            [p.text for p in on.recordings.prompts.values() if p.stratum == "harmful_looking"],
        )
        pages, tickets = pager.messages["pages"], pager.messages["tickets"]
        for name in (on.recordings.header.base, *(part.adapter for part in on.pair.parts), on.pair.name):
            await on.ask(name, 40, prompts)

        await eventually(lambda: pages, "a page", within_s=60)
        paged = time.monotonic()
        print(f"\npage after {paged - began:.0f} s:\n{json.dumps(pages[0]['alerts'][0], indent=1)}")
        assert pages[0]["status"] == "firing"
        assert pages[0]["groupLabels"] == {"combination": label}
        (page,) = pages[0]["alerts"]
        assert page["labels"]["alertname"] == "AlignmentRefusalLostPaired"
        assert page["labels"]["instance"] == on.admin
        said = page["annotations"]
        assert said["summary"] == f"{label} gives what its base model refuses, on the same prompts"
        assert re.fullmatch(
            rf"Combination {re.escape(label)}: \d+(\.\d+)?% of \d+ prompts that were asked of it and of its base model were not "
            r"refused by it \(interval [\d.]+% to [\d.]+%\)\. Base model, on the same prompts: [\d.]+% of \d+\. "
            r"Difference: [\d.]+% \(interval [\d.]+% to [\d.]+%; tolerance 2% by default\)\. "
            r"Since 20\d\d-\d\d-\d\d [\d:.]+ \+0000 UTC\. "
            r"Evidence: 10\^[\d.]+, an alarm needs 10\^[\d.]+ \(false alarms are that many answers apart\)\."
            rf"( Also drifting: [a-z_, ()]+\.)?( Cause: [^.]+\.)? Sidecar {re.escape(on.admin)}\.",
            said["description"],
        ), said["description"]
        assert said["action"].startswith(f"Stop routing users to {on.pair.name}, or unload it")
        assert said["changes"]
        assert "unknown" not in str(said)
        async with on.session.get(said["dashboard_url"]) as response:
            assert response.status == 200
            assert label in html.unescape(await response.text())
        assert (DASHBOARDS / "runbooks" / said["runbook_url"].rpartition("/")[2]).is_file()

        async def collusion_is_kept_silent():
            alerts = await on.get_json(f"http://{on.alertmanager}/api/v2/alerts?inhibited=true")
            collusion = [one for one in alerts if one["labels"]["alertname"] == "AlignmentCollusion"]
            return collusion and all(one["status"]["inhibitedBy"] for one in collusion)

        await eventually(
            collusion_is_kept_silent, "collusion is found, and the page speaks for it", within_s=60, every_s=0.5
        )
        await eventually(
            lambda: time.monotonic() > paged + 300 / PACE + 1, "another message could have been sent", every_s=0.5
        )
        assert (len(pages), tickets) == (1, []), told(pages + tickets)
        assert {one["labels"]["combination"] for one in await on.firing()} == {label}, "base and parts are quiet"

        async with on.session.post(
            f"{on.server_url}/v1/unload_lora_adapter", json={"lora_name": on.pair.name}
        ) as response:
            assert response.status == 200
        await eventually(lambda: len(pages) > 1, "the page ends with the unload", within_s=60)
        assert [one["status"] for one in pages] == ["firing", "resolved"]
        assert ("AlignmentRefusalLostPaired", label) in told(pages[1:])[0]
        assert {one["status"] for one in pages[1]["alerts"]} == {"resolved"}
        assert tickets == []

        pages.clear()
        sent = OF_ONE_COMBINATION + ALONE + COMMON_CAUSE
        async with on.session.post(f"http://{on.alertmanager}/api/v2/alerts", json=sent) as response:
            assert response.status == 200, await response.text()
        await eventually(
            lambda: len(tickets) >= 2, "all that waits is sent: tickets without a combination wait longest"
        )
        assert told(pages) == [
            [("AlignmentCollusion", "c+d")],
            [("AlignmentCommonCause", "")],
            [("AlignmentRefusalLostPaired", "a+b")],
        ]
        assert told(tickets) == [[("AlignmentBaselineVoid", "")], [("AlignmentOverRefusal", "g")]]


async def test_every_command_of_every_diagnosis_works_on_a_running_sidecar(tmp_path, sidecar):
    (tmp_path / "token").write_text(secrets.token_hex(32))
    kept = {"enabled": True, "folder": str(tmp_path / "examples")}
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "alignment-monitor").write_text(f'#!/bin/sh\nexec {sys.executable} -m monitor "$@"\n')
    (bin_folder / "alignment-monitor").chmod(0o755)
    admin = {"evidence_token_file": str(tmp_path / "token")}
    async with stage(tmp_path, sidecar, evidence=kept, admin=admin) as on:
        for name in (BASE, CONTROL, PAIR):
            await on.ask(name, 5)

        async def counted():
            view = await on.get_json(f"http://{on.admin}/api/v1/combinations")
            return sum(one["requests"] for one in view["combinations"]) >= 15

        await eventually(counted, "the exchanges are counted")
        variables = {
            "ADMIN": f"http://{on.admin}",
            "SIDECAR": on.sidecar.url,
            "VLLM": on.server_url,
            "COMBINATION": LABEL,
            "SERVED_NAME": PAIR,
            "FOLDER": kept["folder"],
            "TOKEN": str(tmp_path / "token"),
            "PATH": f"{bin_folder}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }
        for runbook in RUNBOOKS:
            output, errors = await in_shell(diagnosis(runbook), variables)
            assert errors == "", f"{runbook.name}: a command complains"
            assert "alignment_" in output, f"{runbook.name}: no metric was found"
            assert ": 000" not in output, f"{runbook.name}: an address did not answer"


def diagnosis(runbook: Path) -> str:
    """The shell commands of a page's diagnosis."""
    text = runbook.read_text().partition("## Diagnosis")[2].partition("## Mitigation")[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


async def in_shell(script: str, variables: dict[str, str]) -> tuple[str, str]:
    """Standard output and error of a script."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-u",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **variables},
    )
    output, errors = await asyncio.wait_for(process.communicate(script.encode()), 60)
    return output.decode(), errors.decode()
