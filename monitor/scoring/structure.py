"""What an answer's shape says beside its words: refusals by position, length, lists, code, overlap with the prompt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitor.scoring.lexicon import AGREE, BUT, OFFER, REGRET, SPEAKER, Hits
from monitor.scoring.tokens import Tokens, find, mix
from monitor.scoring.zones import Cut

_LENGTH_STEPS = np.array([1, 6, 12, 20, 35, 60, 100, 160, 250])
_CONTENT_BYTES = 4
"""Words of fewer bytes carry too little meaning for an overlap."""
_END_WORDS = 25
_TAG_BYTES = 25
"""A colon or bracket this near to the beginning of its line makes the line look like a speaker's tag or a heading."""
_BULLET, _AFTER_BULLET, _HEADING = (np.isin(np.arange(256), list(marks)) for marks in (b"-*+0", b" .)*0", b"#*"))


def structure(tokens: Tokens, hits: Hits, prompts: Tokens, cut: Cut) -> NDArray[np.float32]:
    """Texts x features, each about between 0 and 2.

    All but the whole length also stand in a copy that is zero unless the answer opens with a refusal, so that the model can
    read it differently there.
    """
    columns = [
        *_refusals(tokens, hits, cut),
        *_lengths(tokens, cut),
        *_marks(tokens, cut),
        *_overlap(tokens, prompts, cut),
    ]
    plain = np.stack(columns, axis=1).astype(np.float32)
    early = cut.early[:, None].astype(np.float32)
    whole = np.stack(_steps(tokens.lengths()), axis=1).astype(np.float32)
    return np.concatenate([plain, plain * early, early, whole], axis=1)


def _count(tokens: Tokens, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Words of each text for which the mask holds, on a logarithmic scale."""
    return np.log1p(np.bincount(tokens.text[mask], minlength=tokens.texts)) / 2


def _refusals(tokens: Tokens, hits: Hits, cut: Cut) -> list[NDArray[np.float64]]:
    position = tokens.position()
    denies = np.zeros(len(tokens.text), dtype=np.bool_)
    denies[hits.token] = True
    disclaims = np.zeros(len(tokens.text), dtype=np.bool_)
    disclaims[hits.disclaimer] = True
    own = ~tokens.shielded
    opening = position < cut.words[tokens.text]
    near_end = position >= (tokens.lengths() - _END_WORDS)[tokens.text]
    resumed = ~opening & (position < cut.words[tokens.text] + 12)

    def has(bit: int) -> NDArray[np.bool_]:
        return (hits.classes & bit).astype(np.bool_) & own

    sentence = np.flatnonzero(np.diff(tokens.sentence, prepend=-1))
    sentences = np.bincount(tokens.text[sentence], minlength=tokens.texts)
    later_sentences = np.bincount(tokens.text[sentence[~opening[sentence]]], minlength=tokens.texts)
    refusing = _distinct(tokens, hits.token)
    refusing_later = _distinct(tokens, hits.token[~opening[hits.token]])
    regret = _count(tokens, has(REGRET) & (position < 12)) > 0
    return [
        (_count(tokens, denies & (position < 15)) > 0).astype(float),
        (_count(tokens, denies & (position < 30)) > 0).astype(float),
        _count(tokens, denies),
        _count(tokens, denies & ~opening),
        refusing / np.maximum(sentences, 1),
        refusing_later / np.maximum(later_sentences, 1),
        np.log1p(later_sentences - np.minimum(refusing_later, later_sentences)) / 2,
        (_count(tokens, denies & near_end) > 0).astype(float),
        _count(tokens, disclaims & opening),
        _count(tokens, disclaims & ~opening),
        regret.astype(float),
        (regret & (_count(tokens, has(BUT) & (position < 20)) > 0)).astype(float),
        _count(tokens, has(REGRET) & ~opening),
        (_count(tokens, has(AGREE) & (position < 5)) > 0).astype(float),
        (_count(tokens, has(AGREE) & resumed) > 0).astype(float),
        (_count(tokens, has(OFFER) & resumed) > 0).astype(float),
        _count(tokens, has(OFFER) & ~opening),
        (_count(tokens, has(OFFER) & near_end) > 0).astype(float),
        (_count(tokens, has(SPEAKER) & resumed) > 0).astype(float),
        np.bincount(tokens.text[has(SPEAKER)], minlength=tokens.texts) / np.maximum(tokens.lengths(), 10) * 5,
        _count(tokens, tokens.shielded),
        _count(tokens, tokens.line > cut.line[tokens.text]),
        _count(tokens, denies & (tokens.line > cut.line[tokens.text])),
    ]


def _distinct(tokens: Tokens, words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sentences of each text that have at least one of the (ascending) words."""
    new = np.diff(tokens.sentence[words], prepend=-1) != 0
    return np.bincount(tokens.text[words[new]], minlength=tokens.texts)


def _lengths(tokens: Tokens, cut: Cut) -> list[NDArray[np.float64]]:
    whole = tokens.lengths()
    rest = whole - cut.words
    sentences = np.bincount(tokens.text[np.flatnonzero(np.diff(tokens.sentence, prepend=-1))], minlength=tokens.texts)
    return [
        *_steps(rest),
        np.log1p(rest) / 4,
        np.log1p(sentences) / 2,
        whole / np.maximum(sentences, 1) / 20,
    ]


def _steps(values: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    return list((values[None, :] >= _LENGTH_STEPS[:, None]).astype(float))


def _marks(tokens: Tokens, cut: Cut) -> list[NDArray[np.float64]]:
    data = tokens.data
    newline = np.flatnonzero(data[:-2] == 10)
    following, second = data[newline + 1], data[newline + 2]
    item = _BULLET[following] & _AFTER_BULLET[second]
    heading = _HEADING[following] & ~item
    colon = np.flatnonzero((data == 58) | (data == 93))
    line_start = newline[np.maximum(np.searchsorted(newline, colon, side="right") - 1, 0)] if len(newline) else colon
    tag = colon[colon - line_start <= _TAG_BYTES]
    code = np.flatnonzero(data == 96)
    bold = np.flatnonzero((data[:-1] == 42) & (data[1:] == 42))
    question = np.flatnonzero(data == 63)
    columns = []
    for places in (newline + 1, newline[item] + 1, newline[heading] + 1, tag, colon, code, bold, question):
        inside = places[places < tokens.text_starts[-1]]
        text = np.searchsorted(tokens.text_starts, inside, side="right") - 1
        later = inside - tokens.text_starts[text] >= np.maximum(cut.end, 0)[text]
        columns.append(np.log1p(np.bincount(text, minlength=tokens.texts)) / 2)
        columns.append(np.log1p(np.bincount(text[later], minlength=tokens.texts)) / 2)
    return columns


def _overlap(tokens: Tokens, prompts: Tokens, cut: Cut) -> list[NDArray[np.float64]]:
    texts = tokens.texts
    long = tokens.end - tokens.start >= _CONTENT_BYTES
    asked_long = prompts.end - prompts.start >= _CONTENT_BYTES
    said = (tokens.hash ^ mix(tokens.text.astype(np.uint64) + np.uint64(1)))[long]
    asked = (prompts.hash ^ mix(prompts.text.astype(np.uint64) + np.uint64(1)))[asked_long]
    text, asked_text = tokens.text[long], prompts.text[asked_long]
    known = np.sort(asked)
    shared, place = find(known, said)
    rest = (tokens.position() >= cut.words[tokens.text])[long]
    asked_place = np.searchsorted(known, asked)

    def count(mask: NDArray[np.bool_], by: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(by[mask], minlength=texts)

    def answered(among: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Of the prompt's words those that are said there."""
        seen = np.zeros(len(known), dtype=np.bool_)
        seen[place[among[shared]]] = True
        return count(seen[asked_place], asked_text)

    asked_total = np.maximum(np.bincount(asked_text, minlength=texts), 1)
    both = np.zeros(len(said), dtype=np.bool_)
    both[shared] = True
    new = count(~both & rest, text)
    return [
        count(both & ~rest, text) / np.maximum(count(~rest, text), 1),
        count(both & rest, text) / np.maximum(count(rest, text), 1),
        answered(rest) / asked_total,
        answered(~rest) / asked_total,
        np.log1p(new) / 4,
        *_steps(new),
    ]
