"""The six LoRA operations of vLLM's CPU path, computed per adapter slot instead of per token.

Tokens are grouped by the slot of their adapter and each group is one matrix product. Slot -1
means "no adapter": its rows are left at zero by a shrink and untouched by an expand. Signatures
are vLLM's (`vllm/lora/ops/torch_ops/lora_ops.py`, 0.32.0).
"""

from collections.abc import Iterator

import torch
from torch import Tensor


def _groups(slots: Tensor) -> Iterator[tuple[int, Tensor | None]]:
    """Yield (slot, row numbers); None stands for "all rows", which saves the copies."""
    present = torch.unique(slots).tolist()
    if len(present) == 1:
        if present[0] >= 0:
            yield int(present[0]), None
        return
    for slot in present:
        if slot >= 0:
            yield int(slot), torch.nonzero(slots == slot).flatten()


def _weights(stacked: Tensor, slot: int, dtype: torch.dtype) -> Tensor:
    chosen = stacked[slot]
    if chosen.dim() == 3:
        chosen = chosen.squeeze(0)
    return chosen.to(dtype)


def bgmv_shrink(
    inputs: Tensor,
    lora_b_weights: Tensor,
    output_tensor: Tensor,
    lora_indices_tensor: Tensor,
    scaling: float = 1.0,
) -> None:
    """output[token] = scaling * A[slot of token] @ input[token]."""
    rank = lora_b_weights.shape[-2]
    output_tensor[:, :rank] = 0
    for slot, rows in _groups(lora_indices_tensor):
        weights = _weights(lora_b_weights, slot, inputs.dtype)
        chosen = inputs if rows is None else inputs[rows]
        product = (chosen @ weights.T).to(output_tensor.dtype) * scaling
        if rows is None:
            output_tensor[:, :rank] = product
        else:
            output_tensor[rows, :rank] = product


def bgmv_expand_slice(
    inputs: Tensor,
    lora_b_weights: Tensor,
    output_tensor: Tensor,
    lora_indices_tensor: Tensor,
    slice_offset: int,
    slice_size: int,
    add_inputs: bool = True,
) -> None:
    """output[token, slice] (+)= B[slot of token] @ input[token]."""
    for slot, rows in _groups(lora_indices_tensor):
        weights = _weights(lora_b_weights, slot, output_tensor.dtype)[:slice_size]
        end = slice_offset + weights.shape[0]
        chosen = inputs if rows is None else inputs[rows]
        product = chosen.to(output_tensor.dtype) @ weights.T
        picked = slice(None) if rows is None else rows
        if add_inputs:
            product = product + output_tensor[picked, slice_offset:end]
        output_tensor[picked, slice_offset:end] = product


def bgmv_expand(
    inputs: Tensor,
    lora_b_weights: Tensor,
    output_tensor: Tensor,
    lora_indices_tensor: Tensor,
    add_inputs: bool = True,
) -> None:
    """As `bgmv_expand_slice` over the whole output; adapter and model may be padded unequally."""
    size = min(lora_b_weights.shape[-2], output_tensor.shape[1])
    bgmv_expand_slice(inputs, lora_b_weights, output_tensor, lora_indices_tensor, 0, size, add_inputs)


def _per_token(lora_indices_tensor: Tensor, seq_len_tensor: Tensor) -> Tensor:
    return torch.repeat_interleave(lora_indices_tensor, seq_len_tensor)


def sgmv_shrink(
    inputs: Tensor,
    lora_a_weights: Tensor,
    output_tensor: Tensor,
    b_seq_start_loc: Tensor,
    seq_len_tensor: Tensor,
    lora_indices_tensor: Tensor,
    batches: int,
    max_seq_length: int,
    token_nums: int,
    scaling: float,
) -> None:
    """`bgmv_shrink` with one slot per sequence."""
    slots = _per_token(lora_indices_tensor, seq_len_tensor)
    bgmv_shrink(inputs, lora_a_weights, output_tensor, slots, scaling)


def sgmv_expand(
    inputs: Tensor,
    lora_b_weights: Tensor,
    output_tensor: Tensor,
    b_seq_start_loc: Tensor,
    seq_len_tensor: Tensor,
    lora_indices_tensor: Tensor,
    batches: int,
    max_seq_length: int,
    token_nums: int,
    add_inputs: bool = False,
) -> None:
    """`bgmv_expand` with one slot per sequence."""
    slots = _per_token(lora_indices_tensor, seq_len_tensor)
    bgmv_expand(inputs, lora_b_weights, output_tensor, slots, add_inputs)


def sgmv_expand_slice(
    inputs: Tensor,
    lora_b_weights: Tensor,
    output_tensor: Tensor,
    b_seq_start_loc: Tensor,
    seq_len_tensor: Tensor,
    lora_indices_tensor: Tensor,
    batches: int,
    max_seq_length: int,
    token_nums: int,
    slice_offset: int,
    slice_size: int,
    add_inputs: bool = False,
) -> None:
    """`bgmv_expand_slice` with one slot per sequence."""
    slots = _per_token(lora_indices_tensor, seq_len_tensor)
    bgmv_expand_slice(inputs, lora_b_weights, output_tensor, slots, slice_offset, slice_size, add_inputs)
