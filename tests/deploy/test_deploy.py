"""What stands in deploy/ fits the program that it deploys."""

import re
import shutil
import subprocess
from configparser import ConfigParser
from itertools import cycle, product
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from test_pipeline import Bench, WordScorer

from monitor.adapters import load_registry
from monitor.config import load_config
from monitor.records import Item, Outcome, Pair, Stratum, Verdict

DEPLOY = Path(__file__).parents[2] / "deploy"


def documents() -> dict[str, dict]:
    parts = yaml.safe_load_all((DEPLOY / "kubernetes/sidecar.yaml").read_text())
    return {part["kind"]: part for part in parts}


def test_the_kubernetes_configuration_is_accepted_as_it_stands(tmp_path: Path):
    data = documents()["ConfigMap"]["data"]
    (tmp_path / "config.yaml").write_text(data["config.yaml"])
    (tmp_path / "registry.yaml").write_text(data["registry.yaml"])
    config = load_config(tmp_path / "config.yaml", {})
    assert config.adapters.registry_file == Path("/etc/alignment-monitor/registry.yaml")
    assert load_registry(tmp_path / "registry.yaml").base == "base"


def with_webhook(name: str) -> str:
    """A file with its commented lines about the webhook taken in."""
    text = (DEPLOY / name).read_text()
    return re.sub(
        r"^( *)# ((?: *)(?:outputs:|webhook:|url_file:|format:|console_url:|- |secret:|ALIGNMENT_))",
        r"\1\2",
        text,
        flags=re.M,
    )


def test_the_webhook_that_is_prepared_there_is_accepted(tmp_path: Path):
    documents = {part["kind"]: part for part in yaml.safe_load_all(with_webhook("kubernetes/sidecar.yaml"))}
    (tmp_path / "config.yaml").write_text(documents["ConfigMap"]["data"]["config.yaml"])
    webhook = load_config(tmp_path / "config.yaml", {}).outputs.webhook
    pod = documents["Deployment"]["spec"]["template"]["spec"]
    (mount,) = [one for one in pod["initContainers"][0]["volumeMounts"] if one["name"] == "secrets"]
    assert webhook.url_file is not None
    assert str(webhook.url_file.parent) == mount["mountPath"]
    assert [one["secret"]["secretName"] for one in pod["volumes"] if one["name"] == "secrets"] == ["alignment-monitor"]
    environment = yaml.safe_load(with_webhook("compose.yaml"))["services"]["alignment-monitor"]["environment"]
    environment["ALIGNMENT_OUTPUTS__WEBHOOK__URL"] = "https://hooks.example.com/x"
    assert load_config(None, environment).outputs.webhook.format == webhook.format == "slack"


def test_the_sidecar_drains_within_the_pod_s_grace_and_its_ports_match_its_configuration():
    found = documents()
    pod = found["Deployment"]["spec"]["template"]["spec"]
    sidecar = pod["initContainers"][0]
    config = yaml.safe_load(found["ConfigMap"]["data"]["config.yaml"])
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    assert config["proxy"]["listen"].endswith(f":{ports['http']}")
    assert config["admin"]["listen"].endswith(f":{ports['metrics']}")
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == ports["http"]
    assert sidecar["restartPolicy"] == "Always"
    assert pod["terminationGracePeriodSeconds"] > load_config(None, {}).proxy.drain_grace_s
    assert "readinessProbe" not in sidecar


class EveryKind(WordScorer):
    """Finds every outcome in turn, on prompts of every kind and of a dozen hazard categories."""

    def __init__(self) -> None:
        kinds = product(Outcome, (Stratum.HARMFUL_LOOKING, Stratum.ORDINARY), (f"category {n}" for n in range(12)))
        self._kinds = cycle(kinds)

    def _one(self, item: Item) -> Verdict:
        outcome, stratum, category = next(self._kinds)
        reason = "language" if outcome is Outcome.UNSCORED else ""
        return Verdict(outcome, self.name, self.version, stratum, category=category, reason=reason)


def test_prometheus_takes_all_series_that_as_many_combinations_as_the_cap_can_have():
    bench = Bench(EveryKind())
    for _ in range(len(Outcome) * 24):
        bench.say("whatever")
    judged = [one for one in Outcome if one.judged]
    for own, base, stratum, probe in product(
        judged, judged, (Stratum.HARMFUL_LOOKING, Stratum.ORDINARY), (True, False)
    ):
        bench.pipeline.drifts.compare(Pair("alpha", 1.0, stratum, own, base, probe=probe))
    own = bench.metrics.probes
    for role, result in product(("combination", "base"), ("ok", "timeout", "overloaded")):
        own.requests("alpha", role, result).inc()
    rates = ("rate", "rate_lower", "rate_upper", "base_rate", "base_rate_lower", "base_rate_upper", "chance")
    figures = [{"signal": f"s{n}", "slice": "x", "samples": 1} | dict.fromkeys(rates, 0.0) for n in range(5)]
    own.show("alpha", 1.0, figures)
    text = generate_latest(bench.registry).decode()
    series = sum(line.count('combination="alpha"') for line in text.splitlines() if not line.startswith("#"))
    assert 300 < series <= 600, "as deploy/kubernetes/sidecar.yaml and the reference say"
    assert series * load_config(None, {}).adapters.max_combinations < documents()["PodMonitor"]["spec"]["sampleLimit"]


def test_vllm_in_the_pod_is_reachable_from_the_sidecar_only():
    vllm = documents()["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert "--host=127.0.0.1" in vllm["args"]
    assert "ports" not in vllm


def test_the_compose_environment_is_accepted_and_vllm_s_port_is_not_published():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    config = load_config(None, compose["services"]["alignment-monitor"]["environment"])
    assert config.proxy.upstream == "http://vllm:8000"
    assert "ports" not in compose["services"]["vllm"]


def test_the_image_is_built_from_files_that_exist():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert names
    assert [name for name in names if not (DEPLOY.parent / name).exists()] == []


def test_systemd_never_gives_up_on_the_proxy_nor_stops_it_with_the_analysis():
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(DEPLOY / "systemd/alignment-monitor.service")
    assert unit["Unit"]["StartLimitIntervalSec"] == "0", "with RestartSec=1 five starts are soon made"
    assert (unit["Service"]["Restart"], unit["Service"]["OOMPolicy"]) == ("always", "continue")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_systemd_unit_is_well_formed(tmp_path: Path):
    unit = tmp_path / "alignment-monitor.service"
    text = (DEPLOY / "systemd/alignment-monitor.service").read_text()
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
