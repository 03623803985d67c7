"""The two ways to tie the sweep to autograd: gradients at once, or when they are asked for."""

from typing import Any

import torch
from torch import Tensor

from ..once import refuse_second_derivative
from .gradients import Gradients, Needs, losses_and_gradients


def sweep(hidden: Tensor, *arguments: Any, **options: Any) -> tuple[Tensor, Gradients]:
    """`losses_and_gradients` in the dtype that was decided on, whatever autocast says by now."""
    with torch.autocast(hidden.device.type, enabled=False):
        return losses_and_gradients(hidden, *arguments, **options)


class SumOfLosses(torch.autograd.Function):
    """Sum of the losses; the gradients are formed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        needs: Needs,
        dtype: torch.dtype,
        label_smoothing: float,
    ) -> Tensor:
        """Sweep once; arguments as in `losses_and_gradients`."""
        losses, gradients = sweep(
            hidden, weight, bias, targets, dtype=dtype, needs=needs, label_smoothing=label_smoothing
        )
        ctx.dtypes = [None if tensor is None else tensor.dtype for tensor in (hidden, weight, bias)]
        ctx.save_for_backward(*gradients)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Scale what the forward pass formed."""
        refuse_second_derivative("linear_cross_entropy")
        scaled = (
            None if formed is None else (formed * gradient).to(dtype)
            for formed, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return *scaled, None, None, None, None


class Losses(torch.autograd.Function):
    """Every loss; the gradients take a second sweep, which knows the factor of each row."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        needs: Needs,
        dtype: torch.dtype,
        label_smoothing: float,
    ) -> Tensor:
        """Sweep for the losses; arguments as in `losses_and_gradients`."""
        ctx.save_for_backward(hidden, weight, bias, targets)
        ctx.options = {"dtype": dtype, "label_smoothing": label_smoothing}
        ctx.needs = needs
        nothing = Needs(hidden=False, weight=False, bias=False)
        return sweep(hidden, weight, bias, targets, needs=nothing, **ctx.options)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Sweep again."""
        refuse_second_derivative("linear_cross_entropy")
        tensors = ctx.saved_tensors
        _, gradients = sweep(*tensors, needs=ctx.needs, scale=gradient, **ctx.options)
        formed = (
            None if wanted is None else wanted.to(tensor.dtype)
            for wanted, tensor in zip(gradients, tensors[:3], strict=True)
        )
        return *formed, None, None, None, None
