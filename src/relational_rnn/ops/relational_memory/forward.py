"""The loop over time without autograd: memories, and what the backward pass needs.

Only what depends on the previous memory is done here. README.md has the equations.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .attention import Attended, many_forward, pair_forward
from .parameters import EPSILON, Options
from .products import Norm, Prepared


class Hoisted(NamedTuple):
    """What was computed from the inputs for all steps at once, in the memory's dtype."""

    rows: Tensor | None  # [T, B, n, M] projected input; None with one block
    qkv: Tensor | None  # [T, B, n, F] normalised; None with several blocks
    gates: Tensor | None  # [T, B, 2 G] the input's part of the gates' logits, all biases included

    def steps(self, part: slice) -> list["Hoisted"]:
        """One for each step, without the time axis, of a part of the batch."""
        length = next(len(x) for x in self if x is not None)
        columns = ([None] * length if x is None else x[:, part].unbind(0) for x in self)
        return [Hoisted(*row) for row in zip(*columns, strict=True)]


class Normalised(NamedTuple):
    """A layer norm's input and statistics."""

    rows: Tensor  # [b Q, width], before the norm
    mean: Tensor
    rstd: Tensor


class BlockTape(NamedTuple):
    """What the backward pass needs of one block in one step."""

    inputs: Tensor  # [b Q, M], product dtype
    qkv_norm: Normalised
    qkv: Tensor  # [b, Q, F], normalised
    attended: Attended
    attention_norm: Normalised
    layers: list[Tensor]  # input of each MLP layer, [b keep, M], product dtype
    mlp_norm: Normalised


class StepTape(NamedTuple):
    """What the backward pass needs of one step."""

    blocks: list[BlockTape]
    squashed: Tensor | None  # tanh of the memory before the step, [b N, M], product dtype
    gates: Tensor | None  # [b, N, 2 G], after the sigmoid
    candidate: Tensor | None  # [b, N, M], after the tanh


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent. In float32 through the sigmoid, which is six times as fast on a CPU.

    The absolute error is that of one rounding of a number near one, 6e-8.
    """
    return x.tanh() if x.dtype == torch.float64 else (2 * x).sigmoid_().mul_(2).sub_(1)


def normalise(rows: Tensor, norm: Norm) -> tuple[Tensor, Normalised]:
    """Layer norm over the last axis, with its statistics."""
    out, mean, rstd = torch.native_layer_norm(rows, norm.weight.shape, *norm, EPSILON)
    return out, Normalised(rows, mean, rstd)


def block_forward(
    x: Tensor, extra: Tensor | None, keep: int, block: int, p: Prepared, o: Options
) -> tuple[Tensor, BlockTape]:
    """One round of attention and MLP.

    Args:
        x: ``[b, Q, M]``, rows to update; the first `keep` are returned.
        extra: ``[b, n, F]`` normalised qkv of rows that are only attended to, or None.
        keep: rows to return.
        block: number of the block.
        p: the prepared parameters.
        o: the options.
    """
    batch, _, size = x.shape
    linear = p.qkv[block]
    inputs = x.flatten(0, 1).to(linear.dtype)
    qkv, qkv_norm = normalise(linear(inputs).to(x.dtype), p.qkv_norm[block])
    qkv = qkv.view(batch, -1, qkv.shape[-1])
    if extra is not None and qkv.shape[1] == extra.shape[1] == 1:
        attended = pair_forward(qkv, extra, o)
    else:
        attended = many_forward(qkv, extra, keep, o)
    rows = (x[:, :keep] + attended.values).view(-1, size)
    rows, attention_norm = normalise(rows, p.attention_norm[block])
    layers = [rows.to(linear.dtype)]
    for linear in p.mlp[:-1]:
        layers.append(linear(layers[-1], relu=True))
    rows = rows + p.mlp[-1](layers[-1])
    rows, mlp_norm = normalise(rows, p.mlp_norm[block])
    tape = BlockTape(inputs, qkv_norm, qkv, attended, attention_norm, layers, mlp_norm)
    return rows.view(batch, keep, size), tape


def step_forward(
    memory: Tensor, hoisted: Hoisted, p: Prepared, o: Options, out: Tensor
) -> StepTape:
    """One step: `memory` ``[b, N, M]`` to `out`, with `hoisted` of this step (no time axis)."""
    slots = memory.shape[1]
    x = memory if hoisted.rows is None else torch.cat((memory, hoisted.rows), dim=1)
    blocks = []
    last = len(p.qkv) - 1
    for block in range(last + 1):
        keep = slots if block == last else x.shape[1]
        x, tape = block_forward(x, hoisted.qkv, keep, block, p, o)
        blocks.append(tape)
    if hoisted.gates is None or p.gate_memory is None:
        out.copy_(x)
        return StepTape(blocks, None, None, None)
    squashed = tanh(memory.flatten(0, 1)).to(p.gate_memory.dtype)
    gates = p.gate_memory(squashed).view(len(x), slots, -1)
    gates = (hoisted.gates[:, None] + gates).sigmoid_()
    input_gate, forget_gate = gates.chunk(2, dim=-1)
    candidate = tanh(x)
    torch.mul(forget_gate, memory, out=out).addcmul_(input_gate, candidate)
    return StepTape(blocks, squashed, gates, candidate)
