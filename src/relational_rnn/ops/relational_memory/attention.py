"""Attention of one step without autograd: forward and backward, for two shapes of the problem.

Rows of queries, keys and values are ``[b, R, F]``, those of the memory first. The first `keep` rows
of each sequence ask, all rows answer. Queries come scaled by ``K ** -0.5``: `products.py` has that
in the norm.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .parameters import Options

sigmoid_backward = torch.ops.aten.sigmoid_backward.default


def _split(heads: Tensor, o: Options) -> tuple[Tensor, ...]:
    """Query, key and value of the heads of any rows, ``[..., 2 K + V]``."""
    return torch.split_with_sizes(heads, [o.key_size, o.key_size, o.head_size], -1)


class Attention(ABC):
    """The attention of one block in all steps.

    Args:
        rows: ``[b, R, F]``, those of any step.
        keep: how many of them ask.
        o: the options.
        dtype: of the state.
    """

    def __init__(self, rows: Tensor, keep: int, o: Options, dtype: torch.dtype) -> None:
        self.o, self.keep = o, keep
        # nobody asked the queries of the other rows: their gradient stays zero
        self.d_rows = rows.new_zeros(rows.shape, dtype=dtype)

    @abstractmethod
    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The values ``[b keep, M]`` of normalised rows, and the weights for the backward pass."""

    @abstractmethod
    def backward(self, d_values: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """From the gradient of the values to that of the normalised rows, ``[b, R, F]``.

        The next call writes into the same tensor.
        """


class Pair(Attention):
    """One row asks, two answer: a softmax over two is a sigmoid of the difference.

    Weights are those of the first row, ``[b, H]``.
    """

    def __init__(self, rows: Tensor, keep: int, o: Options, dtype: torch.dtype) -> None:
        super().__init__(rows, keep, o, dtype)
        self.parts = self._parts(self.d_rows)
        # one view a part is cheaper than the three that lead there
        self.places = [(part.shape, part.stride(), part.storage_offset()) for part in self.parts]

    def _parts(self, rows: Tensor) -> list[Tensor]:
        """Query of the first row; key and value of both: ``[b, H, K]``, or V."""
        first, second = rows.view(len(rows), 2, self.o.num_heads, -1).unbind(1)
        return [*_split(first, self.o), *_split(second, self.o)[1:]]

    def _views(self, rows: Tensor) -> list[Tensor]:
        """The same, of rows that begin their storage."""
        return [rows.as_strided(*place) for place in self.places]

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Values between those of the two rows."""
        query, key, value, other_key, other_value = self._views(rows)
        weights = torch.linalg.vecdot(query, key - other_key).sigmoid_()
        values = torch.lerp(other_value, value, weights.unsqueeze(-1))
        return values.view(len(rows), -1), weights

    def backward(self, d_values: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """What one row gains, the other loses."""
        query, key, value, other_key, other_value = self._views(rows)
        d_query, d_key, d_value, d_other_key, d_other_value = self.parts
        d_values = d_values.view(value.shape)
        d_weights = torch.linalg.vecdot(d_values, value - other_value)
        d_score = sigmoid_backward(d_weights, weights).unsqueeze(-1)
        torch.mul(key - other_key, d_score, out=d_query)
        torch.mul(query, d_score, out=d_key)
        torch.neg(d_key, out=d_other_key)
        torch.mul(d_values, weights.unsqueeze(-1), out=d_value)
        torch.sub(d_values, d_value, out=d_other_value)
        return self.d_rows


class Many(Attention):
    """Any number of rows. Weights are ``[b, H, keep, R]``."""

    def _parts(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query ``[b, H, keep, K]``, key ``[b, H, R, K]`` and value ``[b, H, R, V]``."""
        heads = rows.view(*rows.shape[:2], self.o.num_heads, -1).transpose(1, 2)
        query, key, value = _split(heads, self.o)
        return query[:, :, : self.keep], key, value

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The softmax written out."""
        query, key, value = self._parts(rows)
        weights = (query @ key.mT).softmax(-1)
        return (weights @ value).transpose(1, 2).flatten(2).flatten(0, 1), weights

    def backward(self, d_values: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """Three products and the gradient of the softmax."""
        query, key, value = self._parts(rows)
        d_query, d_key, d_value = self._parts(self.d_rows)
        d_values = d_values.view(len(rows), self.keep, self.o.num_heads, -1).transpose(1, 2)
        d_scores = torch.ops.aten._softmax_backward_data(
            d_values @ value.mT, weights, -1, weights.dtype
        )
        d_query.copy_(d_scores @ key)
        d_key.copy_(d_scores.mT @ query)
        d_value.copy_(weights.mT @ d_values)
        return self.d_rows


def attention(rows: Tensor, keep: int, o: Options, dtype: torch.dtype) -> Attention:
    """The kind that rows like these take; arguments as in `Attention`."""
    pair = keep == 1 and rows.shape[1] == 2
    return (Pair if pair else Many)(rows, keep, o, dtype)
