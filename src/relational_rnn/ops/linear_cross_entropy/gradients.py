"""The loss of every row and the gradients of all parameters in one sweep over chunks of rows.

Letters: R rows, E width of a row, V classes. Per chunk: its logits, their softmax, and the two
products that carry the difference between softmax and target back to the rows and the weight.
The difference takes the place of the logits, so one chunk of logits is all that is ever held.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..product import Product

CHUNK = 2**24  # logits in a chunk: large enough that adding up the weight's gradient is cheap
MINIMUM_ROWS = 256  # of a chunk, for large vocabularies, for the same reason
CHUNKS_TO_PACK = 4  # packing the weight costs about as much as it saves in one or two chunks
TILE = 2**21  # logits turned into probabilities at a time: two float32 copies stay in cache


class Needs(NamedTuple):
    """Which gradients are wanted."""

    hidden: bool
    weight: bool
    bias: bool


class Gradients(NamedTuple):
    """Of the sum of the losses, ``None`` where not wanted; in the dtype of the reductions."""

    hidden: Tensor | None  # [R, E]
    weight: Tensor | None  # [V, E]
    bias: Tensor | None  # [V]


def losses_and_gradients(
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
    """Sweep over the rows once.

    Args:
        hidden: ``[R, E]``.
        weight: ``[V, E]``.
        bias: ``[V]`` or ``None``.
        targets: ``[R]``, each in ``0..V-1``.
        dtype: of the products. The reductions are in float64 if this is, else in float32.
        needs: the gradients to form.
        label_smoothing: the share of the target spread evenly over all classes.
        scale: ``[R]``: the gradients are of ``(scale * losses).sum()``; ``None`` for all 1.

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
    to_logits = Product(weight, None, rows=chunk, pack=pack)
    to_hidden = Product(weight.t(), None, rows=chunk, pack=pack and needs.hidden)
    scores_buffer = hidden.new_empty(tile, classes, dtype=exact)
    softmax_buffer = torch.empty_like(scores_buffer)
    partial = torch.empty_like(weight) if needs.weight and dtype != exact else None
    del weight  # the products have it, perhaps laid out in another way

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
            # The largest probability is never small, so its logarithm is safe.
            log_sum_exp = scores.amax(-1) - softmax.amax(-1).log()
            losses[here] = log_sum_exp - (1 - label_smoothing) * scores.gather(1, target)[:, 0]
            if label_smoothing:
                losses[here] -= label_smoothing * scores.mean(-1)
                softmax -= label_smoothing / classes
            if not any(needs):
                continue
            # Subtracted before rounding: a target's probability close to 1 would lose its digits.
            softmax.scatter_add_(1, target, softmax.new_full(target.shape, label_smoothing - 1))
            if scale is not None:
                softmax *= scale[here, None]
            tile_logits.copy_(softmax)
        if gradients.bias is not None:  # a product with ones: the fastest sum over rows
            gradients.bias.add_((logits.new_ones(1, len(logits)) @ logits)[0])
        if gradients.hidden is not None:
            gradients.hidden[part] = to_hidden(logits)
        if partial is not None and gradients.weight is not None:
            gradients.weight.add_(torch.mm(logits.t(), hidden[part], out=partial))
        elif gradients.weight is not None:
            gradients.weight.addmm_(logits.t(), hidden[part])
        del logits  # before the next are made
    return losses, gradients
