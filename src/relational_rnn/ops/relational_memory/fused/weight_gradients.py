"""Gradients of the parameters, accumulated while the loop runs backward.

The gradient of a weight is one product over steps and rows. A product for each step would cost
about six times as much; one product for all steps would hold all its factors at once. So the
gradients of the outputs are kept for as many steps as make a product efficient.
"""

from collections import defaultdict
from typing import NamedTuple

import torch
from torch import Tensor

from ..parameters import Options, Parameters
from .tape import Tape, unbind
from .weights import Moments, Norm, norm_backward, qkv_scale

ROWS_OF_A_PRODUCT = 3200
"""More rows would gain little; fewer would add to the sums more often."""


class OutputGradients(NamedTuple):
    """Gradients of the products' outputs, in the product dtype; S steps, or no such axis."""

    qkv: list[Tensor]  # of each block, [S, b Q, F]
    mlp: list[list[Tensor]]  # of each block and layer, [S, keep, M]
    gates: Tensor | None  # [S, b N, 2 G]; None with one slot: the hoisted gates' gradient is it


class WeightGradients:
    """Accumulates the gradients of all parameters of the loop.

    At each step, from the last to the first, `begin_step` gives the buffers into which the step
    writes the gradients of its products' outputs, `layer_norm` runs the norms backward, and
    `end_step` ends the step. `result` is the sum.

    Args:
        p: the parameters.
        tape: of all steps.
        d_gates: ``[T, B, 2 G]``, gradient of the hoisted gates, or None.
    """

    def __init__(self, p: Parameters, tape: Tape, d_gates: Tensor | None) -> None:
        self._p, self._tape, self._d_gates = p, tape, d_gates
        self._sums: dict[str, Tensor] = {}
        self._begun: set[tuple[str, int]] = set()
        self._norms: defaultdict[tuple[str, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        steps, rows = tape.blocks[0].inputs.shape[:2]
        one_slot = d_gates is not None and rows == d_gates.shape[1]
        self._room = max(1, min(steps, ROWS_OF_A_PRODUCT // rows))
        self._filled = 0
        self._outputs = OutputGradients(
            [
                block.inputs.new_empty(self._room, block.inputs.shape[1], p.qkv_weight.shape[1])
                for block in tape.blocks
            ],
            [[torch.empty_like(x[: self._room]) for x in block.hidden] for block in tape.blocks],
            None
            if tape.tanh_memory is None or tape.gates is None or one_slot
            else tape.tanh_memory.new_empty(
                self._room, tape.tanh_memory.shape[1], tape.gates.shape[-1]
            ),
        )
        self._steps = unbind(self._outputs, self._room)

    def begin_step(self) -> OutputGradients:
        """The buffers of the next step back, to be written."""
        self._filled += 1
        return self._steps[self._room - self._filled]

    def end_step(self, step: int) -> None:
        """Form the products if all buffers are written, or at step 0."""
        if self._filled < self._room and step > 0:
            return
        now = slice(step, step + self._filled)
        here = slice(self._room - self._filled, self._room)
        self._filled = 0
        for number, block in enumerate(self._tape.blocks):
            self._product("qkv", number, self._outputs.qkv[number][here], block.inputs[now])
            for layer, hidden in enumerate(block.hidden):
                self._product("mlp", layer, self._outputs.mlp[number][layer][here], hidden[now])
        if self._d_gates is not None and self._tape.tanh_memory is not None:
            own = self._outputs.gates
            d_logits = self._d_gates[now] if own is None else own[here]
            # without the bias: it was added outside of the loop
            self._product("gate_memory", 0, d_logits, self._tape.tanh_memory[now], bias=False)

    def layer_norm(
        self, name: str, block: int, norm: Norm, d_out: Tensor, rows: Tensor, moments: Moments
    ) -> Tensor:
        """Gradient of a norm's input `rows`; the gradients of its gain and bias are accumulated."""
        d_rows, d_weight, d_bias = norm_backward(d_out, rows, moments, norm)
        self._norms[name, block].append((d_weight, d_bias))
        return d_rows

    def result(self, o: Options) -> dict[str, Tensor]:
        """The gradient of every parameter by its name, after the last `end_step`."""
        for (name, block), steps in self._norms.items():
            for kind, values in zip(("weight", "bias"), zip(*steps, strict=True), strict=True):
                self._add(f"{name}_{kind}", block, torch.stack(values).sum(0))
        for name in ("qkv_norm_weight", "qkv_norm_bias"):
            self._sums[name] *= qkv_scale(self._sums[name][0], o.key_size**-0.5, o)
        return self._sums

    def _product(
        self, name: str, place: int, d_outputs: Tensor, inputs: Tensor, *, bias: bool = True
    ) -> None:
        d_outputs = d_outputs.flatten(0, 1)
        self._add(f"{name}_weight", place, d_outputs.t() @ inputs.flatten(0, 1))
        if bias:  # a product with ones is the fastest sum over rows
            self._add(f"{name}_bias", place, (d_outputs.new_ones(1, len(d_outputs)) @ d_outputs)[0])

    def _add(self, name: str, place: int, value: Tensor) -> None:
        """Add to the gradient of a parameter, or of a block or layer of it, in the state dtype."""
        if name not in self._sums:
            dtype = self._tape.blocks[0].mixed.dtype
            self._sums[name] = torch.empty_like(getattr(self._p, name), dtype=dtype)
        total = self._sums[name]
        if total.dim() > value.dim():
            total = total[place]
        if (name, place) in self._begun:
            total += value
        else:
            total.copy_(value)
            self._begun.add((name, place))
