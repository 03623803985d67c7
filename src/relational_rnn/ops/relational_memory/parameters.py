"""The tensors and the constants of a relational memory."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

EPSILON = 1e-5
"""Added to the variance inside every layer norm (Sonnet's value)."""

GateStyle = Literal["unit", "memory"]
GateInputs = Literal["projected", "raw"]


class Options(NamedTuple):
    """The constants of the core.

    Letters used in all shapes: T time, B batch, n input rows, N memory slots, H heads,
    K key size, V head (= value) size, M = H * V memory size, F = H * (2 K + V),
    G gate width (M for ``"unit"``, 1 for ``"memory"``), L layers of the attention MLP.
    """

    num_heads: int
    head_size: int
    key_size: int
    gate_style: GateStyle | None
    forget_bias: float
    input_bias: float
    gate_inputs: GateInputs = "projected"


class Parameters(NamedTuple):
    """The trainable tensors in order of use, stacked over blocks and over layers of the MLP."""

    projection_weight: Tensor  # [M, I]
    projection_bias: Tensor  # [M]
    qkv_weight: Tensor  # [blocks, F, M]
    qkv_bias: Tensor  # [blocks, F]
    qkv_norm_weight: Tensor  # [blocks, F]
    qkv_norm_bias: Tensor  # [blocks, F]
    attention_norm_weight: Tensor  # [blocks, M]
    attention_norm_bias: Tensor  # [blocks, M]
    mlp_weight: Tensor  # [L, M, M], shared by the blocks
    mlp_bias: Tensor  # [L, M]
    mlp_norm_weight: Tensor  # [blocks, M]
    mlp_norm_bias: Tensor  # [blocks, M]
    gate_input_weight: Tensor | None  # [2 G, n M], for raw inputs [2 G, n I]; input gate first
    gate_input_bias: Tensor | None  # [2 G]
    gate_memory_weight: Tensor | None  # [2 G, M]
    gate_memory_bias: Tensor | None  # [2 G]


class Interruptions(NamedTuple):
    """Where the sequences of a batch end, and where they start anew."""

    lengths: Tensor  # [B] int64, steps of each sequence, from 0 to T
    reset: Tensor  # [T, B] bool, whether a sequence starts anew before a step
    initial: Tensor  # [N, M], the memory that it then has


def split_qkv(rows: Tensor, o: Options) -> tuple[Tensor, ...]:
    """Queries ``[..., H, K]``, keys ``[..., H, K]`` and values ``[..., H, V]``, views of rows.

    Args:
        rows: ``[..., F]``; each head has its query, key and value next to each other.
        o: the options.
    """
    heads = rows.view(*rows.shape[:-1], o.num_heads, -1)
    return torch.split_with_sizes(heads, [o.key_size, o.key_size, o.head_size], -1)
