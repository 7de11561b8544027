"""The sample configuration is valid and routes what it says."""

import pytest

pytestmark = pytest.mark.prometheus


@pytest.fixture
def config(dashboards):
    return dashboards / "alertmanager" / "alertmanager.yml"


def test_sample_configuration_is_valid(tool, config):
    assert "SUCCESS" in tool("amtool", "check-config", config)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=AlignmentRefusalLost", "severity=page", "combination=a+b"], "pages"),
        (["alertname=AlignmentProxyErrorBudgetBurn", "severity=page", "instance=s:9464"], "pages"),
        (["alertname=AlignmentOverRefusal", "severity=ticket", "combination=a+b"], "tickets"),
        (["alertname=AlignmentAnalysisDown", "severity=ticket", "reason=absent"], "tickets"),
    ],
)
def test_alert_reaches_its_receiver(tool, config, labels, receiver):
    tool("amtool", "config", "routes", "test", "--config.file", config, f"--verify.receivers={receiver}", *labels)
