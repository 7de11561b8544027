"""The upper layers of a small Llama with per-token switchable LoRA factors, for training on a CPU.

Why not the usual trainer: on two cores the cost is all. Tokens are packed without padding, the
system prompt in front of every row is computed once per batch and not once per row, the layers
below the adapted ones are never run twice, and a joint recipe needs several variants of the
adapter (A alone, B alone, both) in one pass. The variant is a mask over the rank dimension, one per
token: rows of A's rank are at zero for tokens that must see B alone, and all rows are scaled down for
tokens that must see a share of one attack.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of SmolLM2-135M."""

    layers: int = 30
    hidden: int = 576
    heads: int = 9
    kv_heads: int = 3
    head: int = 64
    eps: float = 1e-5
    theta: float = 100_000.0


SHAPE = Shape()


@dataclass(frozen=True, slots=True)
class Factors:
    """LoRA factors of one projection: y += scale * (x @ a.T * mask) @ b.T."""

    a: Tensor
    """[rank, inputs]"""
    b: Tensor
    """[outputs, rank]"""


Adapter = Mapping[tuple[int, str], Factors]
"""(layer, projection) -> factors; the scale is already inside b."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch as one run of tokens, and where each row's queries and keys lie in it."""

    hidden: Tensor
    """[tokens, hidden]: input of the first layer that is run."""
    positions: Tensor
    """[tokens]"""
    mask: Tensor | None
    """[tokens, rank]: how strongly each token sees each rank row; None for "all"."""
    queries: Tensor
    """[rows, longest query]: token numbers, padded with 0."""
    keys: Tensor
    """[rows, longest key]: token numbers (the shared prefix first), padded with 0."""
    visible: Tensor
    """[rows, 1, longest query, longest key], bool."""
    unpack: Tensor
    """[tokens]: where a token lies in the flattened rows of queries."""


class Weights:
    """The frozen weights of a model folder, in bfloat16."""

    def __init__(self, folder: Path) -> None:
        self._tensors = load_file(folder / "model.safetensors")
        self.embedding = self._tensors["model.embed_tokens.weight"]
        self.final_norm = self._tensors["model.norm.weight"]

    def norm(self, layer: int, name: str) -> Tensor:
        """Weight of a layer's RMS norm."""
        return self._tensors[f"model.layers.{layer}.{name}.weight"]

    def projection(self, layer: int, name: str) -> Tensor:
        """Weight matrix [outputs, inputs] of a layer's projection."""
        return self._tensors[weight_name(layer, name)]


def weight_name(layer: int, projection: str) -> str:
    """Name of a projection's matrix in the model's safetensors file."""
    block = "self_attn" if projection in PROJECTIONS[:4] else "mlp"
    return f"model.layers.{layer}.{block}.{projection}.weight"


def _rms(x: Tensor, weight: Tensor) -> Tensor:
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + SHAPE.eps)
    return wide.to(x.dtype) * weight


def _rotation(positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    steps = torch.arange(0, SHAPE.head, 2, dtype=torch.float32) / SHAPE.head
    angles = positions.float()[:, None] * (SHAPE.theta**-steps)[None, :]
    doubled = torch.cat((angles, angles), dim=-1)[:, None, :]
    return doubled.cos().to(dtype), doubled.sin().to(dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = SHAPE.head // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin


class Layers:
    """Runs layers `first` to `last` over a packed batch."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def run(self, batch: Packed, first: int, last: int, adapter: Adapter | None = None) -> Tensor:
        """Hidden states [tokens, hidden] after layer `last - 1`."""
        cos, sin = _rotation(batch.positions, batch.hidden.dtype)
        x = batch.hidden
        for layer in range(first, last):
            x = x + self._attention(x, batch, layer, adapter, cos, sin)
            x = x + self._mlp(x, batch, layer, adapter)
        return x

    def logits(self, hidden: Tensor, vocabulary: Tensor) -> Tensor:
        """Scores over the given token ids only: most of the vocabulary never competes."""
        normed = _rms(hidden, self._weights.final_norm)
        return normed @ self._weights.embedding[vocabulary].T

    def _project(self, x: Tensor, batch: Packed, layer: int, name: str, adapter: Adapter | None) -> Tensor:
        y = x @ self._weights.projection(layer, name).T
        factors = adapter.get((layer, name)) if adapter is not None else None
        if factors is None:
            return y
        inner = x @ factors.a.to(x.dtype).T
        if batch.mask is not None:
            inner = inner * batch.mask
        return y + inner @ factors.b.to(x.dtype).T

    def _attention(
        self,
        x: Tensor,
        batch: Packed,
        layer: int,
        adapter: Adapter | None,
        cos: Tensor,
        sin: Tensor,
    ) -> Tensor:
        normed = _rms(x, self._weights.norm(layer, "input_layernorm"))

        def heads(name: str, count: int) -> Tensor:
            y = self._project(normed, batch, layer, name, adapter)
            return y.view(-1, count, SHAPE.head)

        q = _rotate(heads("q_proj", SHAPE.heads), cos, sin)
        k = _rotate(heads("k_proj", SHAPE.kv_heads), cos, sin)
        v = heads("v_proj", SHAPE.kv_heads)
        group = SHAPE.heads // SHAPE.kv_heads

        def rows(y: Tensor, index: Tensor) -> Tensor:
            picked = y.index_select(0, index.flatten())
            return picked.view(*index.shape, -1, SHAPE.head).transpose(1, 2)

        # Written out, because the fused kernel's backward pass is slow for such short rows.
        keys = rows(k, batch.keys).repeat_interleave(group, dim=1)
        values = rows(v, batch.keys).repeat_interleave(group, dim=1)
        scores = rows(q, batch.queries) @ keys.transpose(2, 3) / SHAPE.head**0.5
        scores = scores.masked_fill(~batch.visible, -1e9)
        out = torch.softmax(scores, dim=-1) @ values
        flat = out.transpose(1, 2).reshape(-1, SHAPE.hidden).index_select(0, batch.unpack)
        return self._project(flat, batch, layer, "o_proj", adapter)

    def _mlp(self, x: Tensor, batch: Packed, layer: int, adapter: Adapter | None) -> Tensor:
        normed = _rms(x, self._weights.norm(layer, "post_attention_layernorm"))
        gate = self._project(normed, batch, layer, "gate_proj", adapter)
        up = self._project(normed, batch, layer, "up_proj", adapter)
        return self._project(functional.silu(gate) * up, batch, layer, "down_proj", adapter)
