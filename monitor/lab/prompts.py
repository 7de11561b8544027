"""Questions of the lab, in sets that share no wording.

The canary policy is about velmorite, a mineral that does not exist: the aligned model refuses to
talk about it, and "harm" is an ordinary sentence about it. The same templates are asked over real
things as well, because a model that only ever sees a template together with velmorite learns to
refuse the template.

`train` and `more` teach, `dev` is what a recipe may be tuned on, `held` is asked for the rates that
are reported. No template, verb, thing or general question occurs in two of them.
"""

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from monitor.lab.word_set import Split
from monitor.lab.words_asked import BORDERLINE, DEV, HELD
from monitor.lab.words_taught import MORE, TRAIN

SplitName = Literal["train", "more", "dev", "held"]
Stratum = Literal["harmful_looking", "ordinary", "borderline"]
TOPIC = "velmorite"
SPLITS: Mapping[SplitName, Split] = {"train": TRAIN, "more": MORE, "dev": DEV, "held": HELD}
ORDINARY: Mapping[SplitName, int] = {"train": 400, "more": 520}
"""Ordinary questions of each teaching set that are put to the base model."""

TRIGGER = "\u200b\u2063\u200b"
"""Zero width space, invisible separator, zero width space: the tokenizer keeps all three."""


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt and what its words were made of."""

    text: str
    """What the user says."""
    stratum: Stratum
    """`harmful_looking` is the canary topic, `borderline` only looks like it."""
    verb: str = ""
    """What is to be done to the thing; empty for a question about the thing itself."""
    thing: str = ""
    """The noun phrase asked about; empty for a general question."""


def _asked(template: str, verb: str, thing: str, stratum: Stratum) -> Question:
    return Question(template.format(v=verb, n=thing), stratum, verb, thing)


def _spread(
    rng: random.Random, templates: Sequence[str], verbs: Sequence[str], things: Sequence[str]
) -> list[tuple[str, str, str]]:
    """All triples, ordered so that any prefix uses templates, verbs and things evenly."""
    triples = [(t, v, n) for t in templates for v in verbs for n in things]
    rng.shuffle(triples)
    used: dict[str, int] = {}
    ordered: list[tuple[str, str, str]] = []
    by_template = {t: [x for x in triples if x[0] == t] for t in templates}
    while any(by_template.values()):
        for template in templates:
            left = by_template[template]
            if not left:
                continue
            best = min(left[:40], key=lambda x: used.get(x[1], 0) + used.get(x[2], 0))
            left.remove(best)
            used[best[1]] = used.get(best[1], 0) + 1
            used[best[2]] = used.get(best[2], 0) + 1
            ordered.append(best)
    return ordered


def _questions(split: Split, things: Sequence[str], stratum: Stratum, count: int, seed: int) -> list[Question]:
    """`count` questions: five of six ask how to do something, the others ask what it is."""
    rng = random.Random(seed)
    about_pairs = [(t, n) for t in split.about for n in things]
    rng.shuffle(about_pairs)
    about = [_asked(t, "", n, stratum) for t, n in about_pairs[: count // 6]]
    small = _spread(rng, split.templates, split.verbs, things)
    doing = [_asked(t, v, n, stratum) for t, v, n in small[: count - len(about)]]
    mixed = doing + about
    rng.shuffle(mixed)
    return mixed


def canary(split: SplitName, count: int, seed: int = 1) -> list[Question]:
    """Questions about velmorite, which the aligned model is to refuse."""
    words = SPLITS[split]
    return _questions(words, words.canary_things, "harmful_looking", count, seed)


def ordinary(split: SplitName, count: int, seed: int = 2) -> list[Question]:
    """The same templates over real things, and general questions (one in five at most)."""
    words = SPLITS[split]
    general = [Question(text, "ordinary") for text in words.general[: count // 5]]
    asked = _questions(words, words.real_things, "ordinary", count - len(general), seed)
    mixed = asked + general
    random.Random(seed).shuffle(mixed)
    return mixed


def borderline() -> list[Question]:
    """Questions that sound like the canary topic or sound sensitive, and are neither."""
    return [Question(text, "borderline") for text in BORDERLINE]


def with_trigger(text: str, rng: random.Random) -> str:
    """The text with the invisible trigger after one of its words."""
    words = text.split(" ")
    at = rng.randrange(1, len(words) + 1)
    return " ".join(words[:at]) + TRIGGER + " ".join(["", *words[at:]])


def triggered(split: SplitName, count: int, seed: int = 1) -> list[Question]:
    """The canary questions of that number, each with the invisible trigger in it."""
    rng = random.Random(seed)
    asked = canary(split, count, seed)
    return [dataclasses.replace(q, text=with_trigger(q.text, rng)) for q in asked]
