"""Decides which examples are kept, and hands them to the one thread that redacts and writes them.

The analysis never waits for it: what the queue cannot hold is dropped and counted. A disk that is full, or a folder that
cannot be written, costs examples and nothing else; it is tried again and again, and `alignment_evidence_writable` says how that
went. Examples that wait when the process dies are lost.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.adapters import Identity
from monitor.arrival import Arrival
from monitor.config.model import EvidenceSection
from monitor.evidence.example import Example, Purge, concerned
from monitor.evidence.reader import EvidenceError, Reader
from monitor.evidence.redact import MARGIN, Redactor
from monitor.evidence.seal import Sealer, SealError, read_keys
from monitor.evidence.store import Bounds, Store, StoreError
from monitor.records import Choice, Outcome, Prompt, Verdict
from monitor.signals import REFUSAL_LOST, REFUSAL_LOST_PAIRED
from monitor.telemetry.evidence_metrics import EvidenceMetrics
from monitor.telemetry.logs import Repeats, where_it_failed

log = logging.getLogger(__name__)

QUEUE: Final = 256
"""Examples that wait at most: of twice `evidence.characters` and `MARGIN`, so 19 MB with the default settings and plain text."""
BATCH: Final = 32
"""Examples of one transaction at most."""
LOOK_S: Final = 15.0
"""Seconds between two looks at ages and at whether the disk can be written."""
RETRY_S: Final = 5.0
"""Seconds after which a store that could not be opened is tried again."""
PURGE_S: Final = 30.0
"""Seconds that a purge may take."""
_RESERVE: Final = 0.5
"""Share of the budget that is left to bad answers, which findings name."""


@dataclass(frozen=True, slots=True)
class _Base:
    """The base's answer to an example's request."""

    example: str
    answer: str
    outcome: Outcome
    characters: int


@dataclass(frozen=True, slots=True)
class _Naming:
    """A finding names examples."""

    finding: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Purging:
    which: Purge
    done: Future[int]

    def begin(self) -> bool:
        """From now on it cannot be called off; False when it was."""
        return not self.done.done() and (self.done.running() or self.done.set_running_or_notify_cancel())


_Work = Example | _Base | _Naming | _Purging | None
"""None ends the thread."""


@dataclass(slots=True)
class _Batch:
    """What one transaction writes."""

    examples: dict[str, Example] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)
    named: list[tuple[str, str]] = field(default_factory=list)
    redacted: Counter[str] = field(default_factory=Counter)


class Keeper:
    """The evidence store as the rest of the analysis sees it."""

    def __init__(
        self,
        section: EvidenceSection,
        metrics: EvidenceMetrics,
        chance: random.Random | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """clock: Unix seconds, for ages. Raises ConfigError for keys that cannot be used, ImportError without the extra."""
        if section.folder is None:
            raise ValueError("an evidence store without a folder")
        self._section = section
        self._metrics = metrics
        self._random = chance or random.Random()
        self._clock = clock
        self._folder = section.folder
        self._bounds = Bounds(section.max_bytes, section.days, section.finding_days)
        self._sealer = Sealer(read_keys(section.key_file))
        self._redactor = Redactor(section.phone_regions)
        self._budget = _Budget(section.per_minute, clock())
        self._queue: queue.Queue[_Work] = queue.Queue()
        self._store: Store | None = None
        self._next_try = 0.0
        self._next_look = 0.0
        self._repeats = Repeats()
        self.problem = ""
        """Why nothing can be written, "" while it can."""
        self.reader = Reader(section.folder, self._sealer)
        """Reads what is stored."""
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        metrics.enabled.set(1)
        metrics.bytes_limit.set(section.max_bytes)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self, budget_s: float) -> None:
        """Write what waits within this time, in which this blocks; what is left is dropped."""
        self._queue.put(None)
        self._thread.join(budget_s)
        left = sum(isinstance(one, Example) for one in list(self._queue.queue))
        self._metrics.dropped.labels("shutdown").inc(left)

    def offer(self, arrival: Arrival, identity: Identity, choice: Choice, verdict: Verdict) -> str:
        """Take an answer if it is to be kept: the id under which it will be found, "" when it will not. Never waits.

        Every answer that is bad for a signal is wanted, because a finding may name it, and a share of the others.
        """
        if identity.combination is None:
            return ""
        signals = concerned(verdict)
        if not signals and self._random.random() >= self._section.share:
            return ""
        if not self._budget.take(0.0 if signals else _RESERVE, self._clock()):
            self._metrics.dropped.labels("budget").inc()
            return ""
        if self._queue.qsize() >= QUEUE:
            self._metrics.dropped.labels("queue").inc()
            return ""
        room = self._section.characters + MARGIN  # no more than that waits, and is looked at
        prompts = arrival.dialogue.prompts
        prompt = prompts[choice.prompt] if choice.prompt < len(prompts) else Prompt("")
        example = Example(
            id=secrets.token_hex(8),
            time=arrival.time,
            combination=identity.label,
            combination_id=identity.combination.id,
            served_name=identity.combination.served_name,
            outcome=verdict.outcome.value,
            stratum=verdict.stratum.value,
            category=verdict.category,
            topic=verdict.topic,
            language=verdict.language,
            signals=signals,
            scorer=verdict.scorer,
            scorer_version=verdict.scorer_version,
            tier=verdict.tier,
            refusal_probability=verdict.refusal_probability,
            prompt_risk=verdict.prompt_risk,
            turns=prompt.turns,
            finish_reason=choice.finish_reason[:40],
            prompt=prompt.text[:room],
            answer=choice.text[:room],
            prompt_characters=len(prompt.text),
            answer_characters=len(choice.text),
            kept_characters=self._section.characters,
        )
        self._queue.put(example)
        return example.id

    def add_base(self, example: str, answer: str, outcome: Outcome) -> None:
        """The base was asked the same, and answered so."""
        if example and self._queue.qsize() < 2 * QUEUE:
            room = self._section.characters + MARGIN
            self._queue.put(_Base(example, answer[:room], outcome, len(answer)))

    def name(self, examples: Sequence[str], finding: str) -> None:
        """A finding names these: they are kept longer."""
        self._queue.put(_Naming(finding, tuple(examples)))

    async def purge(self, which: Purge) -> int:
        """Remove examples; how many. Raises EvidenceError."""
        work = _Purging(which, Future())
        self._queue.put(work)
        try:
            async with asyncio.timeout(PURGE_S):
                return await asyncio.wrap_future(work.done)
        except TimeoutError as error:
            if work.done.cancel():
                raise EvidenceError(f"nothing was removed: the store was busy for {PURGE_S:.0f} s") from error
            raise EvidenceError(f"it takes longer than {PURGE_S:.0f} s, and goes on") from error
        except StoreError as error:
            raise EvidenceError(f"the evidence store cannot be written: {error}") from error

    def _run(self) -> None:
        """The thread."""
        while True:
            works = self._next_works()
            try:
                self._do([one for one in works if one is not None])
            except Exception as error:  # noqa: BLE001  # a defect of ours must not end the thread; never with its message
                self._lose(works, "failed")
                self._say(f"storing examples failed: {where_it_failed(error)}")
            if None in works:
                break
        self._let_go()

    def _next_works(self) -> list[_Work]:
        works: list[_Work] = []
        try:
            works.append(self._queue.get(timeout=max(0.05, min(self._next_look - time.monotonic(), LOOK_S))))
            while len(works) < BATCH and works[-1] is not None:
                works.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return works

    def _do(self, works: Sequence[_Work]) -> None:
        store = self._opened()
        if store is None:
            self._lose(works, "unwritable")
            return
        try:
            self._write(store, works)
            works = [one for one in works if isinstance(one, _Purging)]  # the others are on the disk
            self._purge(store, works)
            now = time.monotonic()
            if now >= self._next_look or works:
                self._next_look = now + LOOK_S
                self._count_removed(store.look(self._clock()))
            size = store.size()
        except StoreError as error:
            self._failed(error)
            self._lose(works, "unwritable")
        else:
            self._metrics.writable.set(1)
            self._metrics.show_size(size.bytes, size.examples, size.oldest)
            if self.problem:
                self.problem = ""
                log.info("the evidence store can be written again")

    def _write(self, store: Store, works: Sequence[_Work]) -> None:
        batch = _Batch()
        for work in works:
            match work:
                case Example():
                    batch.examples[work.id] = self._redacted(work, batch)
                    batch.new.add(work.id)
                case _Base():
                    self._put_base(store, work, batch)
                case _Naming():
                    batch.named += [(work.finding, example) for example in work.examples]
        if batch.examples or batch.named:
            self._count_removed(store.write(list(batch.examples.values()), batch.named))
            self._metrics.stored.inc(len(batch.new))
            for kind, count in batch.redacted.items():
                self._metrics.redactions.labels(kind).inc(count)

    def _purge(self, store: Store, works: Sequence[_Work]) -> None:
        for work in works:
            if isinstance(work, _Purging) and work.begin():
                removed = store.purge(work.which)
                self._metrics.removed.labels("purged").inc(removed)
                work.done.set_result(removed)

    def _redacted(self, example: Example, batch: _Batch) -> Example:
        limit = self._section.characters
        prompt, in_prompt = self._redactor.redact(example.prompt, limit)
        answer, in_answer = self._redactor.redact(example.answer, limit)
        found = in_prompt + in_answer
        batch.redacted += found
        return msgspec.structs.replace(example, prompt=prompt, answer=answer, redacted=dict(found))

    def _put_base(self, store: Store, work: _Base, batch: _Batch) -> None:
        try:
            example = batch.examples.get(work.example) or store.find(work.example)
        except SealError:
            return
        if example is None:
            return
        text, found = self._redactor.redact(work.answer, self._section.characters)
        batch.redacted += found
        signals = example.signals
        if REFUSAL_LOST.name in signals and work.outcome.judged and work.outcome not in REFUSAL_LOST.bad:
            signals = (*signals, REFUSAL_LOST_PAIRED)
        batch.examples[example.id] = msgspec.structs.replace(
            example,
            signals=signals,
            base_answer=text,
            base_outcome=work.outcome.value,
            base_characters=work.characters,
            redacted=dict(Counter(example.redacted) + found),
        )

    def _opened(self) -> Store | None:
        if self._store is None and time.monotonic() >= self._next_try:
            try:
                self._store = Store(self._folder, self._bounds, self._sealer)
                if self.problem:  # it would take the little that a look writes, and fail on the next examples again
                    self._store.try_out()
            except StoreError as error:
                self._failed(error)
            else:
                self._next_look = 0.0
        return self._store

    def _failed(self, error: StoreError) -> None:
        self._let_go()
        self._next_look = self._next_try = time.monotonic() + RETRY_S
        self.problem = str(error)
        self._metrics.writable.set(0)
        self._metrics.write_errors.inc()
        self._say(f"the evidence store {self._folder} cannot be written: {error}")

    def _lose(self, works: Sequence[_Work], reason: str) -> None:
        self._metrics.dropped.labels(reason).inc(sum(isinstance(one, Example) for one in works))
        for work in works:
            if isinstance(work, _Purging) and work.begin():
                work.done.set_exception(StoreError(self.problem or "a defect of the monitor's own"))

    def _let_go(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _count_removed(self, removed: dict[str, int]) -> None:
        for reason, count in removed.items():
            self._metrics.removed.labels(reason).inc(count)

    def _say(self, line: str) -> None:
        left_out = self._repeats.allow("store", time.monotonic())
        if left_out is not None:
            log.error("%s (%d more before)", line, left_out)


class _Budget:
    """So many a minute, as many at once."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._size = float(per_minute)
        self._left = self._size
        self._at = now

    def take(self, reserve: float, now: float) -> bool:
        """One, unless that leaves less than this share."""
        self._left = min(self._size, self._left + max(0.0, now - self._at) * self._size / 60)
        self._at = now
        if self._left - 1 < reserve * self._size:
            return False
        self._left -= 1
        return True
