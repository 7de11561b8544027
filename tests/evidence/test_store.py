"""The file of examples: bounds, ages, keys, privacy."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from monitor.config import ConfigError
from monitor.evidence.example import Example, Filter, Purge
from monitor.evidence.folder import LOCK, folder_problem
from monitor.evidence.reader import EvidenceError, Reader
from monitor.evidence.seal import Sealer, SealError, read_keys
from monitor.evidence.store import FILE, Bounds, Store, StoreError

MIB = 1024 * 1024
DAY_S = 86_400.0
BOUNDS = Bounds(4 * MIB, days=2, finding_days=20)


def example(number: int, **more: Any) -> Example:
    values: dict[str, Any] = {
        "id": f"{number:016x}", "time": 1e9 + number, "combination": "alpha", "combination_id": "c", "served_name": "alpha",
        "outcome": "compliance", "stratum": "harmful_looking", "category": "weapons", "topic": "", "language": "en",
        "signals": ("refusal_lost",), "scorer": "s", "scorer_version": "1", "tier": "fast", "refusal_probability": 0.1,
        "prompt_risk": 0.9, "turns": 1, "finish_reason": "stop", "prompt": f"prompt {number}", "answer": f"answer {number}",
        "prompt_characters": 8, "answer_characters": 8,
    }  # fmt: skip
    return Example(**(values | more))


def opened(folder: Path, bounds: Bounds = BOUNDS, *keys: bytes) -> Store:
    return Store(folder / "evidence", bounds, Sealer(keys))


async def ids(folder: Path, limit: int = 1000, **wanted: str) -> list[int]:
    found, _ = await Reader(folder / "evidence", Sealer()).page(Filter(**wanted), limit)
    return [int(one.example.id, 16) for one in found]


async def test_what_was_written_is_read_the_newest_first_page_by_page(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(
        [example(1), example(2, combination="beta", outcome="refusal", signals=()), example(3)], [("f", f"{1:016x}")]
    )
    reader = Reader(tmp_path / "evidence", Sealer())
    found, following = await reader.page(Filter(), 2)
    assert [one.example for one in found] == [example(3), example(2, combination="beta", outcome="refusal", signals=())]
    rest, none = await reader.page(Filter(), 2, following)
    assert ([one.example for one in rest], rest[0].findings, none) == ([example(1)], ("f",), None)
    assert await ids(tmp_path, combination="alpha") == [3, 1]
    assert await ids(tmp_path, outcome="refusal") == [2]
    assert await ids(tmp_path, signal="refusal_lost") == [3, 1]
    assert await ids(tmp_path, signal="refusal") == []
    assert await ids(tmp_path, finding="f", combination="alpha") == [1]
    assert await reader.find("nothing") is None
    store.close()


async def test_a_page_of_long_texts_has_fewer_examples(tmp_path: Path) -> None:
    store = opened(tmp_path, Bounds(64 * MIB, 1e4, 1e4))
    for number in range(12):
        store.write([example(number, answer="y" * MIB)])
    seen, following, pages = [], None, 0
    while pages == 0 or following:
        found, following = await Reader(tmp_path / "evidence", Sealer()).page(Filter(), 100, following)
        seen += [int(one.example.id, 16) for one in found]
        pages += 1
        assert len(found) <= 5
    assert (seen, pages) == (list(range(11, -1, -1)), 3)
    store.close()


def test_folder_and_file_are_for_nobody_else(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = opened(tmp_path)
        with store._db:
            store._db.execute("BEGIN IMMEDIATE")
            store._db.execute("UPDATE looked SET at = 7")
            modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "evidence").iterdir()}
    finally:
        os.umask(before)
    assert modes == {FILE: 0o600, f"{FILE}-journal": 0o600, LOCK: 0o600}
    assert stat.S_IMODE((tmp_path / "evidence").stat().st_mode) == 0o700
    store.close()


@pytest.mark.parametrize("umask", [0o022, 0o177, 0o777])
def test_its_owner_may_enter_whatever_the_umask_is(tmp_path: Path, umask: int) -> None:
    # In a process of its own, as somebody who is held to modes: root enters everything.
    program = """
import os, sys
from pathlib import Path
from monitor.evidence.seal import Sealer
from monitor.evidence.store import Bounds, Store
place, umask = Path(sys.argv[1]), int(sys.argv[2])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.umask(umask)
Store(place / "made" / "on the way" / "evidence", Bounds(1 << 22, 1, 1), Sealer(())).close()"""
    place = Path(tempfile.mkdtemp(dir="/var/tmp"))  # the tests' own folder is below one that nobody else may enter
    try:
        if os.geteuid() == 0:
            os.chown(place, 65534, 65534)
        subprocess.run([sys.executable, "-c", program, place, str(umask)], check=True, timeout=60)
        made = [place / "made" / "on the way" / "evidence", place / "made" / "on the way", place / "made"]
        assert [stat.S_IMODE(one.stat().st_mode) for one in made] == [0o700, *[0o777 & ~umask | 0o700] * 2]
    finally:
        shutil.rmtree(place)


def test_a_second_process_is_kept_out_while_the_first_writes_and_told_which_that_is(tmp_path: Path) -> None:
    program = """
import sys, time
from pathlib import Path
from monitor.evidence.seal import Sealer
from monitor.evidence.store import Bounds, Store
store = Store(Path(sys.argv[1]), Bounds(1 << 22, 1, 1), Sealer(()))
print("writes", flush=True)
sys.stdin.read()"""
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "evidence"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"writes\n"
        with pytest.raises(StoreError) as refused:
            opened(tmp_path)
        first.kill()
    assert f"{tmp_path / 'evidence'} (process {first.pid} on {socket.gethostname()})" in str(refused.value)
    opened(tmp_path).close()
    store = opened(tmp_path)
    with pytest.raises(StoreError, match=f"process {os.getpid()} on "):
        opened(tmp_path)
    store.close()


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir(mode=0o755)
    (tmp_path / "evidence").chmod(0o755)
    assert "others may enter" in folder_problem(tmp_path / "evidence")
    with pytest.raises(StoreError, match="others may enter"):
        opened(tmp_path)
    assert folder_problem(tmp_path / "missing") == ""


async def test_the_file_never_grows_beyond_its_bound_and_what_findings_name_goes_last(tmp_path: Path) -> None:
    store = opened(tmp_path)
    file = tmp_path / "evidence" / FILE
    store.write([example(0, answer="n" * 60_000)], [("f", f"{0:016x}")])
    removed = 0
    for number in range(1, 120):
        removed += store.write([example(number, answer="y" * 60_000)]).get("bytes", 0)
        assert file.stat().st_size <= BOUNDS.bytes
    left = await ids(tmp_path)
    assert removed > 0
    assert len(left) == 120 - removed
    assert left[0] == 119
    assert left[-1] == 0, "the one that a finding names"
    assert left[:-1] == list(range(119, 119 - len(left) + 1, -1))
    store.close()
    # A smaller bound counts from the next look on.
    smaller = opened(tmp_path, Bounds(2 * MIB, 1e4, 1e4))
    assert smaller.look(1e9).keys() == {"bytes"}
    assert file.stat().st_size <= 2 * MIB
    smaller.close()


def test_trying_the_disk_out_leaves_nothing_and_keeps_within_the_bound(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for number in range(100):
        store.write([example(number, answer="y" * 60_000)])
    before = store.size()
    store.try_out()
    store.try_out()
    after = store.size()
    assert after.examples == before.examples
    assert after.bytes <= before.bytes + 4 * 4096
    assert before.bytes <= BOUNDS.bytes
    store.close()


async def test_examples_of_findings_alone_are_bounded_too(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for number in range(100):
        store.write([example(number, answer="y" * 60_000)], [("f", f"{number:016x}")])
    assert (tmp_path / "evidence" / FILE).stat().st_size <= BOUNDS.bytes
    assert (await ids(tmp_path, finding="f"))[0] == 99
    store.close()


async def test_ages_end_what_is_kept_and_what_is_removed_is_overwritten(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write([example(1, prompt="quokka one"), example(2, prompt="quokka two")], [("f", f"{1:016x}")])
    assert store.look(1e9 + 1 * DAY_S) == {}
    assert store.look(1e9 + 3 * DAY_S) == {"age": 1}
    assert await ids(tmp_path) == [1]
    assert store.size().examples == {"finding": 1}
    assert store.look(1e9 + 21 * DAY_S) == {"age": 1}
    assert store.size().oldest == {}
    store.close()
    assert b"quokka" not in (tmp_path / "evidence" / FILE).read_bytes()


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (Purge(ids=(f"{1:016x}", f"{3:016x}")), [2]),
        (Purge(combination="beta"), [3, 1]),
        (Purge(before=1e9 + 2.5), [3]),
        (Purge(combination="alpha", before=1e9 + 2.5), [3, 2]),
        (Purge(everything=True), []),
        (Purge(), [3, 2, 1]),
    ],
)
async def test_a_purge_removes_what_it_names_and_nothing_else(tmp_path: Path, which: Purge, left: list[int]) -> None:
    store = opened(tmp_path)
    store.write([example(1), example(2, combination="beta"), example(3)], [("f", f"{1:016x}")])
    assert store.purge(which) == 3 - len(left)
    assert await ids(tmp_path) == left
    store.close()


def test_a_store_survives_a_death_in_the_middle_of_writing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write([example(1)])
    store.close()
    # Another process dies after its changes have reached the file, and before they count.
    dies = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "db.execute('PRAGMA cache_size = 1'); db.execute('PRAGMA secure_delete = ON'); db.execute('BEGIN IMMEDIATE'); "
        "db.execute('DELETE FROM example'); db.execute('CREATE TABLE x AS SELECT zeroblob(100000)'); os._exit(9)"
    )
    file = tmp_path / "evidence" / FILE
    assert subprocess.run([sys.executable, "-c", dies, str(file)], check=False).returncode == 9
    assert file.with_name(f"{FILE}-journal").exists()
    again = opened(tmp_path)
    again.write([example(2)])
    assert again.size().examples == {"sample": 2}
    again.close()


async def test_with_a_key_texts_are_sealed_each_in_its_place(tmp_path: Path) -> None:
    old, new = b"o" * 32, b"n" * 32
    store = opened(tmp_path, BOUNDS, old)
    store.write([example(1, prompt="quokka"), example(2)])
    store.close()
    assert b"quokka" not in (tmp_path / "evidence" / FILE).read_bytes()
    # The key is replaced; the old one still opens what it sealed.
    store = opened(tmp_path, BOUNDS, new, old)
    store.write([example(3)])
    both, _ = await Reader(tmp_path / "evidence", Sealer([new, old])).page(Filter(), 9)
    assert [one.example for one in both] == [example(3), example(2), example(1, prompt="quokka")]
    alone, _ = await Reader(tmp_path / "evidence", Sealer([new])).page(Filter(), 9)
    assert [(one.readable, one.example.prompt, one.example.outcome) for one in alone] == [
        (True, "prompt 3", "compliance"),
        (False, "", "compliance"),
        (False, "", "compliance"),
    ]
    # One example's text cannot be put in another's place.
    with store._db:
        store._db.execute("UPDATE example SET texts = (SELECT texts FROM example WHERE id = ?)", (f"{3:016x}",))
    moved, _ = await Reader(tmp_path / "evidence", Sealer([new, old])).page(Filter(), 9)
    assert [one.readable for one in moved] == [True, False, False]
    store.close()


def test_keys_come_from_a_file_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    with pytest.raises(ConfigError, match=r"evidence.key_file: cannot read"):
        read_keys(file)
    file.write_text("ab" * 32 + "\n" + "CD" * 32 + "\n")
    assert read_keys(file) == [b"\xab" * 32, b"\xcd" * 32]
    assert read_keys(None) == []
    for wrong in ("", "ab" * 31, "xy" * 32, "schlüssel"):
        file.write_text(wrong)
        with pytest.raises(ConfigError, match="openssl rand -hex 32"):
            read_keys(file)


def test_a_sealed_text_opens_only_as_it_was() -> None:
    sealer = Sealer([b"k" * 32])
    sealed = sealer.seal("one", b"text")
    assert sealer.open("one", sealer.name, sealed) == b"text"
    for identity, name, content in (("two", sealer.name, sealed), ("one", "x", sealed), ("one", sealer.name, b"short")):
        with pytest.raises(SealError):
            sealer.open(identity, name, content)


async def test_what_is_no_store_of_ours_is_left_alone_and_said_so(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir(mode=0o700)
    (folder / FILE).write_bytes(b"something else " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        opened(tmp_path)
    with pytest.raises(EvidenceError, match="not a database"):
        await Reader(folder, Sealer()).page(Filter(), 1)
    assert (folder / FILE).read_bytes().startswith(b"something else")
    (folder / FILE).unlink()
    opened(tmp_path).close()
    db = sqlite3.connect(folder / FILE)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="format 99"):
        opened(tmp_path)


async def test_a_store_that_does_not_exist_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="unable to open"):
        await Reader(tmp_path, Sealer()).find("x")
    assert not (tmp_path / FILE).exists()
