"""The part of every step that depends on the inputs alone, computed for all steps at once.

These are matrix products under ordinary autograd; only the loop over time has a backward pass
written by hand.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..precision import product_dtype
from .parameters import Options, Parameters


class Hoisted(NamedTuple):
    """The inputs' share of all steps, in the product dtype."""

    rows: Tensor | None  # [T, B, n, M] projected inputs; None with one block
    qkv: Tensor | None  # [T, B, n, F] before the norm; None with several blocks
    gates: Tensor | None  # [T, B, 2 G] the inputs' share of the gate logits, with all biases


def dtypes(inputs: Tensor, memory: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """Dtype of the matrix products, and dtype of the state: norms, gates and memory.

    The state is float32, or float64 if either argument is float64. For the products see
    :func:`~relational_rnn.ops.precision.product_dtype`.
    """
    if torch.float64 in (inputs.dtype, memory.dtype):
        return inputs.dtype, torch.float64
    return product_dtype(inputs), torch.float32


def needs_tape(tensors: Iterable[Tensor | None]) -> bool:
    """Whether a backward pass through any of these tensors can follow."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def hoist(inputs: Tensor, p: Parameters, o: Options, product: torch.dtype) -> Hoisted:
    """Compute the inputs' share of every step.

    With one block the input rows are only attended to: their keys and values are needed, and their
    queries for the norm over all three. The input projection is folded into the next weights where
    that needs fewer multiplications. With several blocks the projected rows themselves are needed.

    Args:
        inputs: ``[T, B, n, I]``.
        p: the parameters.
        o: the options.
        product: dtype of the matrix products and of the results.
    """
    steps, batch, count, size = inputs.shape
    blocks, width, memory = p.qkv_weight.shape
    raw = o.gate_inputs == "raw"
    if p.gate_input_weight is not None and not raw:
        width += len(p.gate_input_weight)
    rows = steps * batch * count
    fold = blocks == 1 and rows * memory * (size + width) > size * width * (rows + memory)
    read = inputs
    if not fold:
        inputs = linear(inputs, p.projection_weight, p.projection_bias, product)

    def folded(weight: Tensor, bias: Tensor, side_by_side: int) -> tuple[Tensor, Tensor]:
        """The weight and bias to apply to `inputs`, for a layer of projected rows."""
        if not fold:
            return weight, bias
        each = weight.view(len(weight), side_by_side, memory)
        bias = bias + each.sum(1) @ p.projection_bias
        return (each.to(product) @ p.projection_weight.to(product)).flatten(1), bias

    gates = None
    if p.gate_input_weight is not None:
        assert p.gate_input_bias is not None
        assert p.gate_memory_bias is not None
        constants = p.gate_input_bias.new_tensor([o.input_bias, o.forget_bias])
        bias = p.gate_input_bias + p.gate_memory_bias
        bias = bias + constants.repeat_interleave(len(bias) // 2)
        weight = p.gate_input_weight
        if not raw:
            read = inputs
            weight, bias = folded(weight, bias, count)
        # the gates see the input rows of a step as one long row
        joined = read.reshape(steps, batch, 1, weight.shape[1])
        gates = linear(joined, weight, bias, product).squeeze(2)
    if blocks > 1:
        return Hoisted(inputs, None, gates)
    weight, bias = folded(p.qkv_weight[0], p.qkv_bias[0], 1)
    each = inputs.reshape(steps, batch, count, weight.shape[1])
    return Hoisted(None, linear(each, weight, bias, product), gates)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """A linear layer whose product is in the given dtype."""
    return F.linear(inputs.to(dtype), weight.to(dtype), bias.to(dtype))
