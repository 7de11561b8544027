from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import Config, ConfigError, load_config
from monitor.config.reference import reference

LISTEN = ("proxy", "listen")


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    assert load_config(None, {}).proxy.listen == "127.0.0.1:8001"
    file.write_text("proxy: {listen: 'file:1'}")
    assert load_config(file, {}).proxy.listen == "file:1"
    environment = {"ALIGNMENT_PROXY__LISTEN": "long:1"}
    assert load_config(file, environment).proxy.listen == "long:1"
    environment["ALIGNMENT_LISTEN"] = "short:1"
    assert load_config(file, environment).proxy.listen == "short:1"
    assert load_config(file, environment, {LISTEN: "flag:1"}).proxy.listen == "flag:1"
    assert load_config(file, environment, {LISTEN: None}).proxy.listen == "short:1"


def test_values_of_the_environment_are_yaml() -> None:
    config = load_config(
        None,
        {"ALIGNMENT_SAMPLING__COMBINATIONS": "{a: {rate: 0.5}}", "ALIGNMENT_DRIFT__BASELINE": "{rate: 0, samples: 9}"},
    )
    assert config.sampling.combinations["a"].rate == 0.5
    assert config.drift.baseline is not None
    assert config.drift.baseline.samples == 9


def test_variables_that_kubernetes_sets_for_services_are_not_ours() -> None:
    environment = {
        "ALIGNMENT_SERVICE_HOST": "10.0.0.1",
        "ALIGNMENT_PORT": "tcp://10.0.0.1:80",
        "ALIGNMENT_MONITOR_PORT_8001_TCP_ADDR": "10.0.0.1",
        "ALIGNMENT_ADMIN_SERVICE_PORT": "80",
        "ALIGNMENT_UPSTREAM_PORT_80_TCP": "x",
    }
    assert load_config(None, environment) == Config()


def test_an_empty_file_and_empty_sections_are_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    for text in ("", "# nothing\n", "{}", "\ufeff{}"):
        file.write_text(text, encoding="utf-8")
        assert load_config(file, {}) == Config()


def test_json_will_do_and_yaml_may_merge(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text('{"proxy": {"workers": 2}}')
    assert load_config(file, {}).proxy.workers == 2
    file.write_text("sampling:\n  combinations:\n    a: &x {rate: 0.5}\n    b: {<<: *x, rate: 0.25}\n    c: {<<: *x}\n")
    rates = {name: one.rate for name, one in load_config(file, {}).sampling.combinations.items()}
    assert rates == {"a": 0.5, "b": 0.25, "c": 0.5}


@pytest.mark.parametrize(
    "upstream",
    [
        "http://a",
        "https://a:443",
        "http://[::1]:8000",
        "unix:/run/vllm.sock",
        "http://vllm.models.svc.cluster.local:8000/",
    ],
)
def test_every_form_of_upstream_is_taken(upstream: str) -> None:
    assert load_config(None, {"ALIGNMENT_UPSTREAM": upstream}).proxy.upstream == upstream.rstrip("/")


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:8001", "[::]:8001", "[fe80::1%eth0]:1", "localhost:0", "vllm-sidecar:65535"]
)
def test_every_form_of_address_is_taken(listen: str) -> None:
    assert load_config(None, {"ALIGNMENT_LISTEN": listen}).proxy.listen == listen


def test_two_ports_that_the_system_chooses_are_not_the_same() -> None:
    assert load_config(None, {"ALIGNMENT_LISTEN": "a:0", "ALIGNMENT_ADMIN": "a:0"})


def test_what_was_checked_survives_the_way_to_the_children() -> None:
    config = load_config(
        None, {"ALIGNMENT_DRIFT__BASELINE": "{rate: 0.5, samples: 9}", "ALIGNMENT_OUTPUTS__FINDINGS_FILE": "/x"}
    )
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_an_error_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        load_config(None, {"ALIGNMENT_UPSTREAM": "x"})
    assert issubclass(ConfigError, ValueError)


def test_the_committed_reference_is_what_the_model_says() -> None:
    file = Path(__file__).parents[2] / "monitor" / "config" / "REFERENCE.md"
    assert file.read_text(encoding="utf-8") == reference()


def test_every_key_of_the_reference_has_a_meaning() -> None:
    rows = [line.split(" | ") for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert all(len(row[3]) > 5 for row in rows)
