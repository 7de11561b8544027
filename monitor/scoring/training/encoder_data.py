"""Labelled rows to batches of token ids for the encoder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from monitor.scoring.encoder import token_ids
from monitor.scoring.lexicon import Lexicon
from monitor.scoring.passages import Passages, passages
from monitor.scoring.tokens import tokenize
from monitor.scoring.training.corpus import Row
from monitor.scoring.window import character
from monitor.scoring.zones import cut_at_refusal

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_SHORT = 3
_CHUNK = 256


def row_passages(rows: Sequence[Row]) -> list[Passages]:
    """What the encoder reads of each row."""
    lexicon = Lexicon()
    found = []
    for begin in range(0, len(rows), _CHUNK):
        chunk = rows[begin : begin + _CHUNK]
        tokens = tokenize([row.response for row in chunk])
        cut = cut_at_refusal(tokens, lexicon.find(tokens))
        for row, first, last in zip(chunk, cut.begin.tolist(), cut.end.tolist(), strict=True):
            span = None if first < 0 else (character(row.response, first), character(row.response, last))
            found.append(passages(row.prompt, row.response, span))
    return found


def prune(tokenizer_file: Path, seen: Sequence[Passages], least: int = 2) -> tuple[Tokenizer, list[int]]:
    """A tokenizer with only the words that the rows use, and the kept words' former ids in order.

    A word that is gone falls apart into shorter pieces, of which all are kept that have few letters.
    """
    published = json.loads(tokenizer_file.read_text(encoding="utf-8"))
    whole = Tokenizer.from_file(str(tokenizer_file))
    whole.no_padding()
    whole.no_truncation()
    counts: Counter[int] = Counter()
    for texts in seen:
        for encoding in whole.encode_batch([texts.prompt, *texts.answer], add_special_tokens=False):
            counts.update(encoding.ids)
    vocabulary: dict[str, int] = published["model"]["vocab"]
    kept = [
        (word, number)
        for word, number in sorted(vocabulary.items(), key=lambda entry: entry[1])
        if word in _SPECIAL or counts[number] >= least or (word.isascii() and len(word.removeprefix("##")) <= _SHORT)
    ]
    published["model"]["vocab"] = {word: place for place, (word, _) in enumerate(kept)}
    published["added_tokens"] = [
        token | {"id": published["model"]["vocab"][token["content"]]}
        for token in published["added_tokens"]
        if token["content"] in _SPECIAL
    ]
    published["truncation"] = published["padding"] = published["post_processor"] = None
    return Tokenizer.from_str(json.dumps(published)), [number for _, number in kept]


def row_ids(tokenizer: Tokenizer, rows: Sequence[Row]) -> list[list[int]]:
    """The encoder's inputs for rows."""
    return token_ids(tokenizer, row_passages(rows))


def batches(
    ids: Sequence[list[int]], order: NDArray[np.int64], size: int, chance: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Batches of rows of about the same length, in a shuffled order."""
    pools = [order[begin : begin + 24 * size] for begin in range(0, len(order), 24 * size)]
    for pool in pools:
        ordered = pool[np.argsort([len(ids[row]) for row in pool], kind="stable")]
        groups = [ordered[begin : begin + size] for begin in range(0, len(ordered), size)]
        for place in chance.permutation(len(groups)):
            yield groups[place]
