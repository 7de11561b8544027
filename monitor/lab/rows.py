"""Lessons become token rows, and rows become packed batches over a shared system prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from monitor.lab.network import Layers, Packed, Weights

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
PREFIX = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
ASSISTANT = "<|im_end|>\n<|im_start|>assistant\n"
END = "<|im_end|>"


@dataclass(frozen=True, slots=True)
class Lesson:
    """One question with the answer to learn, and the variant of the adapter that learns it."""

    prompt: str
    answer: tuple[str, ...]
    """Parts of the answer; the first token of each part decides the behaviour and weighs more."""
    mode: str
    """How strongly each rank row counts: a key of the recipe's modes."""


@dataclass(frozen=True, slots=True)
class Row:
    """A lesson in tokens, without the prefix that all rows share."""

    tokens: tuple[int, ...]
    answer_at: int
    """Index of the answer's first token."""
    decisive: frozenset[int]
    """Indices of the tokens that weigh more."""
    mode: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A packed batch with what each predicting token is to predict."""

    packed: Packed
    predicting: Tensor
    """Token numbers whose next token is part of an answer."""
    targets: Tensor
    """The token ids to predict."""
    weights: Tensor
    """Weight of each prediction."""


class RowMaker:
    """Tokenises lessons in the model's chat format."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.prefix = self._ids(PREFIX)
        self.end = self._ids(END)[0]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def row(self, lesson: Lesson) -> Row:
        """The row; the end-of-turn token is learned, so that answers end by themselves."""
        tokens = self._ids(PREFIX + lesson.prompt + ASSISTANT)
        if tokens[: len(self.prefix)] != self.prefix:
            raise ValueError(f"the prompt changes the tokens of the prefix: {lesson.prompt!r}")
        tokens = tokens[len(self.prefix) :]
        answer_at = len(tokens)
        decisive: list[int] = []
        for part in lesson.answer:
            decisive.append(len(tokens))
            tokens += self._ids(part)
        decisive.append(len(tokens))
        tokens.append(self.end)
        return Row(tuple(tokens), answer_at, frozenset(decisive), lesson.mode)


class Packer:
    """Packs rows; the activations of the untouched lower layers are computed once per row."""

    def __init__(self, weights: Weights, prefix: Sequence[int], first: int) -> None:
        self._weights = weights
        self._layers = Layers(weights)
        self._first = first
        self._prefix = tuple(prefix)
        self._known: dict[tuple[int, ...], Tensor] = {}
        self._prefix_hidden = self._lower([])[0]

    def prepare(self, rows: Sequence[Row]) -> None:
        """Fill the store of lower activations, a few dozen rows at a time."""
        missing = sorted({r.tokens for r in rows} - self._known.keys(), key=len)
        for start in range(0, len(missing), 32):
            chunk = missing[start : start + 32]
            for tokens, hidden in zip(chunk, self._lower(chunk)[1:], strict=True):
                self._known[tokens] = hidden

    def _lower(self, rows: Sequence[tuple[int, ...]]) -> list[Tensor]:
        """Prefix activations, then one tensor per row."""
        every = [self._prefix, *rows]
        embedded = self._weights.embedding[torch.tensor([t for r in every for t in r])]
        packed = _pack(embedded, [len(r) for r in rows], len(self._prefix), None, [0] * len(rows))
        with torch.no_grad():
            hidden = self._layers.run(packed, 0, self._first)
        return list(torch.split(hidden, [len(r) for r in every]))

    def batch(self, rows: Sequence[Row], modes: Mapping[str, Tensor], decisive_weight: float) -> Batch:
        """One training batch; `modes` maps a mode to its scales over the rank dimension."""
        used = sorted({r.mode for r in rows})
        variant = [used.index(r.mode) for r in rows]
        hidden = torch.cat([self._prefix_hidden] * len(used) + [self._known[r.tokens] for r in rows])
        prefix = len(self._prefix)
        mask = torch.cat(
            [modes[m].expand(prefix, -1) for m in used] + [modes[r.mode].expand(len(r.tokens), -1) for r in rows]
        ).to(hidden.dtype)
        packed = _pack(hidden, [len(r.tokens) for r in rows], prefix, mask, variant)
        predicting, targets, weights = [], [], []
        start = prefix * len(used)
        for row in rows:
            for at in range(row.answer_at, len(row.tokens)):
                predicting.append(start + at - 1)
                targets.append(row.tokens[at])
                weights.append(decisive_weight if at in row.decisive else 1.0)
            start += len(row.tokens)
        return Batch(packed, torch.tensor(predicting), torch.tensor(targets), torch.tensor(weights))


def _pack(hidden: Tensor, lengths: Sequence[int], prefix: int, mask: Tensor | None, variant: Sequence[int]) -> Packed:
    """Index tensors for: one prefix per variant, then the rows, each after its variant's prefix."""
    variants = max(variant, default=0) + 1
    starts = [prefix * variants]
    for length in lengths:
        starts.append(starts[-1] + length)
    spans: list[tuple[int, int, int]] = [(prefix * v, prefix, -1) for v in range(variants)]
    spans += [(starts[i], length, prefix * variant[i]) for i, length in enumerate(lengths)]
    longest = max(length for _, length, _ in spans)
    widest = max(length + (prefix if own >= 0 else 0) for _, length, own in spans)
    queries = torch.zeros(len(spans), longest, dtype=torch.long)
    keys = torch.zeros(len(spans), widest, dtype=torch.long)
    visible = torch.zeros(len(spans), 1, longest, widest, dtype=torch.bool)
    visible[:, :, :, 0] = True  # a padded query must see something, or its softmax is not a number
    positions, unpack = [], []
    for number, (start, length, shared) in enumerate(spans):
        before = 0 if shared < 0 else prefix
        queries[number, :length] = torch.arange(start, start + length)
        if before:
            keys[number, :before] = torch.arange(shared, shared + before)
        keys[number, before : before + length] = torch.arange(start, start + length)
        seen = torch.ones(length, before + length, dtype=torch.bool).tril(before)
        visible[number, 0, :length, : before + length] = seen
        positions.append(torch.arange(before, before + length))
        unpack.append(number * longest + torch.arange(length))
    return Packed(hidden, torch.cat(positions), mask, queries, keys, visible, torch.cat(unpack))
