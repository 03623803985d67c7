"""Cross-entropy of a linear layer in chunks of rows; losses and gradients come from one sweep.

Letters: R rows, E width of a row, V classes. For each chunk the sweep forms its logits, their
softmax, and the two products that carry (softmax - target) back to the rows and to the weight. The
difference overwrites the logits, so no more than one chunk of logits exists at any time.
"""

from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from ..packed_linear import PackedLinear
from ..precision import product_dtype
from ..second_derivative import refuse_second_derivative

CHUNK = 2**24
"""Logits in a chunk: large enough to make accumulating the weight's gradient cheap."""
MINIMUM_ROWS = 256
"""Rows in a chunk at large vocabularies, for the same reason."""
CHUNKS_TO_PACK = 4
"""Chunks from which the weight is packed: packing costs what it saves in one or two of them."""
TILE = 2**21
"""Logits turned into probabilities at a time: two float32 copies stay in the cache."""

Reduction = Literal["mean", "sum", "none"]


class Needs(NamedTuple):
    """Which gradients to form."""

    hidden: bool
    weight: bool
    bias: bool


class Gradients(NamedTuple):
    """Gradients of the summed losses, None where not needed; in the dtype of the reductions."""

    hidden: Tensor | None  # [R, E]
    weight: Tensor | None  # [V, E]
    bias: Tensor | None  # [V]


def check_reduction(reduction: str) -> None:
    """Raise a ValueError for an unknown reduction."""
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


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
    """Cross-entropy in nats of ``softmax(hidden @ weight.T + bias)`` against class indices.

    Equal to ``cross_entropy(linear(hidden, weight, bias), targets)``, but only one chunk of the
    logits exists at any time. With ``"mean"`` and ``"sum"`` the gradients are formed in the forward
    pass, with ``"none"`` in a second sweep in the backward pass. Differentiable once; a second
    derivative raises.

    Args:
        hidden: ``[..., E]``. The products are in float64 if `hidden` is; in bfloat16 if `hidden`
            is or under autocast to bfloat16, on a device with fast bfloat16 products; otherwise in
            float32. Sums are in float32 or float64.
        weight: ``[V, E]``, of any float dtype; may be shared with an embedding.
        bias: ``[V]`` or None.
        targets: ``[...]`` int64, each in ``0..V-1`` or `ignore_index`.
        ignore_index: a target without loss and gradient, not counted by ``"mean"``.
        reduction: ``"mean"`` over the counted targets (NaN if there are none), ``"sum"`` or
            ``"none"``.
        label_smoothing: the share of the target distribution spread evenly over all classes
            (Szegedy et al. 2016, section 7), in ``[0, 1)``.

    Returns:
        The loss, a scalar or ``[...]``; float64 for float64 `hidden`, otherwise float32.

    Raises:
        ValueError: for shapes that do not match, an unknown reduction or label smoothing out of
            range.
    """
    if hidden.shape[:-1] != targets.shape or hidden.shape[-1:] != weight.shape[1:]:
        raise ValueError(
            "hidden, weight and targets must have shapes [..., E], [V, E] and [...], got "
            f"hidden {list(hidden.shape)}, weight {list(weight.shape)} and targets "
            f"{list(targets.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"bias must have shape {list(weight.shape[:1])} to match weight, got {list(bias.shape)}"
        )
    check_reduction(reduction)
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing!r}")

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
    dtype = product_dtype(hidden)
    if dtype == torch.float16:  # too narrow a range for a softmax over many classes
        dtype = torch.float32
    arguments = (rows, weight, bias, flat, needs, dtype, label_smoothing)
    if reduction == "none":
        losses: Tensor = Losses.apply(*arguments)  # type: ignore[no-untyped-call]
        if not everything:
            losses = losses.new_zeros(counted.shape).masked_scatter(counted, losses)
        return losses.view_as(targets)
    total: Tensor = SumOfLosses.apply(*arguments)  # type: ignore[no-untyped-call]
    if reduction == "sum":
        return total
    return total / len(flat) if len(flat) else total + torch.nan


class SumOfLosses(torch.autograd.Function):
    """The summed losses. One sweep, in the forward pass, also forms the gradients."""

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
        """Sweep for losses and gradients; arguments as in `sweep`."""
        losses, gradients = sweep(
            hidden, weight, bias, targets, dtype=dtype, needs=needs, label_smoothing=label_smoothing
        )
        ctx.dtypes = [None if tensor is None else tensor.dtype for tensor in (hidden, weight, bias)]
        ctx.save_for_backward(*gradients)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradients that the forward pass formed."""
        refuse_second_derivative("linear_cross_entropy")
        scaled = (
            None if formed is None else (formed * gradient).to(dtype)
            for formed, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        )
        return *scaled, None, None, None, None


class Losses(torch.autograd.Function):
    """The loss of every row. The backward pass sweeps again, with the factor of each row known."""

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
        """Sweep for the losses alone; arguments as in `sweep`."""
        ctx.save_for_backward(hidden, weight, bias, targets)
        ctx.options = {"dtype": dtype, "label_smoothing": label_smoothing}
        ctx.needs = needs
        nothing = Needs(hidden=False, weight=False, bias=False)
        return sweep(hidden, weight, bias, targets, needs=nothing, **ctx.options)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Sweep for the gradients."""
        refuse_second_derivative("linear_cross_entropy")
        tensors = ctx.saved_tensors
        _, gradients = sweep(*tensors, needs=ctx.needs, scale=gradient, **ctx.options)
        formed = (
            None if wanted is None else wanted.to(tensor.dtype)
            for wanted, tensor in zip(gradients, tensors[:3], strict=True)
        )
        return *formed, None, None, None, None


def sweep(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    dtype: torch.dtype,
    needs: Needs,
    label_smoothing: float,
    scale: Tensor | None = None,
) -> tuple[Tensor, Gradients]:
    """One pass over the rows.

    Args:
        hidden: ``[R, E]``.
        weight: ``[V, E]``.
        bias: ``[V]`` or None.
        targets: ``[R]``, each in ``0..V-1``.
        dtype: of the products, whatever autocast says. The reductions are in float64 if this is,
            else in float32.
        needs: the gradients to form.
        label_smoothing: the share of the target distribution spread evenly over all classes.
        scale: ``[R]``: the gradients are of ``(scale * losses).sum()``; None for all ones.

    Returns:
        The losses ``[R]`` and the gradients.
    """
    exact = torch.promote_types(dtype, torch.float32)
    rows, classes = len(hidden), len(weight)
    hidden, weight = hidden.to(dtype), weight.to(dtype)
    chunk = max(1, min(rows, max(CHUNK // classes, MINIMUM_ROWS)))
    tile = max(1, min(chunk, TILE // classes))

    def zeros(needed: bool, *shape: int) -> Tensor | None:
        return hidden.new_zeros(shape, dtype=exact) if needed else None

    losses = hidden.new_empty(rows, dtype=exact)
    gradients = Gradients(
        zeros(needs.hidden, *hidden.shape),
        zeros(needs.weight, *weight.shape),
        zeros(needs.bias, classes),
    )
    pack = rows >= CHUNKS_TO_PACK * chunk and not torch.compiler.is_compiling()
    to_logits = PackedLinear(weight, None, rows=chunk, pack=pack)
    to_hidden = PackedLinear(weight.t(), None, rows=chunk, pack=pack and needs.hidden)
    scores_buffer = hidden.new_empty(tile, classes, dtype=exact)
    softmax_buffer = torch.empty_like(scores_buffer)
    partial = torch.empty_like(weight) if needs.weight and dtype != exact else None
    del weight  # the packed layers hold it, perhaps as a copy in another layout

    with torch.autocast(hidden.device.type, enabled=False):
        for start in range(0, rows, chunk):
            part = slice(start, min(start + chunk, rows))
            logits = to_logits(hidden[part])  # [r, V]
            for top in range(start, part.stop, tile):
                here = slice(top, min(top + tile, part.stop))
                tile_logits = logits[top - start : here.stop - start]
                target = targets[here, None]
                scores = scores_buffer[: here.stop - top].copy_(tile_logits)
                if bias is not None:
                    scores += bias
                softmax = softmax_buffer[: here.stop - top]
                torch.softmax(scores, dim=-1, out=softmax)
                # The largest probability is at least 1/V, so its logarithm is accurate.
                log_sum_exp = scores.amax(-1) - softmax.amax(-1).log()
                losses[here] = log_sum_exp - (1 - label_smoothing) * scores.gather(1, target)[:, 0]
                if label_smoothing:
                    losses[here] -= label_smoothing * scores.mean(-1)
                    softmax -= label_smoothing / classes
                if not any(needs):
                    continue
                # Subtracted before rounding: a probability close to 1 would lose its digits.
                softmax.scatter_add_(1, target, softmax.new_full(target.shape, label_smoothing - 1))
                if scale is not None:
                    softmax *= scale[here, None]
                tile_logits.copy_(softmax)
            if gradients.bias is not None:  # a product with ones is the fastest sum over rows
                gradients.bias.add_((logits.new_ones(1, len(logits)) @ logits)[0])
            if gradients.hidden is not None:
                gradients.hidden[part] = to_hidden(logits)
            if partial is not None and gradients.weight is not None:
                gradients.weight.add_(torch.mm(logits.t(), hidden[part], out=partial))
            elif gradients.weight is not None:
                gradients.weight.addmm_(logits.t(), hidden[part])
            del logits  # before the next chunk's are allocated
    return losses, gradients
