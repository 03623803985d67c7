"""Attention of one step without autograd: forward and backward, for two shapes of the problem.

Some rows ask, ``[b Q, F]`` of queries, keys and values; they answer, and so do others,
``[b n, F]`` (others.py). All are normalised. Queries come scaled by ``K ** -0.5``: their norm has
that (norms.py). Of each sequence the values of the first rows are wanted, `keep` in all.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from itertools import zip_longest

import torch
from torch import Tensor

from .norms import Norm, normalise
from .others import Other, OthersBack
from .parameters import Options, qkv_parts
from .tape import BlockTape

sigmoid_backward = torch.ops.aten.sigmoid_backward.default


class Attention(ABC):
    """The attention of one block (tape, norm of the rows that ask) in all steps, b sequences."""

    def __init__(self, tape: BlockTape, batch: int, norm: Norm, o: Options) -> None:
        self.batch, self.norm, self.o = batch, norm, o
        self.asking, self.keep = tape.inputs.shape[1], tape.attended.shape[1]

    @cached_property
    def d_rows(self) -> Tensor:
        """``[b Q, F]``. The queries of rows that are not kept get no gradient: that stays zero."""
        return self.norm.weight.new_zeros(self.asking, len(self.norm.weight))

    @abstractmethod
    def forward(self, rows: Tensor, other: Other | None, tape: BlockTape) -> tuple[Tensor, Tensor]:
        """The values ``[keep, M]``, and the weights for the backward pass; tape of this step."""

    @abstractmethod
    def backward(
        self,
        d_values: Tensor,
        raw: Tensor,
        others: OthersBack,
        step: int,
        tape: BlockTape,
        weights: Tensor,
    ) -> Tensor:
        """From the gradient of the values to that of the rows, ``[b Q, F]``, and of the others.

        `raw` are the rows before their norm. The next call writes into the same tensor.
        """


class Pair(Attention):
    """One row asks, it and another answer: a softmax over two is a sigmoid of the difference.

    Weights are those of the first row, ``[b, H]``. The tape has the difference of the two: with
    the other's query as zero this is the query, and how keys and values differ.
    """

    @cached_property
    def d_parts(self) -> tuple[Tensor, ...]:
        """Queries, keys and values of `d_rows`."""
        return qkv_parts(self.d_rows, self.o)

    def forward(self, rows: Tensor, other: Other | None, tape: BlockTape) -> tuple[Tensor, Tensor]:
        """Values between those of the two rows."""
        assert other is not None
        assert tape.parts is not None
        torch.sub(rows, other.rows, out=tape.difference)
        query, key, value = tape.parts
        weights = torch.linalg.vecdot(query, key).sigmoid_()
        values = torch.addcmul(other.values, weights.unsqueeze(-1), value)
        return values.view(self.keep, -1), weights

    def backward(
        self,
        d_values: Tensor,
        raw: Tensor,
        others: OthersBack,
        step: int,
        tape: BlockTape,
        weights: Tensor,
    ) -> Tensor:
        """What one row gains, the other loses."""
        assert tape.parts is not None
        query, key, value = tape.parts
        d_query, d_key, d_value = self.d_parts
        _, d_other_key, d_other_value = others.d(step)
        d_values = d_values.view(value.shape)
        d_score = sigmoid_backward(torch.linalg.vecdot(d_values, value), weights).unsqueeze(-1)
        torch.mul(key, d_score, out=d_query)
        torch.mul(query, d_score, out=d_key)
        torch.mul(d_values, weights.unsqueeze(-1), out=d_value)
        torch.neg(d_key, out=d_other_key)
        torch.sub(d_values, d_value, out=d_other_value)
        return self.d_rows


class Many(Attention):
    """Any number of rows. Weights are ``[b, H, keep, R]``."""

    def _heads(self, part: Tensor) -> Tensor:
        """``[b, H, ., K]`` of queries or keys, V of values, of ``[b ., H, K or V]``."""
        return part.view(self.batch, -1, *part.shape[1:]).transpose(1, 2)

    def _all(self, rows: Tensor, other: Other | None) -> tuple[Tensor, ...]:
        """Queries that are kept, keys and values of all rows, as above."""
        if other is not None:
            both = [each.view(self.batch, -1, each.shape[-1]) for each in (rows, other.rows)]
            rows = torch.cat(both, 1).flatten(0, 1)
        query, key, value = map(self._heads, qkv_parts(rows, self.o))
        return query[:, :, : self.keep // self.batch], key, value

    def forward(self, rows: Tensor, other: Other | None, tape: BlockTape) -> tuple[Tensor, Tensor]:
        """The softmax written out."""
        query, key, value = self._all(rows, other)
        weights = (query @ key.mT).softmax(-1)
        return (weights @ value).transpose(1, 2).flatten(2).flatten(0, 1), weights

    def backward(
        self,
        d_values: Tensor,
        raw: Tensor,
        others: OthersBack,
        step: int,
        tape: BlockTape,
        weights: Tensor,
    ) -> Tensor:
        """Three products and the gradient of the softmax; the normalised rows anew."""
        query, key, value = self._all(normalise(raw, self.norm)[0], others[step])
        d_values = d_values.view(self.batch, -1, self.o.num_heads, self.o.head_size).transpose(1, 2)
        d_scores = torch.ops.aten._softmax_backward_data(
            d_values @ value.mT, weights, -1, weights.dtype
        )
        d_query, *d_answers = map(self._heads, qkv_parts(self.d_rows, self.o))
        d_query[:, :, : query.shape[2]].copy_(d_scores @ key)
        d_others = map(self._heads, others.d(step)[1:])
        sums = d_scores.mT @ query, weights.mT @ d_values
        for d_all, d_own, d_other in zip_longest(sums, d_answers, d_others):
            count = d_own.shape[2]
            d_own.copy_(d_all[:, :, :count])
            if d_other is not None:
                d_other.copy_(d_all[:, :, count:])
        return self.d_rows
