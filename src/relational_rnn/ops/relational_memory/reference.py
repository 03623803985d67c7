"""The reference: one step of the relational memory, and a loop over time.

Written for reading. It follows DeepMind's Sonnet v1 at commit 989e397
(``sonnet/python/modules/relational_memory.py``) operation by operation and, like the original,
carries the input rows through every block. The equations are in README.md in this folder.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .parameters import EPSILON, Interruptions, Options, Parameters


class Step(NamedTuple):
    """Everything that one step computes."""

    memory: Tensor  # [B, N, M], after the step
    attention: Tensor  # [blocks, B, H, N + n, N + n], rows are queries, memory before input
    input_gate: Tensor | None  # [B, N, G], after the sigmoid
    forget_gate: Tensor | None  # [B, N, G]


def attend(rows: Tensor, block: int, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """Multi-head attention of all rows over all rows (paper, equation 1).

    Args:
        rows: ``[B, R, M]``.
        block: which block's weights to use.
        p: the parameters.
        o: the options.

    Returns:
        The attended values ``[B, R, M]`` and the attention weights ``[B, H, R, R]``.
    """
    qkv = F.linear(rows, p.qkv_weight[block], p.qkv_bias[block])  # [B, R, F]
    qkv = F.layer_norm(
        qkv, qkv.shape[-1:], p.qkv_norm_weight[block], p.qkv_norm_bias[block], EPSILON
    )
    heads = o.num_heads, 2 * o.key_size + o.head_size
    qkv = qkv.view(*rows.shape[:2], *heads).transpose(1, 2)  # [B, H, R, 2 K + V]
    query, key, value = torch.split(qkv, [o.key_size, o.key_size, o.head_size], dim=-1)
    scores = (query * o.key_size**-0.5) @ key.transpose(-1, -2)  # [B, H, R, R]
    weights = scores.softmax(-1)
    return (weights @ value).transpose(1, 2).flatten(2), weights


def mlp(rows: Tensor, p: Parameters) -> Tensor:
    """The row-wise MLP ``[B, R, M]`` to ``[B, R, M]``: ReLU between layers, none after the last."""
    layers = len(p.mlp_weight)
    for layer in range(layers):
        rows = F.linear(rows, p.mlp_weight[layer], p.mlp_bias[layer])
        if layer < layers - 1:
            rows = rows.relu()
    return rows


def step(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> Step:
    """One step of the memory.

    Args:
        inputs: ``[B, n, I]``.
        memory: ``[B, N, M]``, not modified.
        p: the parameters.
        o: the options.

    Returns:
        The next memory, with the attention weights and the gates.
    """
    slots, size = memory.shape[1:]
    projected = F.linear(inputs, p.projection_weight, p.projection_bias)  # [B, n, M]
    rows = torch.cat((memory, projected.to(memory.dtype)), dim=1)  # [B, N + n, M]
    attention = []
    for block in range(len(p.qkv_weight)):
        attended, weights = attend(rows, block, p, o)
        attention.append(weights)
        rows = F.layer_norm(
            rows + attended,
            (size,),
            p.attention_norm_weight[block],
            p.attention_norm_bias[block],
            EPSILON,
        )
        rows = F.layer_norm(
            mlp(rows, p) + rows, (size,), p.mlp_norm_weight[block], p.mlp_norm_bias[block], EPSILON
        )
    candidate = rows[:, :slots]  # the input rows are dropped
    if o.gate_style is None:
        return Step(candidate.to(memory.dtype), torch.stack(attention), None, None)

    assert p.gate_input_weight is not None
    assert p.gate_memory_weight is not None
    gates = F.linear(memory.tanh(), p.gate_memory_weight, p.gate_memory_bias)  # [B, N, 2 G]
    read = inputs if o.gate_inputs == "raw" else projected
    from_input = F.linear(read.flatten(1), p.gate_input_weight, p.gate_input_bias)
    input_gate, forget_gate = (gates + from_input[:, None]).chunk(2, dim=-1)
    input_gate = (input_gate + o.input_bias).sigmoid()
    forget_gate = (forget_gate + o.forget_bias).sigmoid()
    memory = input_gate * candidate.tanh() + forget_gate * memory
    return Step(memory, torch.stack(attention), input_gate, forget_gate)


def unroll(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """All steps, in a loop.

    Args:
        inputs: ``[T, B, n, I]``.
        memory: ``[B, N, M]``.
        p: the parameters.
        o: the options.

    Returns:
        The memory after each step ``[T, B, N, M]`` and after the last ``[B, N, M]``.
    """
    memories = []
    for row in inputs.unbind(0):
        memory = step(row, memory, p, o).memory
        memories.append(memory)
    return torch.stack(memories), memory


def unroll_masked(
    inputs: Tensor, memory: Tensor, p: Parameters, o: Options, interruptions: Interruptions
) -> tuple[Tensor, Tensor]:
    """All steps of sequences that end early or start anew, in a loop.

    Args:
        inputs: ``[T, B, n, I]``.
        memory: ``[B, N, M]``.
        p: the parameters.
        o: the options.
        interruptions: where sequences end or start anew.

    Returns:
        The memory after each step ``[T, B, N, M]``, zeros after the end of a sequence, and the
        memory after the last step of each sequence ``[B, N, M]``.
    """
    lengths, reset, initial = interruptions
    memories = []
    for number, row in enumerate(inputs.unbind(0)):
        goes_on = (number < lengths)[:, None, None]
        memory = torch.where(goes_on & reset[number, :, None, None], initial, memory)
        # what stands in padding must not reach a gradient: zero times infinity is NaN
        after = step(torch.where(goes_on, row, 0.0), memory, p, o).memory
        memory = torch.where(goes_on, after, memory)
        memories.append(torch.where(goes_on, after, 0.0))
    return torch.stack(memories), memory
