"""Reads the file of examples beside the thread that writes it; every call opens and closes it, in a thread of its own."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from monitor.evidence.example import Example, Filter, Kept
from monitor.evidence.seal import Sealer, SealError
from monitor.evidence.store import FILE, StoreError, read_row
from monitor.lifecycle import in_thread

PAGE_BYTES: Final = 4 * 1024 * 1024
"""Bytes of texts in one page, beyond which it has fewer examples: they are held, and sent, at once."""
BUSY_S: Final = 2.0
"""Seconds to wait for the thread that writes."""
Key = tuple[int, str]
"""Where a page begins: negative microseconds, and the id; the newest first."""


class EvidenceError(Exception):
    """The store cannot be read, or not be changed; says why, without anybody's text."""


class Reader:
    """Of one folder."""

    def __init__(self, folder: Path, sealer: Sealer) -> None:
        self._file = folder / FILE
        self._sealer = sealer

    async def page(self, wanted: Filter, limit: int, behind: Key | None = None) -> tuple[list[Kept], Key | None]:
        """Up to `limit` examples behind a key, the newest first, and the key of the next page. Raises EvidenceError."""
        return await in_thread("evidence reader", self._page, wanted, limit, behind)

    async def find(self, identity: str) -> Kept | None:
        """One by its id, None when it is not kept (any more). Raises EvidenceError."""
        return await in_thread("evidence reader", self._find, identity)

    def _page(self, wanted: Filter, limit: int, behind: Key | None) -> tuple[list[Kept], Key | None]:
        where, values = ["1"], list[Any]()
        for clause, value in (
            ("combination = ?", wanted.combination),
            ("outcome = ?", wanted.outcome),
            ("instr(signals, ',' || ? || ',')", wanted.signal),
            ("id IN (SELECT example FROM naming WHERE finding = ?)", wanted.finding),
        ):
            if value:
                where.append(clause)
                values.append(value)
        if behind is not None:
            where.append("(time < ? OR (time = ? AND id > ?))")
            values += [-behind[0], -behind[0], behind[1]]
        rows = self._ask(
            f"SELECT id, key, facts, texts, time FROM example WHERE {' AND '.join(where)} ORDER BY time DESC, id LIMIT ?",
            [*values, limit + 1],
            texts=3,
        )
        found = rows[:-1] if len(rows) > limit or sum(len(row[3]) for row in rows[:-1]) > PAGE_BYTES else rows
        following = (-found[-1][4], found[-1][0]) if len(rows) > len(found) else None
        return self._kept([row[:4] for row in found]), following

    def _find(self, identity: str) -> Kept | None:
        rows = self._ask("SELECT id, key, facts, texts FROM example WHERE id = ?", [identity])
        return next(iter(self._kept(rows)), None)

    def _kept(self, rows: Sequence[Any]) -> list[Kept]:
        findings: dict[str, list[str]] = defaultdict(list)
        marks = ",".join("?" * len(rows))
        ids = [row[0] for row in rows]
        for example, finding in self._ask(f"SELECT example, finding FROM naming WHERE example IN ({marks})", ids):
            findings[example].append(finding)
        return [self._one(row, tuple(sorted(findings[row[0]]))) for row in rows]

    def _one(self, row: Any, findings: tuple[str, ...]) -> Kept:
        identity, key, facts, texts = row
        try:
            return Kept(read_row(identity, key, facts, texts, self._sealer), findings)
        except SealError:
            return Kept(msgspec.json.decode(facts, type=Example), findings, readable=False)
        except StoreError as error:
            raise EvidenceError(str(error)) from error

    def _ask(self, query: str, values: Sequence[Any], texts: int | None = None) -> list[Any]:
        """texts: column that is counted; the rows end with the first one after `PAGE_BYTES` of it."""
        try:
            address = f"file:{quote(str(self._file))}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=BUSY_S)) as db:
                db.execute("PRAGMA temp_store = MEMORY")  # no text in temporary files elsewhere
                rows, size = [], 0
                for row in db.execute(query, values):
                    rows.append(row)
                    if size > PAGE_BYTES:
                        break
                    size += len(row[texts]) if texts is not None else 0
                return rows
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            raise EvidenceError(f"the evidence store cannot be read: {error} ({name})") from error
