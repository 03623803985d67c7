"""Layer norms of the loop: their parameters, and what is folded into those of the qkv norm."""

from typing import NamedTuple

import torch
from torch import Tensor

from .parameters import EPSILON, Options


class Norm(NamedTuple):
    """Gain and bias of a layer norm."""

    weight: Tensor
    bias: Tensor


class Moments(NamedTuple):
    """What a layer norm's backward pass needs."""

    mean: Tensor
    inverse_std: Tensor


def normalise(rows: Tensor, norm: Norm) -> tuple[Tensor, Moments]:
    """Layer norm over the last axis."""
    normal, *moments = torch.native_layer_norm(rows, norm.weight.shape, *norm, EPSILON)
    return normal, Moments(*moments)


def qkv_scale(like: Tensor, queries: float, o: Options) -> Tensor:
    """What queries, keys and values are multiplied with after their norm, ``[F]``.

    Keys and values with 1. Queries with ``K ** -0.5``, which a softmax of their products with keys
    asks for, or with 0: nobody needs them.
    """
    scale = torch.ones_like(like).view(o.num_heads, -1)
    scale[:, : o.key_size] = queries
    return scale.flatten()
