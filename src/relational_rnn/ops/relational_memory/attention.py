"""Attention of one step without autograd: forward and backward, for two shapes of the problem.

The rows that are updated each step (`rows`) attend to themselves and to rows whose keys and values
were made before the loop (`extra`). Both functions take normalised query-key-value rows and return
what their backward needs.
"""

import torch
from torch import Tensor

from .parameters import Options


def _split(rows: Tensor, o: Options) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of each head: ``[b, R, F]`` to ``[b, H, R, K]`` twice and V."""
    heads = rows.view(*rows.shape[:2], o.num_heads, -1).transpose(1, 2)
    query, key, value = torch.split(heads, [o.key_size, o.key_size, o.head_size], dim=-1)
    return query, key, value


def pair_forward(rows: Tensor, extra: Tensor, o: Options) -> tuple[Tensor, Tensor]:
    """One memory row and one extra row: a softmax over two is a sigmoid of the difference.

    Args:
        rows: ``[b, 1, F]``.
        extra: ``[b, 1, F]``.
        o: the options.

    Returns:
        The values ``[b, 1, M]`` and the weight on the memory ``[b, H, 1]``.
    """
    query, key, value = _split(rows, o)
    _, extra_key, extra_value = _split(extra, o)
    score = torch.linalg.vecdot(query, key - extra_key).mul_(o.key_size**-0.5)  # [b, H, 1]
    weight = score.sigmoid_()
    values = torch.lerp(extra_value, value, weight[..., None])
    return values.view(len(rows), 1, -1), weight


def pair_backward(
    d_values: Tensor, rows: Tensor, extra: Tensor, weight: Tensor, o: Options, d_extra: Tensor
) -> Tensor:
    """Gradient of `pair_forward`.

    Args:
        d_values: ``[b, 1, M]``.
        rows: ``[b, 1, F]`` as given to the forward pass.
        extra: ``[b, 1, F]`` likewise.
        weight: ``[b, H, 1]`` of the forward pass.
        o: the options.
        d_extra: ``[b, 1, F]``, zeros on entry, written: the gradient of `extra`.

    Returns:
        The gradient of `rows`.
    """
    query, key, value = _split(rows, o)
    _, extra_key, extra_value = _split(extra, o)
    d_values = d_values.view(value.shape)
    d_rows = torch.empty_like(rows)
    d_query, d_key, d_value = _split(d_rows, o)
    _, d_extra_key, d_extra_value = _split(d_extra, o)
    d_weight = torch.linalg.vecdot(d_values, value - extra_value)
    d_score = torch.ops.aten.sigmoid_backward(d_weight, weight).mul_(o.key_size**-0.5)[..., None]
    torch.mul(key - extra_key, d_score, out=d_query)
    torch.mul(query, d_score, out=d_key)
    torch.mul(d_values, weight[..., None], out=d_value)
    torch.neg(d_key, out=d_extra_key)
    torch.sub(d_values, d_value, out=d_extra_value)
    return d_rows


def many_forward(
    rows: Tensor, extra: Tensor | None, keep: int, o: Options
) -> tuple[Tensor, Tensor]:
    """Any number of rows.

    Args:
        rows: ``[b, Q, F]``; the first `keep` of them ask.
        extra: ``[b, n, F]`` or None; they only answer.
        keep: number of queries.
        o: the options.

    Returns:
        The values ``[b, keep, M]`` and the weights ``[b, H, keep, Q + n]``.
    """
    query, key, value = _split(rows, o)
    query = query[:, :, :keep] * o.key_size**-0.5
    if extra is None:
        weights = (query @ key.mT).softmax(-1)
        values = weights @ value
    else:
        _, extra_key, extra_value = _split(extra, o)
        weights = torch.cat((query @ key.mT, query @ extra_key.mT), dim=-1).softmax(-1)
        count = rows.shape[1]
        values = weights[..., :count] @ value + weights[..., count:] @ extra_value
    return values.transpose(1, 2).flatten(2), weights


def many_backward(
    d_values: Tensor,
    rows: Tensor,
    extra: Tensor | None,
    weights: Tensor,
    o: Options,
    d_extra: Tensor | None,
) -> Tensor:
    """Gradient of `many_forward`; arguments as in `pair_backward`."""
    query, key, value = _split(rows, o)
    keep, count = d_values.shape[1], rows.shape[1]
    scale = o.key_size**-0.5
    query = query[:, :, :keep] * scale
    d_values = d_values.view(len(rows), keep, o.num_heads, -1).transpose(1, 2)
    d_rows = torch.empty_like(rows)
    d_query, d_key, d_value = _split(d_rows, o)

    d_weights = torch.empty_like(weights)
    d_weights[..., :count] = d_values @ value.mT
    if extra is not None:
        _, extra_key, extra_value = _split(extra, o)
        d_weights[..., count:] = d_values @ extra_value.mT
    d_scores = torch.ops.aten._softmax_backward_data(d_weights, weights, -1, weights.dtype)
    d_asked = d_scores[..., :count] @ key
    d_key.copy_(d_scores[..., :count].mT @ query)
    d_value.copy_(weights[..., :count].mT @ d_values)
    if extra is not None and d_extra is not None:
        d_asked = d_asked + d_scores[..., count:] @ extra_key
        _, d_extra_key, d_extra_value = _split(d_extra, o)
        d_extra_key.copy_(d_scores[..., count:].mT @ query)
        d_extra_value.copy_(weights[..., count:].mT @ d_values)
    d_query[:, :, :keep] = d_asked * scale
    d_query[:, :, keep:] = 0
    return d_rows
