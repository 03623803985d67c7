"""A piece of a sequence that keeps nothing but what it was given, and runs again on the way back.

Not `torch.utils.checkpoint`: that frees only what is saved as a tensor, and the GPU path keeps its
tape in buffers that are lent to a forward pass until its backward pass.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..once import refuse_second_derivative
from .parameters import Options, Parameters

Unroll = Callable[[Tensor, Tensor, Parameters, Options], tuple[Tensor, Tensor]]


class Recomputed(torch.autograd.Function):
    """An unrolled piece: what `unroll` returns, without a tape."""

    @staticmethod
    def forward(
        ctx: Any, unroll: Unroll, o: Options, inputs: Tensor, memory: Tensor, *p: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Run without gradients."""
        device = inputs.device.type
        ctx.unroll, ctx.options = unroll, o
        ctx.autocast = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        ctx.save_for_backward(inputs, memory, *p)
        return unroll(inputs, memory, Parameters(*p), o)  # type: ignore[arg-type]

    @staticmethod
    def backward(ctx: Any, d_memories: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        """Run again, with gradients."""
        refuse_second_derivative("a core with checkpoint_every")
        needed = ctx.needs_input_grad[2:]
        given: list[Any] = [  # the parameters of gates may be None
            None if x is None else x.detach().requires_grad_(need)
            for x, need in zip(ctx.saved_tensors, needed, strict=True)
        ]
        enabled, dtype = ctx.autocast
        device = given[0].device.type
        with torch.enable_grad(), torch.autocast(device, dtype, enabled=enabled):
            inputs, memory, *p = given
            outputs = ctx.unroll(inputs, memory, Parameters(*p), ctx.options)
        wanted = [x for x, need in zip(given, needed, strict=True) if need]
        found = iter(torch.autograd.grad(outputs, wanted, (d_memories, d_last), allow_unused=True))
        return None, None, *(next(found) if need else None for need in needed)
