from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from monitor import __version__
from monitor.baseline.frozen import Content, MeasuredSignal, frozen, write_baseline
from monitor.cli import COMMANDS, main


def check(file: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str, str]:
    code = main(["check-config", str(file), *flags])
    out, errors = capsys.readouterr()
    return code, out, errors


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_good_configuration_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = write(tmp_path, "combinations: [{served_name: x, parts: [{adapter: a}, {adapter: b}]}]", "registry.yaml")
    file = write(tmp_path, f"adapters: {{registry_file: {registry}}}")
    assert check(file, capsys) == (0, f"{file}: ok, 1 combinations declared\n", "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("proxi: {}", "{file}: proxi: unknown key"),
        ("adapters: {registry_file: /none}", "/none: cannot read the registry file: No such file or directory"),
        ("adapters: {api_key_file: /none}", "adapters.api_key_file: cannot read /none: No such file or directory"),
        ("shadow: {enabled: true, api_key_file: /none}",
         "shadow.api_key_file: cannot read /none: No such file or directory"),
        ("probing: {enabled: true, api_key_file: /none}",
         "probing.api_key_file: cannot read /none: No such file or directory"),
        ("scoring: {judge: {endpoint: 'http://a', model: m, api_key_file: /none}}",
         "scoring.judge.api_key_file: cannot read /none: No such file or directory"),
        ("admin: {audit_file: /none/a}", "admin.audit_file: /none/a cannot be written: there is no folder /none"),
        ("outputs: {findings_file: {wide}}", "outputs.findings_file: {wide} is a folder"),
        ("adapters: {events_file: /none/a}", "adapters.events_file: /none/a cannot be written: there is no folder /none"),
        ("proxy: {upstream: 'https://a', upstream_ca_file: /none}",
         "proxy.upstream_ca_file: cannot read /none: No such file or directory"),
        ("proxy: {upstream: 'https://a', upstream_ca_file: {file}}",
         "proxy.upstream_ca_file: {file} holds no certificate in PEM form"),
        ("proxy: {upstream: 'https://a', upstream_cert_file: {file}}",
         "proxy.upstream_cert_file: {file}: not a certificate with its key"),
        ("proxy: {listen_cert_file: /none}", "proxy.listen_cert_file: cannot read /none: No such file or directory"),
        ("proxy: {listen_cert_file: {file}, listen_key_file: {key}}",
         "proxy.listen_cert_file: {file} and {key}: not a certificate with its key"),
        ("proxy: {routes: {admin_token_file: {key}}}", "proxy.routes.admin_token_file: {key} is not one line of ASCII text"),
        ("probing: {enabled: true, suites: [/none]}",
         "probing.suites: /none: neither one of the shipped suites (harmful, borderline, ordinary, refuse-then-comply, depth, "
         "hidden, canary) nor a file: No such file or directory"),
        ("probing: {enabled: true, suites: [{key}]}", "probing.suites: {key}: holds no probe"),
        ("adapters: {api_key_file: {key}}", "adapters.api_key_file: {key} is not one line of ASCII text"),
        ("admin: {evidence_token_file: {token}}\nevidence: {enabled: true, folder: /new, key_file: {key}}",
         "evidence.key_file: {key} must hold keys of 64 hexadecimal digits, one a line: openssl rand -hex 32 makes one"),
        ("admin: {evidence_token_file: {token}}\nevidence: {enabled: true, folder: {wide}}",
         "evidence.folder: others may enter {wide} (mode 0755): name a folder inside it that does not exist yet, or run"
         " chmod 700 {wide}"),
        ("admin: {evidence_token_file: {token}}\nevidence: {enabled: true, folder: {key}}",
         "evidence.folder: {key} is not a folder"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, problem: str
) -> None:
    places = {"{file}": str(tmp_path / "config.yaml"), "{key}": str(write(tmp_path, "", "key"))}
    places |= {"{token}": str(write(tmp_path, "t" * 20, "token")), "{wide}": str(tmp_path / "wide")}
    (tmp_path / "wide").mkdir()
    (tmp_path / "wide").chmod(0o755)
    for name, place in places.items():
        text, problem = text.replace(name, place), problem.replace(name, place)
    assert check(write(tmp_path, text), capsys) == (2, "", f"alignment-monitor: {problem}\n")


def test_opening_a_route_that_is_none_names_those_that_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "proxy: {routes: {open: [/v1/load_lora]}}")
    code, _, errors = check(file, capsys)
    assert code == 2
    assert errors.startswith(
        "alignment-monitor: proxy.routes.open: /v1/load_lora is not one of /v1/load_lora_adapter, "
    )


def test_every_file_that_cannot_be_used_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = check(
        write(tmp_path, "admin: {read_token_file: /a, admin_token_file: /b, audit_file: /c/d}"), capsys
    )
    assert code == 2
    assert [line.split(": ")[1] for line in errors.splitlines()] == [
        "admin.read_token_file",
        "admin.admin_token_file",
        "admin.audit_file",
    ]


def test_the_exact_tier_is_not_started_without_its_encoder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else real(name))
    assert check(write(tmp_path, "scoring: {tier: exact}"), capsys) == (
        2,
        "",
        "alignment-monitor: scoring.tier: exact: needs the extra `encoder`: pip install 'vllm-alignment-monitor[encoder]'\n",
    )
    assert check(write(tmp_path, "scoring: {tier: auto}"), capsys)[0] == 0


def test_two_mistakes_are_two_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "a: 1\nb: 1")
    _, _, errors = check(file, capsys)
    assert errors == f"alignment-monitor: {file}: a: unknown key\nalignment-monitor: {file}: b: unknown key\n"


def test_connecting_to_nobody_is_exit_code_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    socket = tmp_path / "none.sock"
    code, out, errors = check(write(tmp_path, f"proxy: {{upstream: 'unix:{socket}'}}"), capsys, "--connect")
    assert (code, out) == (4, "")
    assert errors == f"alignment-monitor: no answer from the upstream unix:{socket}: No such file or directory\n"


@pytest.mark.parametrize(
    ("missing", "section", "problem"),
    [
        ("phonenumbers", "folder: {folder}", "evidence.enabled"),
        ("cryptography", "folder: {folder}, key_file: {keys}", "evidence.key_file"),
        ("cryptography", "folder: {folder}", ""),
    ],
)
def test_examples_are_not_stored_without_what_redacts_and_encrypts_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    missing: str, section: str, problem: str,
) -> None:  # fmt: skip
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else real(name))
    section = section.format(folder=tmp_path / "new", keys=write(tmp_path, "ab" * 32, "keys"))
    token = write(tmp_path, "t" * 20, "token")
    file = write(tmp_path, f"admin: {{evidence_token_file: {token}}}\nevidence: {{enabled: true, {section}}}")
    code, _, errors = check(file, capsys)
    expected = (
        f"alignment-monitor: {problem}: needs the extra `evidence`: pip install 'vllm-alignment-monitor[evidence]'\n"
    )
    assert (code, errors) == ((2, expected) if problem else (0, ""))
    assert not (tmp_path / "new").exists(), "checking makes nothing"


def test_serve_does_not_start_with_a_file_that_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--config", str(write(tmp_path, "adapters: {api_key_file: /none}"))]) == 2
    assert (
        capsys.readouterr().err
        == "alignment-monitor: adapters.api_key_file: cannot read /none: No such file or directory\n"
    )


def test_help_names_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(name in out for name in COMMANDS)
    assert "Exit codes:" in out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"alignment-monitor {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["serve", "--nonsense"], ["check-config"]])
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: alignment-monitor" in capsys.readouterr().err


def test_asking_for_the_version_loads_no_scorer() -> None:
    program = "import sys, monitor.cli; print([m for m in ('numpy', 'sklearn', 'aiohttp') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_the_process_that_supervises_loads_nothing_that_its_children_need(tmp_path: Path) -> None:
    # Everything is configured that has files to check; the port is taken, so that nothing is started.
    measured = MeasuredSignal(
        signal="refusal_lost", stratum="harmful_looking", bad=1, samples=90, prompts=90, effective=90.0, q_null=0.05
    )
    content = Content(
        base="base", base_digest="", scorer="s", scorer_version="1", suite="mine", suite_version="0" * 64, decoding={},
        counted_as="suite", recognised=1.0, asked=90, date="2026-01-02T03:04:05Z", measured=(measured,),
    )  # fmt: skip
    write_baseline(frozen(content), tmp_path / "baseline.json")
    config = {
        "proxy": {"upstream": "http://127.0.0.1:9"},
        "adapters": {
            "registry_file": str(write(tmp_path, "base: base", "registry.yaml")),
            "folders": [str(tmp_path)],
            "enforcement": "block-unvalidated",
            "loading": "deny-unknown",
        },
        "drift": {"baseline_file": str(tmp_path / "baseline.json")},
        "evidence": {"enabled": True, "folder": str(tmp_path / "evidence")},
        "outputs": {"webhook": {"url": "http://127.0.0.1:9/hook"}},
        "admin": {"evidence_token_file": str(write(tmp_path, "evidence " * 3, "token"))},
        "probing": {"enabled": True},
        "shadow": {"enabled": True},
    }
    program = """
import sys
from monitor.cli import main
code = main(["serve", "--config", sys.argv[1], "--listen", sys.argv[2]])
heavy = ("numpy", "scipy", "sklearn", "onnxruntime", "aiohttp", "prometheus_client", "httptools", "monitor.app")
print(code, [name for name in heavy if name in sys.modules])"""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = [str(write(tmp_path, json.dumps(config))), f"127.0.0.1:{taken.getsockname()[1]}"]
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=60
        )
    assert (done.stdout, "cannot listen on" in done.stderr) == ("3 []\n", True)


@pytest.mark.parametrize("lines", [1, 20_000])
def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word(tmp_path: Path, lines: int) -> None:
    combinations = ", ".join(f"{{served_name: x{n}, parts: [{{adapter: a{n}}}]}}" for n in range(max(1, lines // 100)))
    file = write(tmp_path, f"combinations: [{combinations}]", "registry.yaml")
    done = subprocess.run(
        f"{{ {sys.executable} -m monitor registry show --registry {file}; echo code $? >&2; }} | true",
        shell=True, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stderr == "code 141\n"
