"""What the inputs alone decide, computed for all steps at once under ordinary autograd."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..precision import product_dtype
from .parameters import Options, Parameters
from .tape import Hoisted


def dtypes(inputs: Tensor, memory: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """Dtype of the matrix products, and of all else: norms, gates and memory.

    Norms, gates and memory are float32 unless something is float64; for the products see
    :func:`~relational_rnn.ops.precision.product_dtype`.
    """
    if torch.float64 in (inputs.dtype, memory.dtype):
        return inputs.dtype, torch.float64
    return product_dtype(inputs), torch.float32


def needs_tape(tensors: Iterable[Tensor | None]) -> bool:
    """Whether a backward pass through any of these can follow."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def hoist(inputs: Tensor, p: Parameters, o: Options, product: torch.dtype) -> Hoisted:
    """The input's share of every step: matrix products alone.

    With one block the input rows are only attended to: their keys and values are all that is
    needed (and their queries for the norm over all three), and the input projection is folded into
    the next weights where that takes fewer multiplications. With several blocks the rows
    themselves go on, and are projected.

    Args:
        inputs: ``[T, B, n, I]``.
        p: the parameters.
        o: the options.
        product: dtype of the matrix products, and of what is returned.
    """
    steps, batch, count, size = inputs.shape
    blocks, width, memory = p.qkv_weight.shape
    if p.gate_input_weight is not None:
        width += len(p.gate_input_weight)
    rows = steps * batch * count
    fold = blocks == 1 and rows * memory * (size + width) > size * width * (rows + memory)
    if not fold:
        inputs = linear(inputs, p.projection_weight, p.projection_bias, product)

    def after_projection(weight: Tensor, bias: Tensor, side_by_side: int) -> Tensor:
        """A linear layer of projected rows, so many of them side by side."""
        if fold:
            each = weight.view(len(weight), side_by_side, memory)
            bias = bias + each.sum(1) @ p.projection_bias
            weight = (each.to(product) @ p.projection_weight.to(product)).flatten(1)
        joined = inputs.reshape(steps, batch, count // side_by_side, weight.shape[1])
        return linear(joined, weight, bias, product)

    gates = None
    if p.gate_input_weight is not None:
        assert p.gate_input_bias is not None
        assert p.gate_memory_bias is not None
        constants = p.gate_input_bias.new_tensor([o.input_bias, o.forget_bias])
        bias = p.gate_input_bias + p.gate_memory_bias
        bias = bias + constants.repeat_interleave(len(bias) // 2)
        gates = after_projection(p.gate_input_weight, bias, count).squeeze(2)
    if blocks > 1:
        return Hoisted(inputs, None, gates)
    return Hoisted(None, after_projection(p.qkv_weight[0], p.qkv_bias[0], 1), gates)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """A linear layer whose product has the given dtype."""
    return F.linear(inputs.to(dtype), weight.to(dtype), bias.to(dtype))
