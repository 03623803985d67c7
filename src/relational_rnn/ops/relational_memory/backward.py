"""One step back through time: only what depends on the step; README.md derives it."""

import torch
from torch import Tensor

from . import attention
from .forward import Statistics, normalise
from .gradients import Factors, Gradients
from .parameters import Options
from .products import Prepared
from .tape import BlockTape, Hoisted, Tape


def d_tanh(d_out: Tensor, out: Tensor) -> Tensor:
    """Gradient of tanh, from its output."""
    d_in: Tensor = torch.ops.aten.tanh_backward(d_out, out)
    return d_in


class Step:
    """The backward pass of any step.

    Args:
        back: the prepared transposed parameters.
        o: the options.
        gradients: takes the parameters' gradients.
    """

    def __init__(self, back: Prepared, o: Options, gradients: Gradients) -> None:
        self.back, self.o, self.gradients = back, o, gradients

    def __call__(
        self,
        d_memory: Tensor,
        memory: Tensor,
        tape: Tape,
        statistics: list[Statistics],
        d_hoisted: Hoisted,
    ) -> Tensor:
        """Gradient of `step_forward`.

        Args:
            d_memory: ``[b, N, M]``, gradient of the memory after the step; overwritten.
            memory: ``[b, N, M]``, before the step.
            tape: of this step.
            statistics: of this step.
            d_hoisted: of this step, written.

        Returns:
            ``[b, N, M]``: gradient of the memory before the step.
        """
        factors = self.gradients.begin_step()
        if tape.gates is None:
            d_x, d_memory = d_memory, torch.zeros_like(d_memory)
        else:
            d_x = self._gates(d_memory, memory, tape, factors, d_hoisted)
        for block in reversed(range(len(tape.blocks))):
            d_x = self._block(
                d_x,
                block,
                tape.blocks[block],
                statistics[block],
                factors,
                d_hoisted.qkv,
            )
        slots = memory.shape[1]
        if d_hoisted.rows is not None:
            d_hoisted.rows.copy_(d_x[:, slots:])
        return d_memory.add_(d_x[:, :slots])

    def _gates(
        self, d_memory: Tensor, memory: Tensor, tape: Tape, factors: Factors, d_hoisted: Hoisted
    ) -> Tensor:
        """Gradient of the gates: of the candidate, returned; of the memory, in `d_memory`."""
        assert tape.gates is not None
        assert tape.candidate is not None
        assert tape.squashed is not None
        assert d_hoisted.gates is not None
        assert self.back.gate_memory is not None
        input_gate, forget_gate = tape.gates.chunk(2, dim=-1)
        d_gates = torch.empty_like(tape.gates)
        d_input_gate, d_forget_gate = d_gates.chunk(2, dim=-1)
        if self.o.gate_style == "unit":
            torch.mul(d_memory, tape.candidate, out=d_input_gate)
            torch.mul(d_memory, memory, out=d_forget_gate)
        else:
            d_input_gate[..., 0] = torch.linalg.vecdot(d_memory, tape.candidate)
            d_forget_gate[..., 0] = torch.linalg.vecdot(d_memory, memory)
        d_gates = torch.ops.aten.sigmoid_backward(d_gates, tape.gates)
        if factors.gates is None:
            d_logits = d_hoisted.gates.copy_(d_gates.squeeze(1))
        else:
            d_hoisted.gates.copy_(d_gates.sum(1))
            d_logits = factors.gates.copy_(d_gates.view(factors.gates.shape))
        d_squashed = d_tanh(self.back.gate_memory(d_logits), tape.squashed)
        d_candidate = d_tanh(d_memory * input_gate, tape.candidate)
        d_memory.mul_(forget_gate).add_(d_squashed.view(memory.shape))
        return d_candidate

    def _block(
        self,
        d_rows: Tensor,
        block: int,
        tape: BlockTape,
        statistics: Statistics,
        factors: Factors,
        d_extra: Tensor | None,
    ) -> Tensor:
        """Gradient of `block_forward`: ``[b, keep, M]`` to ``[b, Q, M]``."""
        batch, keep, size = d_rows.shape
        norm = self.gradients.norm
        d_mixed = norm("mlp_norm", block, d_rows.view(-1, size), tape.mixed, statistics.mixed)
        d_layers = factors.mlp[block]
        d_layers[-1].copy_(d_mixed)
        for layer in reversed(range(1, len(d_layers))):
            d_hidden = self.back.mlp[layer](d_layers[layer])
            torch.ops.aten.threshold_backward.grad_input(
                d_hidden, tape.hidden[layer], 0, grad_input=d_layers[layer - 1]
            )
        d_mixed += self.back.mlp[0](d_layers[0])
        d_attended = norm("attention_norm", block, d_mixed, tape.attended, statistics.attended)
        d_attended = d_attended.view(batch, keep, size)
        # the normalised qkv anew: that is cheaper than to have kept it
        rows = tape.raw.to(d_rows.dtype)
        qkv, moments = normalise(rows, self.back.qkv_norm[block])
        d_qkv = attention.backward(d_attended, qkv, statistics.weights, self.o)
        d_raw = norm("qkv_norm", block, d_qkv, rows, moments)
        queries = len(tape.inputs) // batch
        if d_extra is not None:
            d_extra.copy_(d_raw[:, queries:])
        factors.qkv[block].view(batch, queries, -1).copy_(d_raw[:, :queries])
        d_inputs = self.back.qkv[block](factors.qkv[block]).view(batch, -1, size)
        if keep == d_inputs.shape[1]:
            return d_attended.add_(d_inputs)
        d_x = d_inputs.to(d_attended.dtype)
        d_x[:, :keep] += d_attended
        return d_x
