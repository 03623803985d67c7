"""One step of the loop without autograd: the next memory, and the tape for the backward pass.

Only what depends on the previous memory is done here. README.md has the equations.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .attention import Attention, Many, Pair
from .norms import Moments, normalise
from .others import Other
from .parameters import Options
from .prepared import Prepared
from .tape import BlockTape, Hoisted, Tape


class Statistics(NamedTuple):
    """What else one block's backward pass needs."""

    raw: Tensor  # [b Q, F], the qkv before their norm, product dtype
    moments: Moments  # of that norm
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


def attentions(tape: Tape, batch: int, p: Prepared, o: Options) -> list[Attention]:
    """The attention of each block, for any step of the tape."""
    return [
        (Many if block.difference is None else Pair)(block, batch, norm, o)
        for block, norm in zip(tape.blocks, p.qkv_norm, strict=True)
    ]


def block_forward(
    x: Tensor, other: Other | None, block: int, tape: BlockTape, p: Prepared, attend: Attention
) -> tuple[Tensor, Statistics]:
    """One round of attention and MLP.

    Args:
        x: ``[b Q, M]``, rows to update.
        other: the rows that are only attended to.
        block: number of the block.
        tape: of this step and block, written.
        p: the prepared parameters.
        attend: of this block.

    Returns:
        The first rows of each sequence, ``[b keep, M]``, as many as the tape has room for.
    """
    tape.inputs.copy_(x)
    raw = p.qkv[block](tape.inputs)
    qkv, moments = normalise(raw.to(x.dtype), p.qkv_norm[block])
    values, weights = attend.forward(qkv, other, tape)
    if len(values) < len(x):
        x = first_rows(x, attend.batch, len(values))
    torch.add(x, values, out=tape.attended)
    rows, attended = normalise(tape.attended, p.attention_norm[block])
    tape.hidden[0].copy_(rows)
    for linear, before, after in zip(p.mlp, tape.hidden, tape.hidden[1:], strict=False):
        after.copy_(linear(before, relu=True))
    torch.add(rows, p.mlp[-1](tape.hidden[-1]), out=tape.mixed)
    rows, mixed = normalise(tape.mixed, p.mlp_norm[block])
    return rows, Statistics(raw, moments, weights, attended, mixed)


def first_rows(rows: Tensor, batch: int, count: int) -> Tensor:
    """The first of each sequence's rows, `count` in all: ``[b Q, M]`` to ``[count, M]``."""
    return rows.view(batch, -1, rows.shape[-1])[:, : count // batch].reshape(count, -1)


def step_forward(
    memory: Tensor,
    hoisted: Hoisted,
    other: Other | None,
    tape: Tape,
    p: Prepared,
    attentions: list[Attention],
    out: Tensor,
) -> list[Statistics]:
    """One step.

    Args:
        memory: ``[b N, M]``, before the step.
        hoisted: of this step.
        other: of this step.
        tape: of this step, written.
        p: the prepared parameters.
        attentions: of each block.
        out: ``[b N, M]``, written: the memory after the step.

    Returns:
        Statistics of each block.
    """
    x, batch = memory, attentions[0].batch
    if hoisted.rows is not None:
        slots = memory.view(batch, -1, memory.shape[-1])
        x = torch.cat((slots, hoisted.rows.to(memory.dtype)), dim=1).flatten(0, 1)
    statistics = []
    for block, (block_tape, attend) in enumerate(zip(tape.blocks, attentions, strict=True)):
        x, of_block = block_forward(x, other, block, block_tape, p, attend)
        statistics.append(of_block)
    if hoisted.gates is None or p.gate_memory is None:
        out.copy_(x)
        return statistics
    assert tape.squashed is not None
    assert tape.gates is not None
    assert tape.input_gate is not None
    assert tape.forget_gate is not None
    tanh(memory, out=tape.squashed)
    if len(memory) == batch:  # one slot
        tape.gates.copy_(p.gate_memory(tape.squashed, plus=hoisted.gates))
    else:
        tape.gates.copy_(p.gate_memory(tape.squashed))
        tape.gates.view(batch, -1, tape.gates.shape[-1]).add_(hoisted.gates.unsqueeze(1))
    tape.gates.sigmoid_()
    candidate = tanh(x, out=tape.candidate)
    torch.mul(tape.forget_gate, memory, out=out).addcmul_(tape.input_gate, candidate)
    return statistics
