"""Where a text declines to do what was asked: a small grammar over word classes, matched in numpy.

A refusal is a behaviour, so the grammar asks for a speaker (I, we), a denial (cannot, unable, won't) and an act of
helping (assist, provide, answer). Words about a topic (illegal, weapon, drugs) are in no class: a list that counts
those measures what people ask about, not what the model does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.scoring.tokens import Tokens, find, tokenize

(
    SPEAKER,
    DENIAL,
    NOT,
    AUXILIARY,
    HELP,
    DECLINE,
    UNWILLING,
    REGRET,
    AGAINST,
    RULES,
    BUT,
    OFFER,
    AGREE,
    HAVE,
    PERSONAL,
    DO_NOT,
    IT,
) = (1 << bit for bit in range(17))

CLASSES: dict[int, str] = {
    SPEAKER: "i we i'm i'd i'll i've im we're id",
    DENIAL: "cannot can't cant won't couldn't wouldn't shan't mustn't shouldn't wont couldnt",
    NOT: "not never",
    DO_NOT: "don't dont",
    AUXILIARY: "can will could do should must would am shall may be i'm im i'll",
    HELP: "assist help provide fulfill fulfil comply support generate engage offer create write give discuss share "
    "answer respond participate promote encourage condone facilitate complete produce accommodate teach show guide "
    "advise recommend explain describe disclose continue proceed comment satisfy process entertain oblige grant tell suggest "
    "endorse aid speak reproduce reveal fabricate impersonate roleplay translate summarize "
    "contribute draft go do answering helping providing assisting sharing talk",
    DECLINE: "unable decline refuse declining refusing",
    UNWILLING: "able comfortable allowed permitted willing programmed going capable authorized inclined supposed",
    REGRET: "sorry apologize apologise apologies unfortunately afraid regret",
    AGAINST: "against violate violates violating",
    RULES: "programming guidelines policy policies principles values ethics rules terms guideline ethical",
    BUT: "but however",
    OFFER: "instead alternatively alternative alternatives else feel other happy glad",
    AGREE: "sure certainly absolutely here here's okay ok alright gladly",
    HAVE: "have hold possess",
    IT: "it it's its",
    PERSONAL: "personal opinions opinion feelings access beliefs information ability capability real emotions "
    "preferences",
}
"""Class -> its words."""

_SPAN = 8
"""Words looked at on either side of a denial."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Refusal wording found in a batch."""

    token: NDArray[np.int64]
    """Index of the denying word of each refusal, ascending."""
    classes: NDArray[np.int64]
    """Per word of the batch: the classes it belongs to, as bits."""
    disclaimer: NDArray[np.int64]
    """Index of each `don't have (personal opinions)`: a disclaimer, not a refusal."""


class Lexicon:
    """The word classes by hash."""

    def __init__(self) -> None:
        members: dict[int, int] = {}
        for bit, words in CLASSES.items():
            for value in tokenize([words]).hash.tolist():
                members[value] = members.get(value, 0) | bit
        ordered = sorted(members)
        self._hashes = np.array(ordered, dtype=np.uint64)
        self._bits = np.array([members[value] for value in ordered], dtype=np.int64)

    def classes(self, tokens: Tokens) -> NDArray[np.int64]:
        """The class bits of every word."""
        bits = np.zeros(len(tokens.hash), dtype=np.int64)
        found, place = find(self._hashes, tokens.hash)
        bits[found] = self._bits[place]
        return bits

    def find(self, tokens: Tokens) -> Hits:
        """Refusals and disclaimers outside quotes and code."""
        bits = self.classes(tokens)
        candidates = np.flatnonzero(
            (bits & (DENIAL | NOT | DO_NOT | DECLINE | AGAINST)).astype(bool) & ~tokens.shielded
        )
        around = candidates[:, None] + np.arange(-_SPAN, _SPAN + 1)
        inside = (around >= 0) & (around < len(bits))
        around = np.clip(around, 0, max(len(bits) - 1, 0))
        inside &= tokens.sentence[around] == tokens.sentence[candidates][:, None]
        near = np.where(inside, bits[around], 0)
        refused, disclaimed = _match(near, bits[candidates], inside)
        return Hits(candidates[refused], bits, candidates[disclaimed])


def _match(
    near: NDArray[np.int64], own: NDArray[np.int64], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which candidates refuse, which disclaim. Rows: candidates; columns: their neighbours, they in the middle."""

    def before(bit: int, reach: int) -> NDArray[np.bool_]:
        return np.asarray((near[:, _SPAN - reach : _SPAN] & bit != 0).any(axis=1))

    def after(bit: int, reach: int) -> NDArray[np.bool_]:
        return np.asarray((near[:, _SPAN + 1 : _SPAN + 1 + reach] & bit != 0).any(axis=1))

    opens = ~inside[:, _SPAN - 1]
    spoken = before(SPEAKER, 6)
    negated = (own & NOT).astype(bool) & before(AUXILIARY, 2)
    modal = (own & DENIAL).astype(bool) | negated
    help_but = ((near[:, _SPAN + 1] & HELP) != 0) & ((near[:, _SPAN + 2] & BUT) != 0)
    do_not = (own & DO_NOT).astype(bool) & spoken
    acts = ((modal & (spoken | opens)) | do_not) & after(HELP, 4) & ~help_but
    declines = (own & DECLINE).astype(bool) & (spoken | opens)
    unwilling = (((own & NOT).astype(bool) | modal) & (spoken | opens) | do_not) & after(UNWILLING, 3)
    nothing_i_can = (own & NOT).astype(bool) & after(SPEAKER, 4) & after(AUXILIARY | UNWILLING, 5) & after(HELP, 8)
    rules = ((own & AGAINST).astype(bool) & after(RULES, 4)) | (
        (own & NOT).astype(bool) & before(IT, 3) & after(RULES, 6)
    )
    disclaims = (modal | do_not) & spoken & after(HAVE, 2) & after(PERSONAL, 5)
    return (acts & ~disclaims) | declines | unwilling | nothing_i_can | rules, disclaims
