"""The loop back through time: per step only what depends on the step; README.md derives it.

The gradients of weights are products over all steps and rows at once. `Deferred` collects the two
factors of each while the loop runs.
"""

from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor

from .attention import many_backward, pair_backward
from .forward import BlockTape, Hoisted, Normalised, StepTape
from .parameters import Options
from .products import Norm, Prepared


class Deferred:
    """Gradients of parameters, formed after the loop (products) or along the way (norms)."""

    def __init__(self) -> None:
        self.factors: dict[tuple[str, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        self.sums: dict[tuple[str, int], Tensor] = {}

    def product(self, name: str, place: int, inputs: Tensor, d_outputs: Tensor) -> None:
        """Note the factors of a linear layer's weight gradient in one step."""
        self.factors[name, place].append((inputs, d_outputs))

    def norm(self, name: str, block: int, d_out: Tensor, done: Normalised, norm: Norm) -> Tensor:
        """Gradient of a layer norm's input; its parameters' gradients are added up."""
        d_rows: Tensor
        d_rows, d_weight, d_bias = torch.ops.aten.native_layer_norm_backward(
            d_out, done.rows, norm.weight.shape, done.mean, done.rstd, *norm, [True] * 3
        )
        for kind, value in (("weight", d_weight), ("bias", d_bias)):
            key = f"{name}_{kind}", block
            if key in self.sums:
                self.sums[key] += value
            else:
                self.sums[key] = value
        return d_rows

    @staticmethod
    def gradients(parts: list["Deferred"]) -> Iterator[tuple[str, int, Tensor]]:
        """Name of a parameter, its place in the stack, and (a summand of) its gradient."""
        for part in parts:
            for (name, place), value in part.sums.items():
                yield name, place, value
        for name, place in parts[0].factors:
            pairs = [pair for part in parts for pair in part.factors[name, place]]
            inputs = torch.cat([x for x, _ in pairs])
            d_outputs = torch.cat([d for _, d in pairs])
            yield f"{name}_weight", place, d_outputs.t() @ inputs
            if name != "gate_memory":  # its bias was added outside of the loop
                yield f"{name}_bias", place, d_outputs.sum(0)


def d_tanh(d_out: Tensor, out: Tensor) -> Tensor:
    """Gradient of tanh, from its output."""
    d_in: Tensor = torch.ops.aten.tanh_backward(d_out, out)
    return d_in


def block_backward(
    d_rows: Tensor,
    tape: BlockTape,
    extra: Tensor | None,
    d_extra: Tensor | None,
    block: int,
    p: Prepared,
    back: Prepared,
    o: Options,
    deferred: Deferred,
) -> Tensor:
    """Gradient of `block_forward`.

    Args:
        d_rows: ``[b, keep, M]``.
        tape: of the forward pass.
        extra: as given to the forward pass.
        d_extra: written: gradient of `extra`.
        block: number of the block.
        p: the prepared parameters of the forward pass.
        back: the transposed ones.
        o: the options.
        deferred: collects the parameters' gradients.

    Returns:
        ``[b, Q, M]``.
    """
    batch, keep, size = d_rows.shape
    d_sum = deferred.norm(
        "mlp_norm", block, d_rows.view(-1, size), tape.mlp_norm, p.mlp_norm[block]
    )
    d_hidden = d_sum.to(p.mlp[0].dtype)
    for layer in reversed(range(len(tape.layers))):
        deferred.product("mlp", layer, tape.layers[layer], d_hidden)
        d_hidden = back.mlp[layer](d_hidden)
        if layer:
            d_hidden = torch.ops.aten.threshold_backward(d_hidden, tape.layers[layer], 0)
    d_sum = deferred.norm(
        "attention_norm", block, d_sum + d_hidden, tape.attention_norm, p.attention_norm[block]
    )
    d_x = d_sum.view(batch, keep, size)
    if extra is not None and d_extra is not None and tape.qkv.shape[1] == extra.shape[1] == 1:
        d_qkv = pair_backward(d_x, tape.qkv, extra, tape.attended.weights, o, d_extra)
    else:
        d_qkv = many_backward(d_x, tape.qkv, extra, tape.attended.weights, o, d_extra)
    d_raw = deferred.norm("qkv_norm", block, d_qkv.flatten(0, 1), tape.qkv_norm, p.qkv_norm[block])
    d_raw = d_raw.to(p.qkv[block].dtype)
    deferred.product("qkv", block, tape.inputs, d_raw)
    d_inputs = back.qkv[block](d_raw).view(batch, -1, size)
    if keep == d_inputs.shape[1]:
        return d_x + d_inputs
    d_inputs = d_inputs.to(d_x.dtype)
    d_inputs[:, :keep] += d_x
    return d_inputs


def step_backward(
    d_memory: Tensor,
    memory: Tensor,
    tape: StepTape,
    hoisted: Hoisted,
    d_hoisted: Hoisted,
    p: Prepared,
    back: Prepared,
    o: Options,
    deferred: Deferred,
) -> Tensor:
    """Gradient of `step_forward`.

    Args:
        d_memory: ``[b, N, M]``, gradient of the memory after the step; overwritten.
        memory: ``[b, N, M]``, before the step.
        tape: of the forward pass.
        hoisted: of this step.
        d_hoisted: of this step, written.
        p: the prepared parameters of the forward pass.
        back: the transposed ones.
        o: the options.
        deferred: collects the parameters' gradients.

    Returns:
        ``[b, N, M]``: gradient of the memory before the step.
    """
    slots = memory.shape[1]
    d_x = d_memory
    if tape.gates is not None and tape.candidate is not None and tape.squashed is not None:
        assert back.gate_memory is not None
        assert d_hoisted.gates is not None
        input_gate, forget_gate = tape.gates.chunk(2, dim=-1)
        d_gates = torch.empty_like(tape.gates)
        d_input_gate, d_forget_gate = d_gates.chunk(2, dim=-1)
        if o.gate_style == "unit":
            torch.mul(d_memory, tape.candidate, out=d_input_gate)
            torch.mul(d_memory, memory, out=d_forget_gate)
        else:
            d_input_gate[..., 0] = torch.linalg.vecdot(d_memory, tape.candidate)
            d_forget_gate[..., 0] = torch.linalg.vecdot(d_memory, memory)
        d_gates = torch.ops.aten.sigmoid_backward(d_gates, tape.gates)
        d_hoisted.gates.copy_(d_gates.squeeze(1) if slots == 1 else d_gates.sum(1))
        d_logits = d_gates.flatten(0, 1).to(back.gate_memory.dtype)
        deferred.product("gate_memory", 0, tape.squashed, d_logits)
        d_squashed = d_tanh(back.gate_memory(d_logits), tape.squashed)
        d_x = d_tanh(d_memory * input_gate, tape.candidate)
        d_memory = d_memory.mul_(forget_gate).add_(d_squashed.view(memory.shape))
    else:
        d_memory = torch.zeros_like(d_memory)
    for block in reversed(range(len(tape.blocks))):
        d_x = block_backward(
            d_x, tape.blocks[block], hoisted.qkv, d_hoisted.qkv, block, p, back, o, deferred
        )
    if d_hoisted.rows is not None:
        d_hoisted.rows.copy_(d_x[:, slots:])
    return d_memory.add_(d_x[:, :slots])
