"""Bad configuration files and the exact line that each gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config import ConfigError, load_config

ADDRESS = "is not HOST:PORT (IPv6 as [::1]:8001, all interfaces as 0.0.0.0:8001)"
URL = "is not http://HOST:PORT, https://HOST:PORT or unix:/path/to/socket (without a path behind)"


def problem(file: Path, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(file, environment or {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("proxi: {}", ": proxi: unknown key"),
        ("proxy: {upsteam: x}", ": proxy.upsteam: unknown key"),
        ("drift: {baseline: {rate: 0.1, samples: 9, x: 1}}", ": drift.baseline.x: unknown key"),
        (
            "drift: {baseline: {rate: 0.1, samples: 9}, baseline_file: x}",
            ": drift: baseline_file is set beside baseline or over_refusal_baseline: which one counts?",
        ),
        (
            "drift: {baseline_public_key: x}",
            ": drift: baseline_public_key is the key of a baseline_file, and none is named",
        ),
        (
            "evidence: {enabled: true}",
            ": evidence: enabled: true needs the folder where examples are kept (evidence.folder)",
        ),
        ("evidence: {days: 30, finding_days: 20}", ": evidence: finding_days (20) is less than days (30)"),
        (
            "evidence: {enabled: true, folder: /x}",
            ": evidence.enabled: true needs admin.evidence_token_file: without it nobody could read what is stored",
        ),
        ("sampling: {combinations: {a: {rat: 1}}}", ": sampling.combinations.a.rat: unknown key"),
        ("scoring: {restricted_topics: [{name: a, words: []}]}", ": scoring.restricted_topics.0.words: unknown key"),
        (
            "scoring: {restricted_topics: [{name: a}]}",
            ": scoring.restricted_topics.0: no prompt would match it: give keywords, patterns or examples",
        ),
        (
            "adapters: {quarantine_drifting: [refusal_lost, refusal_lost_paired]}",
            ": adapters.quarantine_drifting: refusal_lost_paired is never found without shadow.enabled",
        ),
        (
            "{adapters: {quarantine_drifting: [collusion]}, shadow: {enabled: true, parts: false}}",
            ": adapters.quarantine_drifting: collusion is never found without shadow.enabled and shadow.parts",
        ),
        (
            "adapters: {quarantine_drifting: [refusal_lost_probed]}",
            ": adapters.quarantine_drifting: refusal_lost_probed is never found without probing.enabled",
        ),
        ("proxy: 3", ": proxy: input should be a valid dictionary or instance of ProxySection"),
        ("proxy: {workers: many}", ": proxy.workers: input should be a valid integer, unable to parse string as an integer"),
        ("proxy: {workers: 0}", ": proxy.workers: input should be greater than or equal to 1"),
        ("proxy: {pool_idle_s: 5}", ": proxy.pool_idle_s: input should be less than 5"),
        ("proxy: {connect_timeout_s: .inf}", ": proxy.connect_timeout_s: input should be a finite number"),
        ("proxy: {connect_timeout_s: 1e300}", ": proxy.connect_timeout_s: input should be less than or equal to 604800"),
        ("sampling: {rate: 2}", ": sampling.rate: input should be less than or equal to 1"),
        ("sampling: {rate: .nan}", ": sampling.rate: input should be a finite number"),
        ("adapters: {enforcement: block}",
         ": adapters.enforcement: input should be 'observe', 'block-quarantined' or 'block-unvalidated'"),
        ("adapters: {enforcement: block-unvalidated}",
         ": adapters: enforcement: block-unvalidated needs registry_file: without approvals nothing but the base would answer"),
        ("drift: {window: 20, minimum_samples: 30}",
         ": drift.minimum_samples: 30 answers never fit into a window of 20"),
        ("scoring: {restricted_topics: [{name: a, patterns: ['(']}]}",
         ": scoring.restricted_topics.0.patterns.0: '(' is not a regular expression: missing ), unterminated subpattern at"
         " position 0"),
        ("scoring: {judge: {endpoint: 'http://judge:8000'}}",
         ": scoring.judge: an endpoint needs the name of the model that judges (scoring.judge.model)"),
        ("scoring: {judge: {endpoint: 'judge:8000', model: m}}",
         ": scoring.judge.endpoint: 'judge:8000' is not http://HOST:PORT or https://HOST:PORT/PREFIX (a key belongs into"
         " api_key_file)"),
        ("scoring: {judge: {endpoint: 'https://me:secret@judge', model: m}}",
         ": scoring.judge.endpoint: what stands there is not http://HOST:PORT or https://HOST:PORT/PREFIX (a key belongs into"
         " api_key_file)"),
        ("scoring: {judge: {template: shield}}",
         ": scoring.judge.template: input should be 'instruct', 'llama_guard', 'wildguard', 'granite_guardian',"
         " 'granite_guardian_4' or 'gpt_oss_safeguard'"),
        ("scoring: {restricted_topics: [{name: a, examples: [b], similarity: 0}]}",
         ": scoring.restricted_topics.0.similarity: input should be greater than 0"),
        ("proxy: {upstream: 'localhost:8000'}", f": proxy.upstream: 'localhost:8000' {URL}"),
        ("proxy: {upstream: 'http://a/b'}", f": proxy.upstream: 'http://a/b' {URL}"),
        ("proxy: {upstream: 'http://a:99999'}", f": proxy.upstream: 'http://a:99999' {URL}"),
        ("proxy: {upstream: 'http://a b'}", f": proxy.upstream: 'http://a b' {URL}"),
        ("proxy: {upstream: 'unix:relative'}", f": proxy.upstream: 'unix:relative' {URL}"),
        ("proxy: {upstream: 'http://me:hunter2@a:1'}", f": proxy.upstream: what stands there {URL}"),
        ("proxy: {listen: ':8001'}", f": proxy.listen: ':8001' {ADDRESS}"),
        ("proxy: {listen: '8001'}", f": proxy.listen: '8001' {ADDRESS}"),
        ("proxy: {listen: '::1:8001'}", f": proxy.listen: '::1:8001' {ADDRESS}"),
        ("proxy: {listen: 'a:65536'}", f": proxy.listen: 'a:65536' {ADDRESS}"),
        ("admin: {listen: 'a:²'}", f": admin.listen: 'a:²' {ADDRESS}"),
        ("admin: {listen: '127.0.0.1:8001'}",
         ": proxy.listen and admin.listen are the same address, 127.0.0.1:8001: give each its own port"),
        ("proxy: {upstream: 'http://127.0.0.1:8001'}",
         ": proxy.upstream and proxy.listen are the same address, 127.0.0.1:8001: it would forward to itself"),
        ("proxy: {listen_key_file: key.pem}",
         ": proxy: listen_key_file is the key of a certificate, and listen_cert_file names none"),
        ("proxy: {listen_client_ca_file: ca.pem}",
         ": proxy: listen_client_ca_file needs listen_cert_file: without TLS no client shows a certificate"),
        ("proxy: {upstream_cert_file: cert.pem}",
         ": proxy: upstream_cert_file is shown to an https upstream, and http://127.0.0.1:8000 is none"),
        ("proxy: {routes: {allow: [v1/rag]}}",
         ": proxy.routes.allow.0: 'v1/rag' is not a path such as /v1/rag, or /v1/rag/* for all below it"),
        ("proxy: {routes: {allow: [/a/../b]}}",
         ": proxy.routes.allow.0: '/a/../b' is not a path such as /v1/rag, or /v1/rag/* for all below it"),
        ("proxy: {routes: {websocket: maybe}}", ": proxy.routes.websocket: input should be 'refuse' or 'tunnel'"),
        ("telemetry: {log_level: loud}", ": telemetry.log_level: input should be 'debug', 'info', 'warning' or 'error'"),
        ("- a\n- b", ": the configuration file must be a mapping of keys, not list"),
        ("just text", ": the configuration file must be a mapping of keys, not str"),
        ("proxy: [", ": line 1 column 9 configuration file is not valid YAML: expected the node content, but found"
         " '<stream end>'"),
        ("a: 1\n b: 2", ": line 2 column 3 configuration file is not valid YAML: mapping values are not allowed here"),
        ("proxy:\n  listen: a:1\n  listen: b:1", ": line 3 column 3 configuration file is not valid YAML: the key listen stands"
         " twice"),
        ("proxy: !!python/object:os.system {}", ": line 1 column 8 configuration file is not valid YAML: could not determine a"
         " constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("proxy: 2026-02-31", ": configuration file is not valid YAML: day is out of range for month"),
        ("a: \x00", ": configuration file is not valid YAML: cannot be parsed"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert problem(file) == f"{file}{message}"


def test_brackets_a_thousand_deep_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("[" * 5000)
    assert problem(file).startswith(f"{file}: configuration file is not valid YAML: maximum recursion depth exceeded")


def test_every_mistake_has_its_own_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("proxy: {a: 1}\ndrift: {b: 1}")
    assert problem(file).splitlines() == [f"{file}: proxy.a: unknown key", f"{file}: drift.b: unknown key"]


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    assert (
        problem(tmp_path / "none")
        == f"{tmp_path / 'none'}: cannot read the configuration file: No such file or directory"
    )
    assert problem(tmp_path) == f"{tmp_path}: cannot read the configuration file: Is a directory"
    (tmp_path / "binary").write_bytes(b"a\xff")
    assert problem(tmp_path / "binary") == f"{tmp_path / 'binary'}: the configuration file is not UTF-8 text (byte 1)"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ALIGNMENT_PROXY__WORKER", "2", "proxy.worker: unknown key"),
        ("ALIGNMENT_FOO__BAR", "2", "foo: unknown key"),
        (
            "ALIGNMENT_PROXY__WORKERS",
            "x",
            "proxy.workers: input should be a valid integer, unable to parse string as an integer",
        ),
        ("ALIGNMENT_LISTEN", "nowhere", f"proxy.listen: 'nowhere' {ADDRESS}"),
        ("ALIGNMENT_DRIFT__BASELINE__RATE", "0.5", "drift.baseline.samples: field required"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, variable: str, value: str, message: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("{}")
    assert problem(file, {variable: value}) == f"environment variable {variable}: {message}"


def test_a_variable_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("")
    assert problem(tmp_path / "c", {"ALIGNMENT_PROXY__WORKERS": "[" }) == (
        "environment variable ALIGNMENT_PROXY__WORKERS: not valid YAML"
    )  # fmt: skip


def test_a_variable_inside_what_is_no_section_is_named(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("proxy: 3")
    assert (
        problem(tmp_path / "c", {"ALIGNMENT_PROXY__WORKERS": "1"}) == "ALIGNMENT_PROXY__WORKERS: proxy is not a section"
    )
