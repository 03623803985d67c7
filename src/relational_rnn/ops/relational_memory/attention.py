"""Attention of one step without autograd: forward and backward, for two shapes of the problem.

The functions take normalised query-key-value rows, ``[b, R, F]`` with the memory's rows first. The
first `keep` rows ask, all rows answer.
"""

import torch
from torch import Tensor

from .parameters import Options


def _split(rows: Tensor, o: Options) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of each head: ``[b, R, F]`` to ``[b, H, R, K]`` twice and V."""
    heads = rows.view(*rows.shape[:2], o.num_heads, -1).transpose(1, 2)
    query, key, value = torch.split(heads, [o.key_size, o.key_size, o.head_size], dim=-1)
    return query, key, value


def forward(rows: Tensor, keep: int, o: Options) -> tuple[Tensor, Tensor]:
    """Attention.

    Args:
        rows: ``[b, R, F]``.
        keep: number of queries.
        o: the options.

    Returns:
        The values ``[b, keep, M]``, and what the backward pass needs of the weights.
    """
    pair = keep == 1 and rows.shape[1] == 2
    return _pair_forward(rows, o) if pair else _many_forward(rows, keep, o)


def backward(d_values: Tensor, rows: Tensor, weights: Tensor, o: Options) -> Tensor:
    """Gradient of `forward`: of ``[b, keep, M]`` to ``[b, R, F]``."""
    pair = d_values.shape[1] == 1 and rows.shape[1] == 2
    return (_pair_backward if pair else _many_backward)(d_values, rows, weights, o)


def _pair_forward(rows: Tensor, o: Options) -> tuple[Tensor, Tensor]:
    """One query and two answers: a softmax over two is a sigmoid of the difference."""
    query, key, value = _split(rows, o)
    difference = key[:, :, 0] - key[:, :, 1]  # [b, H, K]
    weight = torch.linalg.vecdot(query[:, :, 0], difference).mul_(o.key_size**-0.5).sigmoid_()
    values = torch.lerp(value[:, :, 1], value[:, :, 0], weight[..., None])
    return values.view(len(rows), 1, -1), weight  # the weight on the first row, [b, H]


def _pair_backward(d_values: Tensor, rows: Tensor, weight: Tensor, o: Options) -> Tensor:
    query, d_rows = _split(rows, o)[0][:, :, 0], torch.empty_like(rows)
    _, key, value = (part[:, :, 0] for part in _split(rows[:, :1] - rows[:, 1:], o))  # differences
    d_query, d_key, d_value = (part.unbind(2) for part in _split(d_rows, o))
    d_values = d_values.view(value.shape)
    d_weight = torch.linalg.vecdot(d_values, value)
    d_score = torch.ops.aten.sigmoid_backward(d_weight, weight).mul_(o.key_size**-0.5)[..., None]
    torch.mul(key, d_score, out=d_query[0])
    d_query[1].zero_()
    torch.mul(query, d_score, out=d_key[0])
    torch.neg(d_key[0], out=d_key[1])
    torch.mul(d_values, weight[..., None], out=d_value[0])
    torch.sub(d_values, d_value[0], out=d_value[1])
    return d_rows


def _many_forward(rows: Tensor, keep: int, o: Options) -> tuple[Tensor, Tensor]:
    query, key, value = _split(rows, o)
    weights = (query[:, :, :keep] * o.key_size**-0.5 @ key.mT).softmax(-1)  # [b, H, keep, R]
    return (weights @ value).transpose(1, 2).flatten(2), weights


def _many_backward(d_values: Tensor, rows: Tensor, weights: Tensor, o: Options) -> Tensor:
    query, key, value = _split(rows, o)
    keep, scale = d_values.shape[1], o.key_size**-0.5
    d_values = d_values.view(len(rows), keep, o.num_heads, -1).transpose(1, 2)
    d_rows = torch.empty_like(rows)
    d_query, d_key, d_value = _split(d_rows, o)
    d_scores = torch.ops.aten._softmax_backward_data(
        d_values @ value.mT, weights, -1, weights.dtype
    ).mul_(scale)
    d_query[:, :, :keep] = d_scores @ key
    d_query[:, :, keep:] = 0
    d_key.copy_(d_scores.mT @ query[:, :, :keep])
    d_value.copy_(weights.mT @ d_values)
    return d_rows
