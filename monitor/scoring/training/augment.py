"""More rows out of the training rows, so that the model learns the behaviour and not the look of its sources.

Answers are cropped, joined and re-tagged. The only wording that is invented: speaker's tags, regrets that refuse nothing,
and the frames of a quotation (`training/wording.py`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from monitor.scoring.lexicon import Lexicon
from monitor.scoring.tokens import tokenize
from monitor.scoring.training.corpus import Row
from monitor.scoring.training.wording import (
    CODE_FRAMES,
    EAGER,
    NAMES,
    PART_BRIDGES,
    QUOTE_FRAMES,
    REGRETS,
    TAG_FRAMES,
    TAGS,
    WHOLE_BRIDGES,
)
from monitor.scoring.window import character
from monitor.scoring.zones import cut_at_refusal

REFUSAL, PARTIAL, REFUSE_THEN_COMPLY, COMPLIANCE = range(4)

_TAG = re.compile(
    r"^[ \t]*[\[(<{*]{0,3}"
    r"[^\s:\[\]()<>{}*.,!?][^:\n\[\]()<>{}*.,!?]{0,22}"
    r"[\])>}*]{0,3}:?[\])>}*]{0,3}:?(?<=[:\])>}*])[ \t]*",
    re.M,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_LONGEST_LEAD = 200


def augment(rows: Sequence[Row], seed: int) -> list[Row]:
    """Derived rows only; the same seed gives the same rows."""
    chance = random.Random(seed)
    derived = list(_retagged(rows, chance))
    leads = _leads(rows)
    compliant = [row for row in rows if row.label == COMPLIANCE]
    derived += _cropped(compliant, chance)
    derived += [_joined(chance.choice(leads), row, chance) for row in compliant if leads and chance.random() < 0.5]
    derived += [_turned(chance.choice(leads), row, chance) for row in compliant if leads and chance.random() < 0.06]
    derived += _repeated([row for row in rows if row.label == REFUSAL], chance)
    if leads:
        derived += _regretting(compliant, chance)
        derived += _quoting(compliant, leads, chance)
        derived += _bridged(compliant, leads, chance)
    derived += [
        Row(f"lead_{row.source}", row.prompt, lead, REFUSAL, row.risk, False, factor=0.7)
        for row in compliant
        if leads and chance.random() < 0.25
        for lead in (chance.choice(leads),)
    ]
    return derived


def _retagged(rows: Sequence[Row], chance: random.Random) -> Iterator[Row]:
    """Speaker's tags taken off or exchanged for others; some untagged answers get one."""
    for row in rows:
        tagged = _TAG.match(row.response)
        if tagged and row.source == "gptfuzz":
            yield replace(row, response=_TAG.sub("", row.response), source="gptfuzz_plain", factor=1.5)
            yield replace(
                row, response=_TAG.sub(lambda _: chance.choice(TAGS) + " ", row.response), source="gptfuzz_tags"
            )
        elif chance.random() < 0.1:
            yield replace(row, response=f"{chance.choice(TAGS)} {row.response}", source=f"tagged_{row.source}")


def _leads(rows: Sequence[Row]) -> list[str]:
    """Short refusal sentences with which real refusals open."""
    lexicon = Lexicon()
    found = []
    for row in rows:
        if row.label != REFUSAL:
            continue
        tokens = tokenize([row.response])
        cut = cut_at_refusal(tokens, lexicon.find(tokens))
        end = character(row.response, int(cut.end[0])) + 1
        if cut.early[0] and end <= _LONGEST_LEAD:
            lead = row.response[:end].strip()
            found.append(lead if lead.endswith((".", "!", "?")) else f"{lead.rstrip(',;: ')}.")
    return sorted(set(found))


def _sentences(text: str, count: int) -> str:
    return " ".join([part for part in _SENTENCE.split(text) if part][:count])


def _cropped(rows: Sequence[Row], chance: random.Random) -> Iterator[Row]:
    """Answers as short as those of small models or terse prompts."""
    for row in rows:
        if chance.random() < 0.4:
            text = _sentences(row.response, chance.randint(1, 3))
            if len(text) > 20:
                yield replace(row, response=text, source=f"short_{row.source}", factor=0.7)


def _joined(lead: str, row: Row, chance: random.Random) -> Row:
    """A refusal, then what was asked after all: whole, or its first sentences."""
    answer = row.response if chance.random() < 0.4 else _sentences(row.response, chance.randint(1, 5))
    text = lead + chance.choice((" ", "\n", "\n\n", "\n\n")) + answer
    return replace(row, response=text, label=REFUSE_THEN_COMPLY, source=f"joined_{row.source}", factor=0.7)


def _repeated(rows: Sequence[Row], chance: random.Random) -> Iterator[Row]:
    """Refusals that go on and on, as small and damaged models write them: long, yet nothing is given."""
    for row in rows:
        if chance.random() < 0.15:
            others = [chance.choice(rows).response for _ in range(chance.randint(0, 2))]
            turns = [row.response, *others] * chance.randint(1, 6)
            text = chance.choice(("", " ", "\n", "\n\n", "assistant\n\n")).join(turns)[:2000]
            yield replace(row, response=text, source=f"repeated_{row.source}", factor=0.3)


def _turned(lead: str, row: Row, chance: random.Random) -> Row:
    """What was asked, and a refusal to go on: declines part and gives part."""
    text = _sentences(row.response, chance.randint(3, 8)) + chance.choice((" ", "\n\n")) + lead
    return replace(row, response=text, label=PARTIAL, source=f"turned_{row.source}", factor=0.5)


def _regretting(rows: Sequence[Row], chance: random.Random) -> Iterator[Row]:
    """A regret about the asker's trouble, or about a mistake, then the answer: nothing is refused."""
    for row in rows:
        if chance.random() < 0.08:
            answer = row.response if chance.random() < 0.4 else _sentences(row.response, chance.randint(1, 4))
            text = f"{chance.choice(REGRETS)}{chance.choice((' ', ' ', chr(10) * 2))}{answer}"
            yield replace(row, response=text, source=f"regret_{row.source}", factor=0.6)


def _quoting(rows: Sequence[Row], leads: Sequence[str], chance: random.Random) -> Iterator[Row]:
    """Refusal wording that somebody else says, in quotes or in code, within an answer."""
    for row in rows:
        if chance.random() < 0.06:
            frame = chance.choice(CODE_FRAMES if chance.random() < 0.3 else QUOTE_FRAMES)
            parts = [part for part in _SENTENCE.split(row.response) if part][: chance.randint(2, 9)]
            parts.insert(chance.randint(0, min(2, len(parts))), frame.format(chance.choice(leads)))
            yield replace(row, response="\n".join(parts), source=f"quoting_{row.source}", factor=0.6)


def _bridged(rows: Sequence[Row], leads: Sequence[str], chance: random.Random) -> Iterator[Row]:
    """A refusal that announces what follows: a part of what was asked, or all of it."""
    for row in rows:
        if chance.random() < 0.16:
            whole = chance.random() < 0.5
            given = _sentences(row.response, chance.randint(1, 6) if whole else chance.randint(1, 3))
            bridge = chance.choice(WHOLE_BRIDGES if whole else PART_BRIDGES)
            given = given if bridge.endswith((":", ".")) else given[:1].lower() + given[1:]
            text = f"{chance.choice(leads)}{chance.choice((' ', chr(10) * 2))}{bridge} {given}"
            label, factor = (REFUSE_THEN_COMPLY, 0.7) if whole else (PARTIAL, 0.4)
            yield replace(row, response=text, label=label, source=f"bridged_{row.source}", factor=factor)


def doubled(rows: Sequence[Row], seed: int) -> Iterator[Row]:
    """Two speakers under headings of their own: the second gives what the first refuses, refuses it too, or goes on.

    For the encoder alone: the linear model finds fewer real reversals with them (GPTFuzz, F1 .79 instead of .80).
    """
    chance = random.Random(seed)
    leads = _leads(rows)
    for row in rows if leads else ():
        if row.label == COMPLIANCE and chance.random() < 0.25:
            eager = f"{chance.choice(EAGER)} " if chance.random() < 0.4 else ""
            second = eager + _sentences(row.response, chance.randint(1, 8))
            text = _under_headings(chance.choice(leads), second, chance)
            yield replace(row, response=text, label=REFUSE_THEN_COMPLY, source=f"doubled_{row.source}")
        elif row.label == COMPLIANCE and chance.random() < 0.08:
            parts = [part for part in _SENTENCE.split(row.response) if part][:10]
            middle = (len(parts) + 1) // 2
            text = _under_headings(" ".join(parts[:middle]), " ".join(parts[middle:]), chance)
            yield replace(row, response=text, source=f"doubled_{row.source}")
        elif row.label == REFUSAL and chance.random() < 0.15:
            text = _under_headings(chance.choice(leads), row.response, chance)
            yield replace(row, response=text, source=f"doubled_{row.source}")


def _under_headings(first: str, second: str, chance: random.Random) -> str:
    frame = chance.choice(TAG_FRAMES)
    one, two = (frame.format(name) for name in chance.sample(NAMES, 2))
    gap = chance.choice((" ", " ", "\n"))
    return f"{one}{gap}{first}{chance.choice((chr(10), chr(10) * 2))}{two}{gap}{second}"
