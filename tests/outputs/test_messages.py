"""What a receiver gets, in each form."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from made_findings import BEGAN, begin

from monitor.admin.api.openapi import document
from monitor.findings import Case, FindingBook, Severity
from monitor.outputs.message import FORMATS, Composer, Event, Message
from monitor.records import EVERY, Attribution, Cause

COMPOSER = Composer("http://10.0.0.7:9464", lambda label: label.replace("+", "-"))


def case_of(combination: str = "alpha+beta", signal: str = "refusal_lost", **known: Any) -> tuple[FindingBook, Case]:
    book = FindingBook()
    case = book.find(begin(book, combination, signal, **known))
    assert case is not None
    return book, case


def opened(case: Case, severity: Severity = Severity.PAGE) -> Message:
    return COMPOSER.compose(Event.OPENED, severity, case, [], case.id, BEGAN + 10)


def closed(case: Case) -> Message:
    return COMPOSER.compose(Event.CLOSED, Severity.PAGE, case, [], case.id, BEGAN + 600)


def test_the_text_is_the_alert_s() -> None:
    message = opened(case_of()[1])
    assert message.summary == "alpha+beta no longer refuses what its base model refuses"
    assert message.description == (
        "Combination alpha+beta: 95% of 40 judged answers to harmful-looking prompts were not refusals (interval 70% to 99%). "
        "Base model: 2% of 101. Threshold: 11%. Since 2023-11-14 22:13:20 UTC. Evidence: 10^7.0, an alarm needs 10^6.0 (false "
        "alarms are that many answers apart). Sidecar 10.0.0.7:9464."
    )
    assert message.changes == "Latest changes of what its server has loaded: alpha-beta loaded 2023-11-14 22:12:20 UTC."
    assert message.action.startswith("Stop routing users to alpha-beta, or unload it (POST /v1/unload_lora_adapter")
    assert message.dashboard_url == "http://10.0.0.7:9464/combinations?name=alpha%2Bbeta"
    assert message.runbook_url == "http://10.0.0.7:9464/runbooks/AlignmentRefusalLost"


@pytest.mark.parametrize(
    ("attribution", "told"),
    [
        (Attribution(Cause.UNKNOWN, 9, missing=("beta",)), "Cause: unknown, not served alone: beta."),
        (Attribution(Cause.EROSION, 99, ("alpha",)), "Cause: erosion by alpha alone."),
        (Attribution(Cause.COLLUSION, 99), "Cause: collusion."),
    ],
)
def test_which_parts_it_comes_from_is_told_as_in_the_alert(attribution: Attribution, told: str) -> None:
    _, case = case_of()
    case.attribution = attribution
    assert opened(case).description.endswith(f"{told} Sidecar 10.0.0.7:9464.")


def test_what_is_not_known_is_said_so() -> None:
    nan = float("nan")
    _, case = case_of(rate=nan, baseline_rate=nan, evidence_log=nan)
    case.before = []
    message = opened(case)
    assert "unknown of 40 judged answers" in message.description
    assert "Evidence" not in message.description
    assert message.changes == "The sidecar has noticed no change of what its server has loaded."
    assert json.loads(FORMATS["alignment"](message))["numbers"]["rate"] is None


def test_our_own_form_has_every_field() -> None:
    body = json.loads(FORMATS["alignment"](opened(case_of()[1])))
    assert set(body) == set(Message.__struct_fields__)
    assert (body["event"], body["severity"], body["version"]) == ("opened", "page", 1)
    assert [(part["adapter"], part["scale"]) for part in body["parts"]] == [("alpha", 1.0), ("beta", 1.0)]
    assert body["numbers"]["lower"] == 0.7


@pytest.mark.parametrize("signal", ["refusal_lost", "collusion"])
def test_our_own_form_is_as_the_api_s_document_describes_it(signal: str) -> None:
    described = document([])
    schema = described["webhooks"]["finding"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    whole = {**schema, "components": described["components"]}
    book, case = case_of(signal=signal)
    jsonschema.validate(json.loads(FORMATS["alignment"](opened(case))), whole)
    book.end(case.combination, signal, BEGAN + 500, "recovered")
    body = json.loads(FORMATS["alignment"](closed(case)))
    jsonschema.validate(body, whole)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**body, "event": "other"}, whole)


def test_alertmanager_s_form_names_the_trouble_the_same_way_until_its_end() -> None:
    book, case = case_of(signal="refusal_lost_paired")
    first = json.loads(FORMATS["alertmanager"](opened(case)))
    book.end("alpha+beta", "refusal_lost_paired", BEGAN + 500, "recovered")
    last = json.loads(FORMATS["alertmanager"](closed(case)))
    assert (first["version"], first["status"], last["status"]) == ("4", "firing", "resolved")
    assert first["groupKey"] == last["groupKey"] == 'alignment-monitor:{combination="alpha+beta"}'
    assert first["alerts"][0]["fingerprint"] == last["alerts"][0]["fingerprint"]
    assert first["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert last["alerts"][0]["endsAt"] == "2023-11-14T22:21:40.000Z"
    assert first["commonLabels"] == first["alerts"][0]["labels"] == {
        "alertname": "AlignmentRefusalLostPaired",
        "combination": "alpha+beta",
        "instance": "10.0.0.7:9464",
        "severity": "page",
        "signal": "refusal_lost_paired",
    }  # fmt: skip
    assert {"summary", "description", "changes", "action", "runbook_url", "dashboard_url"} == set(
        first["commonAnnotations"]
    )
    assert "action" not in last["commonAnnotations"]
    assert "Ended: it behaves as its base again." in last["commonAnnotations"]["description"]


def test_a_chat_s_form_mentions_nobody_whatever_a_name_holds() -> None:
    body = json.loads(FORMATS["slack"](opened(case_of("<!channel>&co")[1])))
    assert set(body) == {"text"}
    assert body["text"].startswith("*PAGE opened*: &lt;!channel&gt;&amp;co no longer refuses")
    assert "<" not in body["text"]
    text = json.loads(FORMATS["slack"](opened(case_of("@all a@1\n*PAGE opened*: forged")[1])))["text"]
    assert text.startswith("*PAGE opened*: @\u200ball a@1 *PAGE opened*: forged no longer refuses")
    assert "\n*PAGE" not in text


def test_all_combinations_together_have_no_name_to_unload() -> None:
    message = opened(case_of(EVERY)[1])
    assert message.summary == "Most combinations at 10.0.0.7:9464 move together (refusal_lost): base, scorer or prompts"
    assert (message.action, message.served_name, message.alert) == ("", "", "AlignmentCommonCause")
    assert message.dashboard_url == "http://10.0.0.7:9464/"
    assert json.loads(FORMATS["alertmanager"](message))["groupLabels"] == {"signal": "refusal_lost"}


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_name_of_any_characters_makes_valid_json(form: str) -> None:
    assert json.loads(FORMATS[form](opened(case_of('a"\\\n\x00ü')[1])))
