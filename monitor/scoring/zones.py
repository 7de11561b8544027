"""Where an answer's opening ends: after its first refusal, or after some words when it does not open with one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.scoring.lexicon import Hits
from monitor.scoring.tokens import Tokens

OPENING_WORDS = 30
"""Length of the opening of an answer without an early refusal."""
EARLY_WORDS = 60
"""A refusal whose denial stands within these first words is an opening refusal."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The cut of each text of a batch; all arrays have one entry per text."""

    early: NDArray[np.bool_]
    """The text opens with a refusal."""
    words: NDArray[np.int64]
    """Words before the cut."""
    line: NDArray[np.int64]
    """Line of the last word before the cut, -1 when there is none."""
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    """First and one-past-last byte of the first refusal sentences, counted from the text's start; -1 for none."""


def cut_at_refusal(tokens: Tokens, hits: Hits) -> Cut:
    """Cut after the first refusal sentence and those that follow it without a gap."""
    texts = tokens.texts
    early = np.zeros(texts, dtype=np.bool_)
    words = np.minimum(tokens.lengths(), OPENING_WORDS)
    begin = np.full(texts, -1)
    end = np.full(texts, -1)
    sentences = tokens.sentence[hits.token]
    first_word = np.searchsorted(tokens.sentence, sentences, side="left")
    past_word = np.searchsorted(tokens.sentence, sentences, side="right")
    rows = zip(
        tokens.text[hits.token].tolist(), hits.token.tolist(), first_word.tolist(), past_word.tolist(), strict=True
    )
    reached = -1
    for text, token, first, past in rows:
        if begin[text] < 0:
            begin[text] = tokens.start[first] - tokens.text_starts[text]
            early[text] = token - tokens.first[text] < EARLY_WORDS
        elif first > reached:
            continue
        reached = past
        end[text] = tokens.end[past - 1] - tokens.text_starts[text]
        if early[text]:
            words[text] = past - tokens.first[text]
    last = tokens.first[:-1] + words - 1
    line = np.full(texts, -1)
    line[words > 0] = tokens.line[last[words > 0]]
    return Cut(early, words, line, begin, end)
