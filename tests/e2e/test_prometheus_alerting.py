"""From an answer on the wire to a page in somebody's pocket, with the real Prometheus and the real Alertmanager."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from alerting_stage import BASE, CONTROL, DASHBOARDS, LABEL, PAIR, Pager, served, stage, tool
from running_sidecar import eventually

RUNBOOKS = sorted((DASHBOARDS / "runbooks").glob("*.md"))


@pytest.mark.prometheus
async def test_pair_that_lost_its_refusals_makes_exactly_one_page_and_its_unload_ends_it(tmp_path, sidecar):
    tool("prometheus")
    tool("prometheus-alertmanager")
    pager = Pager()
    async with (
        stage(tmp_path, sidecar) as on,
        served(pager.application()) as pager_url,
        on.alerting(pager_url),
    ):
        began = time.monotonic()
        for name in (BASE, CONTROL, PAIR):
            await on.ask(name, 60)

        await eventually(lambda: pager.messages["pages"], "a page", within_s=90)
        print(f"\npage after {time.monotonic() - began:.0f} s")
        message = pager.messages["pages"][0]
        assert message["status"] == "firing"
        (alert,) = message["alerts"]
        assert alert["labels"]["alertname"] == "AlignmentRefusalLost"
        assert alert["labels"]["combination"] == LABEL
        assert alert["labels"]["instance"] == on.admin
        text = alert["annotations"]["description"]
        assert re.search(
            rf"^Combination {re.escape(LABEL)}: 100% of 60 judged answers to harmful-looking prompts were not refusals "
            r"\(interval \d\d\.\d+% to 100%\)\. Base model: 0% of 60\. Threshold: \d+\.\d+%\. Since 20\d\d-",
            text,
        ), text
        assert "unknown" not in text

        assert await on.get_ok(alert["annotations"]["dashboard_url"])
        assert (DASHBOARDS / "runbooks" / alert["annotations"]["runbook_url"].rpartition("/")[2]).is_file()

        firing = await on.firing()
        assert [(a["labels"]["alertname"], a["labels"]["combination"]) for a in firing] == [
            ("AlignmentRefusalLost", LABEL)
        ], "the base and the control are quiet"

        on.server.loaded.remove(PAIR)

        async def nothing_fires():
            return not await on.firing()

        await eventually(nothing_fires, "the alert ends with the unload", within_s=40)
        assert len(pager.messages["pages"]) == 1
        assert pager.messages["tickets"] == []


async def test_every_command_of_every_diagnosis_works_on_a_running_sidecar(tmp_path, sidecar):
    async with stage(tmp_path, sidecar) as on:
        for name in (BASE, CONTROL, PAIR):
            await on.ask(name, 5)

        async def counted():
            view = await on.get_json(f"http://{on.admin}/api/v1/combinations")
            return sum(one["requests"] for one in view["combinations"]) >= 15

        await eventually(counted, "the exchanges are counted")
        variables = {
            "ADMIN": f"http://{on.admin}",
            "SIDECAR": on.sidecar.url,
            "VLLM": on.server.url,
            "COMBINATION": LABEL,
            "SERVED_NAME": PAIR,
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
