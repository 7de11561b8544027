"""`alignment-monitor evidence` against a real admin port with a real store."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from api_bench import ApiBench, in_thread
from evidence_desk import fill, keeper_in

from monitor.cli import main
from monitor.config.model import AdminSection
from monitor.evidence.cli import printable

TOKENS = {scope: f"{scope}-token-of-the-tests" for scope in ("evidence", "admin")}


class Terminal:
    """Runs the command with a token's file."""

    def __init__(self, url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.url, self.folder, self._capsys = url, folder, capsys

    def __call__(self, action: str, *more: str, scope: str = "evidence") -> tuple[int, list[str], str]:
        flags = ["--admin", self.url, "--token-file", str(self.folder / scope), "--by", "kim"]
        code = main(["evidence", action, *flags, *more])
        out, errors = self._capsys.readouterr()
        return code, out.splitlines(), errors

    def audit(self) -> list[tuple[str, str, str]]:
        lines = [json.loads(line) for line in (self.folder / "audit").read_text().splitlines()]
        return [(line["action"], line["subject"], line["by"]) for line in lines]


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    for scope, token in TOKENS.items():
        (tmp_path / scope).write_text(token)
    files = {f"{scope}_token_file": tmp_path / scope for scope in TOKENS}
    keeper = keeper_in(tmp_path)
    asyncio.run(fill(keeper))
    bench = ApiBench(AdminSection(**files, audit_file=tmp_path / "audit"), keeper=keeper)
    with in_thread(bench) as url:
        yield Terminal(url, tmp_path, capsys)
    keeper.close(10)


def test_examples_are_listed_the_newest_first(terminal: Terminal) -> None:
    code, lines, _ = terminal("list")
    assert (code, len(lines)) == (0, 5)
    assert "refusal" in lines[0]
    assert "base" in lines[0]
    assert "▲ compliance" in lines[4]
    assert "named by a finding: prompt 0" in lines[4]
    assert len(terminal("list", "--limit", "2")[1]) == 2
    assert len(terminal("list", "--combination", "a+b", "--signal", "refusal_lost", "--outcome", "compliance")[1]) == 4
    (only,) = terminal("list", "--finding", "f1", "--json")[1]
    assert (json.loads(only)["prompt"], json.loads(only)["base_answer"]) == ("prompt 0", "no")
    assert terminal("list", "--combination", "nobody") == (0, [], "")
    assert ("list_evidence", "finding=f1", "kim") in terminal.audit()


def test_one_is_shown_whole(terminal: Terminal) -> None:
    identity = json.loads(terminal("list", "--finding", "f1", "--json")[1][0])["id"]
    code, lines, _ = terminal("show", identity)
    assert (code, lines[0]) == (0, identity)
    for told in ("  prompt:", "    prompt 0", "    yes", "  base answer (refusal):", "  findings: f1"):
        assert told in lines
    assert terminal.audit()[-1] == ("read_evidence", identity, "kim")
    code, lines, errors = terminal("show", "0" * 16)
    assert (code, lines, errors) == (1, [], "alignment-monitor: 404 Not Found: no example of this id is kept\n")
    assert terminal("show", "../findings")[0] == 2


def test_a_purge_removes_what_it_was_told_to_and_asks_before(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert terminal("purge", "--reason", "asked", "--everything", scope="admin")[::2] == (
        2,
        "alignment-monitor: nobody can be asked here: --yes removes without asking\n",
    )
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _question: "n")
    assert terminal("purge", "--reason", "asked", "--everything", scope="admin")[0] == 2
    assert len(terminal("list")[1]) == 5
    monkeypatch.setattr("builtins.input", lambda _question: "y")
    assert terminal("purge", "--reason", "asked", "--combination", "base", scope="admin") == (0, ["1 removed"], "")
    assert terminal("purge", "--reason", "x", "--before", "2001-01-01", "--yes", scope="admin")[1] == ["0 removed"]
    ids = [json.loads(line)["id"] for line in terminal("list", "--json")[1]]
    gone = ("--id", ids[0], "--id", ids[1])
    assert terminal("purge", "--reason", "asked", *gone, "--yes", scope="admin")[1] == ["2 removed"]
    assert terminal("purge", "--reason", "asked", "--before", "2200-01-01T00:00", "--yes", scope="admin")[1] == [
        "2 removed"
    ]
    assert ("purge_evidence", "combination=base", "kim") in terminal.audit()


@pytest.mark.parametrize(
    "which",
    [
        (),
        ("--everything", "--combination", "a+b"),
        ("--id", "x", "--before", "2001-01-01"),
        ("--everything", "--id", "x"),
    ],
)
def test_a_purge_must_be_of_one_thing(terminal: Terminal, which: tuple[str, ...]) -> None:
    code, _, errors = terminal("purge", "--reason", "asked", "--yes", *which, scope="admin")
    assert code == 2
    assert "say which" in errors


def test_what_is_not_allowed_or_does_not_answer_is_said(
    terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, errors = terminal("list", scope="admin")
    assert (code, errors) == (2, "alignment-monitor: 403 Forbidden: this token does not have the scope evidence\n")
    assert terminal("purge", "--reason", "x", "--everything", "--yes")[0] == 2
    nobody = ["evidence", "list", "--admin", "127.0.0.1:1", "--token-file", str(tmp_path / "evidence")]
    assert main(nobody) == 2
    assert "no answer from http://127.0.0.1:1" in capsys.readouterr().err
    assert main([*nobody[:-1], str(tmp_path / "none")]) == 2
    assert "--token-file: cannot read" in capsys.readouterr().err


@contextmanager
def proxy(answer: Callable[[str], tuple[int, str]]) -> Iterator[str]:
    """What stands before a sidecar: gives a path's status and the address that it goes on at."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            status, location = answer(self.path)
            self.send_response(status)
            self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_redirect_is_not_followed_and_a_path_of_the_address_is_kept(terminal: Terminal) -> None:
    asked: list[str] = []

    def answer(path: str) -> tuple[int, str]:
        asked.append(path.partition("?")[0])
        return 307, terminal.url + path.removeprefix("/sidecar")

    there = terminal.url
    with proxy(answer) as url:
        terminal.url = f"{url}/sidecar/"
        code, lines, errors = terminal("list")
    assert (code, lines, errors) == (2, [], "alignment-monitor: 307 Temporary Redirect\n")
    assert asked == ["/sidecar/api/v1/evidence"]
    terminal.url = there
    assert terminal("list")[0] == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[::1", "http://", "ftp://x"])
def test_an_address_that_is_none_is_said(url: str, terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.url = url
    with pytest.raises(SystemExit):
        terminal("list")
    assert "--admin: must be http" in capsys.readouterr().err


def test_a_text_does_nothing_to_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\u202ec\n\té") == "a\\u{1b}[2Jb\\u{d}\\u{202e}c\n\té"
