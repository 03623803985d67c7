"""The loss in chunks of rows, its gradient formed on the way (gradients.py has the sweep)."""

from typing import Literal, get_args

import torch
from torch import Tensor

from ..precision import product_dtype
from .autograd import Losses, SumOfLosses
from .gradients import Needs

Reduction = Literal["mean", "sum", "none"]


def check_reduction(reduction: str) -> None:
    """Raise a ValueError if it is none of the reductions."""
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction={reduction!r} must be 'mean', 'sum' or 'none'")


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy in nats of ``softmax(hidden @ weight.T + bias)`` against class numbers.

    Equal to ``cross_entropy(linear(hidden, weight, bias), targets)``, but only a chunk of the
    logits exists at any time. With ``"mean"`` and ``"sum"`` the gradients are formed while the
    loss is, with ``"none"`` in a second sweep when they are asked for. Differentiable once; a
    second time raises.

    Args:
        hidden: ``[..., E]``. The products are in bfloat16 if this is, or where autocast to
            bfloat16 is on, unless the CPU is bad at that; in float64 if this is; otherwise in
            float32. Sums are in float32 at least.
        weight: ``[V, E]``, of any float dtype; may be an embedding's too.
        bias: ``[V]`` or ``None``.
        targets: ``[...]`` int64, each in ``0..V-1`` or `ignore_index`.
        ignore_index: a target with no loss and no gradient, not counted by ``"mean"``.
        reduction: ``"mean"`` over the targets that count (NaN if there is none), ``"sum"``, or
            ``"none"``.
        label_smoothing: the share of the target spread evenly over all classes (Szegedy et al.
            2016, section 7), in ``[0, 1)``.

    Returns:
        The loss, a scalar or ``[...]``; float64 for float64 `hidden`, otherwise float32.

    Raises:
        ValueError: for shapes that do not fit, an unknown reduction or smoothing out of range.
    """
    if hidden.shape[:-1] != targets.shape or hidden.shape[-1:] != weight.shape[1:]:
        raise ValueError(
            f"hidden {list(hidden.shape)}, weight {list(weight.shape)} and targets "
            f"{list(targets.shape)} do not fit [..., E], [V, E] and [...]"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias {list(bias.shape)} does not fit weight {list(weight.shape)}")
    check_reduction(reduction)
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing={label_smoothing} must be in [0, 1)")

    rows, flat = hidden.reshape(-1, hidden.shape[-1]), targets.flatten()
    counted = flat != ignore_index
    everything = bool(counted.all())
    if not everything:
        rows, flat = rows[counted], flat[counted]
    needs = Needs(
        *(
            tensor is not None and tensor.requires_grad and torch.is_grad_enabled()
            for tensor in (hidden, weight, bias)
        )
    )
    arguments = (rows, weight, bias, flat, needs, _product_dtype(hidden), label_smoothing)
    if reduction == "none":
        losses: Tensor = Losses.apply(*arguments)  # type: ignore[no-untyped-call]
        if not everything:
            losses = losses.new_zeros(counted.shape).masked_scatter(counted, losses)
        return losses.view_as(targets)
    total: Tensor = SumOfLosses.apply(*arguments)  # type: ignore[no-untyped-call]
    if reduction == "sum":
        return total
    return total / len(flat) if len(flat) else total + torch.nan


def _product_dtype(hidden: Tensor) -> torch.dtype:
    """As for every product, but float16 is too narrow for a softmax over many classes."""
    dtype = product_dtype(hidden)
    return torch.float32 if dtype == torch.float16 else dtype
