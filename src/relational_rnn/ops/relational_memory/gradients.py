"""Gradients of the parameters, gathered while the loop runs back through time.

The gradient of a weight is one product over steps and rows. Forming it for each step would cost
six times as much; forming it once for all steps would need all factors at once. So the factors of
some steps are kept, as many as make a product efficient.
"""

from collections import defaultdict
from typing import NamedTuple

import torch
from torch import Tensor

from .norms import Moments, Norm, qkv_scale
from .parameters import Options, Parameters
from .tape import Tape, steps_of

ROWS_OF_A_PRODUCT = 3200
"""Rows of a product: more would gain little, less would add to the sums more often."""

layer_norm_backward = torch.ops.aten.native_layer_norm_backward.default


class Factors(NamedTuple):
    """Gradients of the products' outputs in some steps, in the product dtype."""

    qkv: list[Tensor]  # of each block, [S, b Q, F]
    mlp: list[list[Tensor]]  # of each block and layer, [S, b keep, M]
    gates: Tensor | None  # [S, b N, 2 G]; with one slot it is the hoisted gates' gradient instead


class Gradients:
    """The sums so far.

    Args:
        p: the parameters.
        tape: of all steps.
        d_gates: gradient of the hoisted gates, or None.
    """

    def __init__(self, p: Parameters, tape: Tape, d_gates: Tensor | None) -> None:
        self.p, self.tape, self.d_gates = p, tape, d_gates
        self.sums: dict[str, Tensor] = {}
        self._begun: set[tuple[str, int]] = set()
        self.norms: defaultdict[tuple[str, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        steps, rows = tape.blocks[0].inputs.shape[:2]
        one_slot = d_gates is not None and rows == d_gates.shape[1]
        self.room = max(1, min(steps, ROWS_OF_A_PRODUCT // rows))
        self.filled = 0
        self.factors = Factors(
            [
                block.inputs.new_empty(self.room, block.inputs.shape[1], p.qkv_weight.shape[1])
                for block in tape.blocks
            ],
            [[torch.empty_like(x[: self.room]) for x in block.hidden] for block in tape.blocks],
            None
            if tape.squashed is None or tape.gates is None or one_slot
            else tape.squashed.new_empty(self.room, tape.squashed.shape[1], tape.gates.shape[-1]),
        )
        self._steps = steps_of(self.factors, self.room)

    def add(self, name: str, place: int, value: Tensor) -> None:
        """Add to the gradient of a parameter, which has the dtype of the state."""
        if name not in self.sums:
            dtype = self.tape.blocks[0].mixed.dtype
            self.sums[name] = torch.empty_like(getattr(self.p, name), dtype=dtype)
        total = self.sums[name]
        if total.dim() > value.dim():
            total = total[place]
        if (name, place) in self._begun:
            total += value
        else:
            total.copy_(value)
            self._begun.add((name, place))

    def begin_step(self) -> Factors:
        """Where the factors of the next step back are to be written."""
        self.filled += 1
        return self._steps[self.room - self.filled]

    def end_step(self, step: int) -> None:
        """Form the products if there is no room left, or at step 0."""
        if self.filled < self.room and step > 0:
            return
        now = slice(step, step + self.filled)
        here = slice(self.room - self.filled, self.room)
        self.filled = 0
        for number, block in enumerate(self.tape.blocks):
            self._product("qkv", number, self.factors.qkv[number][here], block.inputs[now])
            for layer, hidden in enumerate(block.hidden):
                self._product("mlp", layer, self.factors.mlp[number][layer][here], hidden[now])
        if self.d_gates is not None and self.tape.squashed is not None:
            own = self.factors.gates
            d_logits = self.d_gates[now] if own is None else own[here]
            # the bias was added outside of the loop
            self._product("gate_memory", 0, d_logits, self.tape.squashed[now], bias=False)

    def _product(
        self, name: str, place: int, d_outputs: Tensor, inputs: Tensor, *, bias: bool = True
    ) -> None:
        d_outputs = d_outputs.flatten(0, 1)
        self.add(f"{name}_weight", place, d_outputs.t() @ inputs.flatten(0, 1))
        if bias:  # a product with ones is a faster sum over rows
            self.add(f"{name}_bias", place, (d_outputs.new_ones(1, len(d_outputs)) @ d_outputs)[0])

    def norm(
        self,
        name: str,
        block: int,
        norm: Norm,
        d_out: Tensor,
        rows: Tensor,
        moments: Moments,
    ) -> Tensor:
        """Gradient of a layer norm's input `rows`; its parameters' gradients are kept."""
        d_rows: Tensor
        d_rows, d_weight, d_bias = layer_norm_backward(
            d_out, rows, norm.weight.shape, *moments, *norm, [True] * 3
        )
        self.norms[name, block].append((d_weight, d_bias))
        return d_rows

    def all_sums(self, o: Options) -> dict[str, Tensor]:
        """The gradient of every parameter by its name, after the last step."""
        for (name, block), steps in self.norms.items():
            for kind, values in zip(("weight", "bias"), zip(*steps, strict=True), strict=True):
                self.add(f"{name}_{kind}", block, torch.stack(values).sum(0))
        for name in ("qkv_norm_weight", "qkv_norm_bias"):
            self.sums[name] *= qkv_scale(self.sums[name][0], o.key_size**-0.5, o)
        return self.sums
