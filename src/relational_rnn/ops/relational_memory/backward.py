"""One step back through time: only what depends on the step; README.md derives it."""

import torch
from torch import Tensor

from .forward import Statistics, attentions, first_rows
from .gradients import Factors, Gradients
from .norms import Moments, Norm
from .others import OthersBack
from .parameters import Options
from .prepared import Prepared
from .tape import BlockTape, Hoisted, Tape

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.default
relu_backward = torch.ops.aten.threshold_backward.grad_input


class Step:
    """The backward pass of any step.

    Args:
        back: the prepared transposed parameters.
        o: the options.
        gradients: takes the parameters' gradients.
        others: the rows that only answer.
        tape: of all steps.
        batch: sequences, b.
    """

    def __init__(
        self,
        back: Prepared,
        o: Options,
        gradients: Gradients,
        others: OthersBack,
        tape: Tape,
        batch: int,
    ) -> None:
        self.back, self.o, self.gradients, self.others = back, o, gradients, others
        self.attentions = attentions(tape, batch, back, o)
        if tape.gates is not None:
            self.d_gates = torch.empty_like(tape.gates[0])
            self.d_input_gate, self.d_forget_gate = self.d_gates.chunk(2, -1)

    def __call__(
        self,
        step: int,
        d_memory: Tensor,
        memory: Tensor,
        tape: Tape,
        statistics: list[Statistics],
        d_hoisted: Hoisted,
    ) -> None:
        """Gradient of `step_forward`.

        Args:
            step: its number.
            d_memory: ``[b N, M]``, gradient of the memory after the step; becomes that of the
                memory before the step.
            memory: ``[b N, M]``, before the step.
            tape: of this step.
            statistics: of this step.
            d_hoisted: of this step, written.
        """
        factors = self.gradients.begin_step()
        d_x, d_squashed = d_memory, None
        if tape.gates is not None:
            d_x, d_squashed = self._gates(d_memory, memory, tape, factors, d_hoisted)
        plus = d_squashed if len(tape.blocks) == 1 else None  # in come the memory's rows alone
        for block in reversed(range(len(tape.blocks))):
            of_block = tape.blocks[block], statistics[block]
            d_x = self._block(d_x, step, block, *of_block, factors, plus)
        if d_hoisted.rows is not None:
            batch, count, size = d_hoisted.rows.shape
            d_hoisted.rows.copy_(d_x.view(batch, -1, size)[:, -count:])
            d_x = first_rows(d_x, batch, len(memory))
            if d_squashed is not None:
                d_x += d_squashed
        if tape.gates is None:
            d_memory.copy_(d_x)
        else:
            assert tape.forget_gate is not None
            torch.addcmul(d_x, d_memory, tape.forget_gate, out=d_memory)

    def _gates(
        self, d_memory: Tensor, memory: Tensor, tape: Tape, factors: Factors, d_hoisted: Hoisted
    ) -> tuple[Tensor, Tensor]:
        """Gradient of the candidate; and of the memory by way of the gates, in product dtype."""
        assert tape.gates is not None
        assert tape.candidate is not None
        assert tape.squashed is not None
        assert tape.input_gate is not None
        assert d_hoisted.gates is not None
        assert self.back.gate_memory is not None
        if self.o.gate_style == "unit":
            torch.mul(d_memory, tape.candidate, out=self.d_input_gate)
            torch.mul(d_memory, memory, out=self.d_forget_gate)
        else:
            for out, other in (self.d_input_gate, tape.candidate), (self.d_forget_gate, memory):
                out.copy_(torch.linalg.vecdot(d_memory, other).unsqueeze(-1))
        d_logits = d_hoisted.gates if factors.gates is None else factors.gates
        sigmoid_backward(self.d_gates, tape.gates, grad_input=d_logits)
        if factors.gates is not None:
            d_slots = factors.gates.view(len(d_hoisted.gates), -1, factors.gates.shape[-1])
            d_hoisted.gates.copy_(d_slots.sum(1, dtype=memory.dtype))
        d_squashed = tanh_backward(self.back.gate_memory(d_logits), tape.squashed)
        d_candidate = d_memory * tape.input_gate
        return tanh_backward(d_candidate, tape.candidate), d_squashed

    def _block(
        self,
        d_rows: Tensor,
        step: int,
        block: int,
        tape: BlockTape,
        statistics: Statistics,
        factors: Factors,
        plus: Tensor | None,
    ) -> Tensor:
        """Gradient of `block_forward`: ``[b keep, M]`` to ``[b Q, M]``, plus another on request."""
        d_mixed = self._norm("mlp_norm", block, d_rows, tape.mixed, statistics.mixed)
        d_layers = factors.mlp[block]
        d_layers[-1].copy_(d_mixed)
        for layer in reversed(range(1, len(d_layers))):
            d_hidden = self.back.mlp[layer](d_layers[layer])
            relu_backward(d_hidden, tape.hidden[layer], 0, grad_input=d_layers[layer - 1])
        d_mixed += self.back.mlp[0](d_layers[0])
        d_values = self._norm("attention_norm", block, d_mixed, tape.attended, statistics.attended)
        attend, raw = self.attentions[block], statistics.raw.to(d_rows.dtype)
        d_qkv = attend.backward(d_values, raw, self.others, step, tape, statistics.weights)
        d_own = factors.qkv[block]
        d_own.copy_(self._norm("qkv_norm", block, d_qkv, raw, statistics.moments))
        d_inputs = self.back.qkv[block](d_own, plus=plus)
        if len(d_values) == len(d_inputs):
            return d_values.add_(d_inputs)
        d_x, batch = d_inputs.to(d_values.dtype), attend.batch
        d_kept = d_values.view(batch, -1, d_x.shape[-1])
        d_x.view(batch, -1, d_x.shape[-1])[:, : d_kept.shape[1]] += d_kept
        return d_x

    def _norm(self, name: str, block: int, d_out: Tensor, rows: Tensor, moments: Moments) -> Tensor:
        """Gradient of the rows that came into this norm of a block."""
        norm: Norm = getattr(self.back, name)[block]
        return self.gradients.norm(name, block, norm, d_out, rows, moments)
