"""The file of examples: an SQLite database of ours alone, bounded by bytes and age.

One thread writes, in transactions: what is lost in a crash are whole examples, never a part of one. What is removed is
overwritten (`secure_delete`). Of what findings name the oldest go last: only when nothing else is left to make room.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from monitor.evidence.example import Example, Purge, Size
from monitor.evidence.folder import own_file, take
from monitor.evidence.seal import Sealer

FILE: Final = "evidence.sqlite3"
FORMAT: Final = 1
"""Of the tables; a file of another one is left alone."""
PAGE: Final = 4096
"""Bytes."""
ROOM: Final = 1024 * 1024
"""Bytes of the bound that are left for the tables' own pages."""
BUSY_S: Final = 5.0
"""Seconds to wait for a reader, or for the process before this one."""
DAY_S: Final = 86_400.0
_AT_ONCE: Final = 16
"""Examples that make room at a time."""
_MICROSECONDS: Final = 1e6

_TABLES: Final = """
CREATE TABLE example (
  id TEXT PRIMARY KEY, time INTEGER NOT NULL, combination TEXT NOT NULL, outcome TEXT NOT NULL, signals TEXT NOT NULL,
  named INTEGER NOT NULL DEFAULT 0, key TEXT NOT NULL, facts BLOB NOT NULL, texts BLOB NOT NULL
);
CREATE INDEX example_time ON example (time DESC, id);
CREATE INDEX example_combination ON example (combination, time DESC, id);
CREATE INDEX example_age ON example (named, time);
CREATE TABLE naming (finding TEXT NOT NULL, example TEXT NOT NULL, PRIMARY KEY (finding, example)) WITHOUT ROWID;
CREATE INDEX naming_example ON naming (example);
CREATE TABLE looked (at INTEGER NOT NULL);
INSERT INTO looked VALUES (0);
"""


class StoreError(Exception):
    """The store cannot be used; says why, without anybody's text."""


class Texts(msgspec.Struct, frozen=True):
    """What is encrypted."""

    prompt: str
    answer: str
    base: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept, and for how long."""

    bytes: int
    days: float
    finding_days: float


class Store:
    """Opened for writing. Every method raises StoreError when the disk, the file or its contents do not allow it."""

    def __init__(self, folder: Path, bounds: Bounds, sealer: Sealer) -> None:
        self._file = folder / FILE
        self._bounds = bounds
        self._sealer = sealer
        with contextlib.ExitStack() as opened:
            try:
                opened.callback(os.close, take(folder))
                os.close(own_file(self._file))
                self._db = opened.enter_context(contextlib.closing(_connect(self._file)))
            except (OSError, sqlite3.Error) as error:
                raise StoreError(_why(error)) from error
            self._prepare()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Let go of the file, and of the folder."""
        self._opened.close()

    def write(self, examples: Sequence[Example], named: Iterable[tuple[str, str]] = ()) -> dict[str, int]:
        """Write examples, over those of the same ids, and which finding names which example; reason -> how many had to go."""
        rows = [self._row(one) for one in examples]
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                removed = self._make_room(sum(len(row[-1]) + len(row[-2]) + PAGE for row in rows))
                self._db.executemany(
                    "INSERT INTO example (id, time, combination, outcome, signals, key, facts, texts) VALUES (?,?,?,?,?,?,?,?) "
                    "ON CONFLICT (id) DO UPDATE SET signals = excluded.signals, key = excluded.key, facts = excluded.facts, "
                    "texts = excluded.texts",
                    rows,
                )
                self._name(named)
            return {"bytes": removed} if removed else {}
        except sqlite3.Error as error:
            raise StoreError(_why(error)) from error

    def find(self, identity: str) -> Example | None:
        """An example that is to be written again with something added."""
        try:
            row = self._db.execute("SELECT key, facts, texts FROM example WHERE id = ?", (identity,)).fetchone()
        except sqlite3.Error as error:
            raise StoreError(_why(error)) from error
        return None if row is None else read_row(identity, row[0], row[1], row[2], self._sealer)

    def look(self, now: float) -> dict[str, int]:
        """Remove what is too old, and find out whether anything can be written at all; reason -> how many went."""
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("UPDATE looked SET at = ?", (micros(now),))
                old = "(named = 0 AND time < ?) OR (named = 1 AND time < ?)"
                ages = (micros(now - self._bounds.days * DAY_S), micros(now - self._bounds.finding_days * DAY_S))
                removed = self._remove(old, ages)
                room = self._make_room(0)
            self._db.executescript("PRAGMA incremental_vacuum")  # `execute` would free a single page
            return {reason: count for reason, count in (("age", removed), ("bytes", room)) if count}
        except sqlite3.Error as error:
            raise StoreError(_why(error)) from error

    def try_out(self) -> None:
        """Write as much as fits into the room that is left, and take it back: a disk that is nearly full takes small things."""
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._make_room(0)
                self._db.execute("CREATE TABLE IF NOT EXISTS tried (room BLOB)")
                self._db.execute("DELETE FROM tried")  # what a death in between has left
                self._db.execute("INSERT INTO tried VALUES (zeroblob(?))", (ROOM // 2,))
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("DELETE FROM tried")
            self._db.executescript("PRAGMA incremental_vacuum")
        except sqlite3.Error as error:
            raise StoreError(_why(error)) from error

    def purge(self, which: Purge) -> int:
        """Remove examples for good; how many."""
        where, values = ["1" if which.everything else "0"], list[Any]()
        if not which.everything:
            where = []
            if which.ids:
                where.append(f"id IN ({','.join('?' * len(which.ids))})")
                values += which.ids
            if which.combination:
                where.append("combination = ?")
                values.append(which.combination)
            if which.before is not None:
                where.append("time < ?")
                values.append(micros(which.before))
            where = where or ["0"]
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                removed = self._remove(" AND ".join(where), values)
            self._db.executescript("PRAGMA incremental_vacuum")  # `execute` would free a single page
            return removed
        except sqlite3.Error as error:
            raise StoreError(_why(error)) from error

    def size(self) -> Size:
        """How much there is."""
        try:
            rows = self._db.execute("SELECT named, count(*), min(time) FROM example GROUP BY named").fetchall()
            size = self._file.stat().st_size
        except (sqlite3.Error, OSError) as error:
            raise StoreError(_why(error)) from error
        kind = ("sample", "finding")
        return Size(
            size,
            {kind[named]: count for named, count, _ in rows},
            {kind[named]: oldest / _MICROSECONDS for named, _, oldest in rows},
        )

    def _prepare(self) -> None:
        try:
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, FORMAT):
                raise StoreError(f"{self._file} has format {version}, which is not this version's ({FORMAT})")
            self._db.execute("PRAGMA secure_delete = ON")
            if version == 0:
                self._db.execute(f"PRAGMA page_size = {PAGE}")
                self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
                self._db.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version = {FORMAT};COMMIT;")
        except sqlite3.Error as error:
            raise StoreError(_why(error)) from error

    def _row(self, example: Example) -> tuple[Any, ...]:
        facts = msgspec.structs.replace(example, prompt="", answer="", base_answer=None)
        texts = msgspec.json.encode(Texts(example.prompt, example.answer, example.base_answer))
        return (
            example.id,
            micros(example.time),
            example.combination,
            example.outcome,
            _listed(example.signals),
            self._sealer.name,
            msgspec.json.encode(facts),
            self._sealer.seal(example.id, texts),
        )

    def _name(self, named: Iterable[tuple[str, str]]) -> None:
        for finding, example in named:
            if self._db.execute("UPDATE example SET named = 1 WHERE id = ?", (example,)).rowcount:
                self._db.execute("INSERT OR IGNORE INTO naming VALUES (?, ?)", (finding, example))

    def _make_room(self, wanted: int) -> int:
        """Remove the oldest until so many bytes fit in; how many examples went."""
        limit = self._bounds.bytes - ROOM - wanted
        removed = 0
        while self._used() > limit:
            oldest = f"id IN (SELECT id FROM example ORDER BY named, time LIMIT {_AT_ONCE})"
            gone = self._remove(oldest, ())
            if not gone:
                break
            removed += gone
        return removed

    def _used(self) -> int:
        pages = self._db.execute("PRAGMA page_count").fetchone()[0]
        free = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        return int((pages - free) * PAGE)

    def _remove(self, where: str, values: Sequence[Any]) -> int:
        gone = self._db.execute(f"DELETE FROM example WHERE {where}", tuple(values)).rowcount
        if gone:
            self._db.execute("DELETE FROM naming WHERE example NOT IN (SELECT id FROM example)")
        return gone


def micros(seconds: float) -> int:
    """Unix microseconds, as they stand in the file."""
    return round(seconds * _MICROSECONDS)


def read_row(identity: str, key: str, facts: bytes, texts: bytes, sealer: Sealer) -> Example:
    """An example out of its columns. Raises SealError when it cannot be opened, StoreError when it is not what was written."""
    opened = sealer.open(identity, key, texts)
    try:
        said = msgspec.json.decode(opened, type=Texts)
        known = msgspec.json.decode(facts, type=Example)
    except msgspec.DecodeError as error:
        raise StoreError("an example is not what was written") from error
    return msgspec.structs.replace(known, prompt=said.prompt, answer=said.answer, base_answer=said.base)


def _connect(file: Path) -> sqlite3.Connection:
    """Its journal gets the file's own mode."""
    db = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = DELETE").fetchone()
    db.execute("PRAGMA temp_store = MEMORY")  # no text in temporary files elsewhere
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def _listed(signals: Sequence[str]) -> str:
    return f",{','.join(signals)}," if signals else ""


def _why(error: Exception) -> str:
    """SQLite's messages name tables and columns, never their contents."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
