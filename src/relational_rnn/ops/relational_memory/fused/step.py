"""One step of the loop without autograd, forward and backward; README.md derives both.

Only what depends on the memory of the step before is done here. In each pair of functions the
backward one runs through the forward one's lines from the last to the first.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..hoist import Hoisted
from ..parameters import Options
from .attention import Attention, InputRows, InputRowsBackward
from .tape import BlockSaved, BlockTape, Tape
from .weight_gradients import OutputGradients, WeightGradients
from .weights import Moments, Norm, Weights, norm_forward

ONE = torch.ones((), device="cpu")  # not on the default device at the time of import

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.default
relu_backward = torch.ops.aten.threshold_backward.grad_input


def tanh(x: Tensor, out: Tensor | None = None) -> Tensor:
    """Hyperbolic tangent. In float32 through the sigmoid, which is twice as fast on a CPU.

    The absolute error is below 2e-7: three roundings of a number near one.
    """
    if x.dtype == torch.float64:
        return torch.tanh(x, out=out)
    return torch.add(ONE, torch.mul(x, -2).sigmoid_(), alpha=-2, out=out)


def first_rows(rows: Tensor, batch: int, count: int) -> Tensor:
    """The first rows of each sequence, `count` in all: ``[b Q, M]`` to ``[count, M]``."""
    return rows.view(batch, -1, rows.shape[-1])[:, : count // batch].reshape(count, -1)


def step_forward(
    memory: Tensor,
    hoisted: Hoisted,
    inputs: InputRows | None,
    tape: Tape,
    weights: Weights,
    attentions: list[Attention],
    out: Tensor,
) -> list[BlockSaved]:
    """One step.

    Args:
        memory: ``[b N, M]``, before the step.
        hoisted: of this step, without qkv.
        inputs: the input rows of this step with one block, or None.
        tape: of this step, written.
        weights: of the loop.
        attentions: of each block.
        out: ``[b N, M]``, written: the memory after the step.

    Returns:
        What the backward pass of each block needs in addition to the tape.
    """
    rows, batch = memory, attentions[0].batch
    if hoisted.rows is not None:
        slots = memory.view(batch, -1, memory.shape[-1])
        rows = torch.cat((slots, hoisted.rows.to(memory.dtype)), dim=1).flatten(0, 1)
    saved = []
    for block, (block_tape, attention) in enumerate(zip(tape.blocks, attentions, strict=True)):
        rows, of_block = block_forward(rows, inputs, block, block_tape, weights, attention)
        saved.append(of_block)
    if hoisted.gates is None:
        out.copy_(rows)
    else:
        gate_update(memory, rows, hoisted.gates, tape, weights, out)
    return saved


def block_forward(
    rows: Tensor,
    inputs: InputRows | None,
    block: int,
    tape: BlockTape,
    weights: Weights,
    attention: Attention,
) -> tuple[Tensor, BlockSaved]:
    """One block: attention and MLP.

    Args:
        rows: ``[b Q, M]``, to be updated.
        inputs: rows that are only attended to, or None.
        block: number of the block.
        tape: of this step and block, written.
        weights: of the loop.
        attention: of this block.

    Returns:
        The first rows of each sequence, ``[keep, M]``, and what the backward pass needs.
    """
    tape.inputs.copy_(rows)
    raw = weights.qkv[block](tape.inputs)
    qkv, moments = norm_forward(raw.to(rows.dtype), weights.qkv_norm[block])
    values, attention_weights = attention.forward(qkv, inputs, tape)
    if len(values) < len(rows):
        rows = first_rows(rows, attention.batch, len(values))
    torch.add(rows, values, out=tape.attended)
    rows, attended = norm_forward(tape.attended, weights.attention_norm[block])
    tape.hidden[0].copy_(rows)
    for linear, before, after in zip(weights.mlp, tape.hidden, tape.hidden[1:], strict=False):
        after.copy_(linear(before, relu=True))
    torch.add(rows, weights.mlp[-1](tape.hidden[-1]), out=tape.mixed)
    rows, mixed = norm_forward(tape.mixed, weights.mlp_norm[block])
    return rows, BlockSaved(raw, moments, attention_weights, attended, mixed)


def gate_update(
    memory: Tensor, rows: Tensor, hoisted: Tensor, tape: Tape, weights: Weights, out: Tensor
) -> None:
    """The gates and the next memory.

    Args:
        memory: ``[b N, M]``, before the step.
        rows: ``[b N, M]``, the candidate before its tanh.
        hoisted: ``[B, 2 G]``, the inputs' share of the gate logits.
        tape: of this step, written.
        weights: of the loop.
        out: ``[b N, M]``, written: the memory after the step.
    """
    assert weights.gate_memory is not None
    assert tape.tanh_memory is not None
    assert tape.gates is not None
    assert tape.input_gate is not None
    assert tape.forget_gate is not None
    tanh(memory, out=tape.tanh_memory)
    if len(memory) == len(hoisted):  # one slot
        tape.gates.copy_(weights.gate_memory(tape.tanh_memory, plus=hoisted))
    else:
        tape.gates.copy_(weights.gate_memory(tape.tanh_memory))
        tape.gates.view(len(hoisted), -1, tape.gates.shape[-1]).add_(hoisted.unsqueeze(1))
    tape.gates.sigmoid_()
    candidate = tanh(rows, out=tape.candidate)
    torch.mul(tape.forget_gate, memory, out=out).addcmul_(tape.input_gate, candidate)


class StepBackward(NamedTuple):
    """The backward pass of any step."""

    weights: Weights  # transposed
    attentions: list[Attention]  # of each block
    o: Options
    gradients: WeightGradients
    d_gates: Tensor | None  # [b N, 2 G], scratch: gradient of the gates after the sigmoid
    d_input_gate: Tensor | None  # [b N, G], a view of it
    d_forget_gate: Tensor | None  # [b N, G], likewise

    @classmethod
    def prepare(
        cls,
        weights: Weights,
        attentions: list[Attention],
        o: Options,
        gradients: WeightGradients,
        tape: Tape,
    ) -> "StepBackward":
        """With scratch memory for the steps of a tape."""
        if tape.gates is None:
            return cls(weights, attentions, o, gradients, None, None, None)
        d_gates = torch.empty_like(tape.gates[0])
        return cls(weights, attentions, o, gradients, d_gates, *d_gates.chunk(2, -1))

    def step(
        self,
        d_memory: Tensor,
        memory: Tensor,
        inputs: InputRowsBackward | None,
        tape: Tape,
        saved: list[BlockSaved],
        d_hoisted: Hoisted,
    ) -> None:
        """Gradient of `step_forward`.

        Args:
            d_memory: ``[b N, M]``, gradient of the memory after the step; replaced by the gradient
                of the memory before the step.
            memory: ``[b N, M]``, before the step.
            inputs: the input rows of this step, or None; their gradients are written.
            tape: of this step.
            saved: of this step.
            d_hoisted: of this step, written.
        """
        d_outputs = self.gradients.begin_step()
        d_rows, d_by_gates = d_memory, None
        if tape.gates is not None:
            d_rows, d_by_gates = self.gate_update(d_memory, memory, tape, d_outputs, d_hoisted)
        # with one block its rows are the memory's alone
        plus = d_by_gates if len(tape.blocks) == 1 else None
        for block in reversed(range(len(tape.blocks))):
            of_block = tape.blocks[block], saved[block]
            d_rows = self.block(d_rows, inputs, block, *of_block, d_outputs, plus)
        if d_hoisted.rows is not None:
            batch, count, size = d_hoisted.rows.shape
            d_hoisted.rows.copy_(d_rows.view(batch, -1, size)[:, -count:])
            d_rows = first_rows(d_rows, batch, len(memory))
            if d_by_gates is not None:
                d_rows += d_by_gates
        if tape.forget_gate is None:
            d_memory.copy_(d_rows)
        else:
            torch.addcmul(d_rows, d_memory, tape.forget_gate, out=d_memory)

    def block(
        self,
        d_rows: Tensor,
        inputs: InputRowsBackward | None,
        block: int,
        tape: BlockTape,
        saved: BlockSaved,
        d_outputs: OutputGradients,
        plus: Tensor | None,
    ) -> Tensor:
        """Gradient of `block_forward`.

        Args:
            d_rows: ``[keep, M]``, gradient of its result.
            inputs: rows that are only attended to, or None; their gradients are written.
            block: number of the block.
            tape: of this step and block.
            saved: of this step and block.
            d_outputs: of this step, written.
            plus: ``[b Q, M]``, added to the result before rounding, or None.

        Returns:
            ``[b Q, M]``, gradient of the rows that the block updates.
        """
        d_mixed = self.norm("mlp_norm", block, d_rows, tape.mixed, saved.mixed)
        d_layers = d_outputs.mlp[block]
        d_layers[-1].copy_(d_mixed)
        for layer in reversed(range(1, len(d_layers))):
            d_hidden = self.weights.mlp[layer](d_layers[layer])
            relu_backward(d_hidden, tape.hidden[layer], 0, grad_input=d_layers[layer - 1])
        d_mixed += self.weights.mlp[0](d_layers[0])
        d_values = self.norm("attention_norm", block, d_mixed, tape.attended, saved.attended)
        attention, raw = self.attentions[block], saved.raw.to(d_rows.dtype)
        d_qkv = attention.backward(d_values, raw, inputs, tape, saved.weights)
        d_raw = d_outputs.qkv[block]
        d_raw.copy_(self.norm("qkv_norm", block, d_qkv, raw, saved.moments))
        d_inputs = self.weights.qkv[block](d_raw, plus=plus)
        if len(d_values) == len(d_inputs):
            return d_values.add_(d_inputs)
        d_all, batch = d_inputs.to(d_values.dtype), attention.batch
        d_kept = d_values.view(batch, -1, d_all.shape[-1])
        d_all.view(batch, -1, d_all.shape[-1])[:, : d_kept.shape[1]] += d_kept
        return d_all

    def gate_update(
        self,
        d_memory: Tensor,
        memory: Tensor,
        tape: Tape,
        d_outputs: OutputGradients,
        d_hoisted: Hoisted,
    ) -> tuple[Tensor, Tensor]:
        """Gradient of `gate_update`, but for the product of `d_memory` and the forget gate.

        Args:
            d_memory: ``[b N, M]``, gradient of the memory after the step.
            memory: ``[b N, M]``, before the step.
            tape: of this step.
            d_outputs: of this step, written.
            d_hoisted: of this step, written.

        Returns:
            ``[b N, M]`` each: gradient of the candidate before its tanh, and of the memory through
            the gate logits, the latter in the product dtype.
        """
        assert tape.gates is not None
        assert tape.candidate is not None
        assert tape.tanh_memory is not None
        assert tape.input_gate is not None
        assert d_hoisted.gates is not None
        assert self.weights.gate_memory is not None
        assert self.d_gates is not None
        assert self.d_input_gate is not None
        assert self.d_forget_gate is not None
        if self.o.gate_style == "unit":
            torch.mul(d_memory, tape.candidate, out=self.d_input_gate)
            torch.mul(d_memory, memory, out=self.d_forget_gate)
        else:
            for out, other in (self.d_input_gate, tape.candidate), (self.d_forget_gate, memory):
                out.copy_(torch.linalg.vecdot(d_memory, other).unsqueeze(-1))
        d_logits = d_hoisted.gates if d_outputs.gates is None else d_outputs.gates
        sigmoid_backward(self.d_gates, tape.gates, grad_input=d_logits)
        if d_outputs.gates is not None:
            d_slots = d_outputs.gates.view(len(d_hoisted.gates), -1, d_outputs.gates.shape[-1])
            d_hoisted.gates.copy_(d_slots.sum(1, dtype=memory.dtype))
        d_by_gates = tanh_backward(self.weights.gate_memory(d_logits), tape.tanh_memory)
        d_candidate = d_memory * tape.input_gate
        return tanh_backward(d_candidate, tape.candidate), d_by_gates

    def norm(self, name: str, block: int, d_out: Tensor, rows: Tensor, moments: Moments) -> Tensor:
        """Gradient of the rows before this norm of a block."""
        norm: Norm = getattr(self.weights, name)[block]
        return self.gradients.layer_norm(name, block, norm, d_out, rows, moments)
