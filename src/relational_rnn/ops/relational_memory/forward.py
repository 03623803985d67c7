"""One step of the loop without autograd: the next memory, and the tape for the backward pass.

Only what depends on the previous memory is done here. README.md has the equations.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from . import attention
from .parameters import EPSILON, Options
from .products import Norm, Prepared
from .tape import BlockTape, Hoisted, Tape


class Moments(NamedTuple):
    """What a layer norm's backward pass needs."""

    mean: Tensor
    inverse_std: Tensor


class Statistics(NamedTuple):
    """The small things that one block's backward pass needs."""

    weights: Tensor  # of the attention, as `attention` returns them
    attended: Moments  # of the norm after the attention
    mixed: Moments  # of the norm after the MLP


ONE = torch.ones((), device="cpu")  # whatever the default device is when this is imported


def tanh(x: Tensor, out: Tensor | None = None) -> Tensor:
    """Hyperbolic tangent. In float32 through the sigmoid, which is twice as fast on a CPU.

    The absolute error is below 2e-7: three roundings of a number near one.
    """
    if x.dtype == torch.float64:
        return torch.tanh(x, out=out)
    return torch.add(ONE, torch.mul(x, -2).sigmoid_(), alpha=-2, out=out)


def normalise(rows: Tensor, norm: Norm) -> tuple[Tensor, Moments]:
    """Layer norm over the last axis."""
    normal, *moments = torch.native_layer_norm(rows, norm.weight.shape, *norm, EPSILON)
    return normal, Moments(*moments)


def block_forward(
    x: Tensor, extra: Tensor | None, block: int, tape: BlockTape, p: Prepared, o: Options
) -> tuple[Tensor, Statistics]:
    """One round of attention and MLP.

    Args:
        x: ``[b, Q, M]``, rows to update.
        extra: ``[b, n, F]`` qkv, before the norm, of rows that are only attended to, or None.
        block: number of the block.
        tape: of this step and block, written.
        p: the prepared parameters.
        o: the options.

    Returns:
        The first rows, ``[b, keep, M]``, as many as the tape has room for.
    """
    batch, queries, size = x.shape
    keep = len(tape.mixed) // batch
    tape.inputs.copy_(x.view(-1, size))
    raw = p.qkv[block](tape.inputs).view(batch, queries, -1)
    torch.cat((raw,) if extra is None else (raw, extra), dim=1, out=tape.raw)
    qkv = normalise(tape.raw.to(x.dtype), p.qkv_norm[block])[0]
    values, weights = attention.forward(qkv, keep, o)
    torch.add(x[:, :keep], values, out=tape.attended.view(values.shape))
    rows, attended = normalise(tape.attended, p.attention_norm[block])
    tape.hidden[0].copy_(rows)
    for linear, before, after in zip(p.mlp, tape.hidden, tape.hidden[1:], strict=False):
        after.copy_(linear(before, relu=True))
    torch.add(rows, p.mlp[-1](tape.hidden[-1]), out=tape.mixed)
    rows, mixed = normalise(tape.mixed, p.mlp_norm[block])
    return rows.view(batch, keep, size), Statistics(weights, attended, mixed)


def step_forward(
    memory: Tensor, hoisted: Hoisted, tape: Tape, p: Prepared, o: Options, out: Tensor
) -> list[Statistics]:
    """One step.

    Args:
        memory: ``[b, N, M]``, before the step.
        hoisted: of this step.
        tape: of this step, written.
        p: the prepared parameters.
        o: the options.
        out: ``[b, N, M]``, written: the memory after the step.

    Returns:
        Statistics of each block.
    """
    x = memory
    if hoisted.rows is not None:
        x = torch.cat((memory, hoisted.rows.to(memory.dtype)), dim=1)
    statistics = []
    for block, block_tape in enumerate(tape.blocks):
        x, of_block = block_forward(x, hoisted.qkv, block, block_tape, p, o)
        statistics.append(of_block)
    if hoisted.gates is None or p.gate_memory is None:
        out.copy_(x)
        return statistics
    assert tape.squashed is not None
    assert tape.gates is not None
    assert tape.candidate is not None
    tape.squashed.copy_(tanh(memory).view(tape.squashed.shape))
    if memory.shape[1] == 1:
        logits = p.gate_memory(tape.squashed, plus=hoisted.gates)
        tape.gates.copy_(logits.view(tape.gates.shape))
    else:
        tape.gates.copy_(p.gate_memory(tape.squashed).view(tape.gates.shape))
        tape.gates.add_(hoisted.gates[:, None])
    tape.gates.sigmoid_()
    input_gate, forget_gate = tape.gates.chunk(2, dim=-1)
    tanh(x, out=tape.candidate)
    torch.mul(forget_gate, memory, out=out).addcmul_(input_gate, tape.candidate)
    return statistics
