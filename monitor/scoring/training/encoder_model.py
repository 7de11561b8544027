"""The encoder as a torch module: MiniLM's layers with a head for the four outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, HEADS, LAYERS, INNER, POSITIONS = 384, 12, 6, 1536, 512
OUTCOMES = 4


class Layer(nn.Module):
    """One transformer layer, normalised after each residual sum (Devlin et al. 2018)."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.mixed = nn.Linear(WIDTH, 3 * WIDTH)
        self.attended = nn.Linear(WIDTH, WIDTH)
        self.attended_norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.widened = nn.Linear(WIDTH, INNER)
        self.narrowed = nn.Linear(INNER, WIDTH)
        self.narrowed_norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """`hidden`: texts x tokens x width; `mask`: texts x 1 x 1 x tokens, 0 or a large negative number."""
        texts, tokens, _ = hidden.shape
        mixed = self.mixed(hidden).view(texts, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        attended = self.attend(mixed[0], mixed[1], mixed[2], mask).transpose(1, 2).reshape(texts, tokens, WIDTH)
        hidden = self.attended_norm(hidden + self.dropout(self.attended(attended)))
        inner = self.narrowed(functional.gelu(self.widened(hidden)))
        normed: Tensor = self.narrowed_norm(hidden + self.dropout(inner))
        return normed

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """Scaled dot products; the fused form is faster in training, the plain one exports to plain operators."""
        if self.training:
            fused: Tensor = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask.to(query.dtype))
            return fused
        scores = query @ key.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5 + mask
        plain: Tensor = torch.softmax(scores, dim=-1) @ value
        return plain


class EncoderModel(nn.Module):
    """Token ids to logits of the four outcomes."""

    def __init__(self, words: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.words = nn.Embedding(words, WIDTH)
        self.places = nn.Parameter(torch.zeros(POSITIONS, WIDTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList([Layer(dropout) for _ in range(LAYERS)])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * WIDTH, OUTCOMES)

    def forward(self, ids: Tensor) -> Tensor:
        """`ids`: texts x tokens, 0 for padding. Texts x outcomes."""
        present = (ids != 0).to(self.places.dtype)
        mask = ((1 - present) * -1e4)[:, None, None, :]
        hidden = self.dropout(self.norm(self.words(ids) + self.places[: ids.shape[1]]))
        for layer in self.layers:
            hidden = layer(hidden, mask)
        mean = (hidden * present[:, :, None]).sum(dim=1) / present.sum(dim=1, keepdim=True)
        logits: Tensor = self.head(self.dropout(torch.cat([hidden[:, 0], mean], dim=1)))
        return logits


def load_base(folder: Path, kept: list[int], seed: int) -> EncoderModel:
    """MiniLM's published weights for the kept words of its vocabulary, and a new head."""
    from safetensors.torch import load_file

    torch.manual_seed(seed)
    base: dict[str, Tensor] = load_file(folder / "model.safetensors")
    model = EncoderModel(len(kept))
    state: dict[str, Any] = model.state_dict()
    state["words.weight"] = base["embeddings.word_embeddings.weight"][kept]
    state["places"] = base["embeddings.position_embeddings.weight"] + base["embeddings.token_type_embeddings.weight"][0]
    for end, name in (("weight", "norm.weight"), ("bias", "norm.bias")):
        state[name] = base[f"embeddings.LayerNorm.{end}"]
    for number in range(LAYERS):
        theirs, ours = f"encoder.layer.{number}.", f"layers.{number}."
        for end in ("weight", "bias"):
            parts = [base[f"{theirs}attention.self.{part}.{end}"] for part in ("query", "key", "value")]
            state[f"{ours}mixed.{end}"] = torch.cat(parts)
            state[f"{ours}attended.{end}"] = base[f"{theirs}attention.output.dense.{end}"]
            state[f"{ours}attended_norm.{end}"] = base[f"{theirs}attention.output.LayerNorm.{end}"]
            state[f"{ours}widened.{end}"] = base[f"{theirs}intermediate.dense.{end}"]
            state[f"{ours}narrowed.{end}"] = base[f"{theirs}output.dense.{end}"]
            state[f"{ours}narrowed_norm.{end}"] = base[f"{theirs}output.LayerNorm.{end}"]
    model.load_state_dict(state)
    return model
