"""Attention of one step without autograd, forward and backward, and the input rows it attends to.

The query rows, ``[b Q, F]``, are attended to as well; with one block so are the input rows,
``[b n, F]``, whose own queries are not used. All rows are normalised. Queries are already scaled by
``K ** -0.5``: the gain and the bias of their norm contain the factor (`weights.qkv_scale`). Of each
sequence the values of the first rows are needed, `keep` in all.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from itertools import zip_longest
from typing import NamedTuple

import torch
from torch import Tensor

from ..parameters import Options, split_qkv
from .tape import BlockTape, unbind
from .weight_gradients import WeightGradients
from .weights import Moments, Norm, norm_forward

ROWS_OF_A_CHUNK = 256
"""Input rows normalised at a time. All steps at once would go through main memory twice, one step
at a time is more operations."""

sigmoid_backward = torch.ops.aten.sigmoid_backward.default


class InputRows(NamedTuple):
    """The input rows of one step."""

    qkv: Tensor  # [b n, F], normalised
    values: Tensor  # [b n, H, V], a view


class InputRowsBackward(NamedTuple):
    """The input rows of one step in the backward pass."""

    qkv: Tensor | None  # [b n, F], normalised again; None unless requested
    d_parts: list[Tensor]  # [b n, H, K or V], gradients of query, key and value, to be written


def steps_of_a_chunk(raw: Tensor) -> int:
    """Steps that are normalised at a time, of rows ``[T, b n, F]``."""
    return max(1, ROWS_OF_A_CHUNK // max(1, raw.shape[1]))


def input_rows(
    raw: Tensor | None, steps: int, norm: Norm, o: Options, moments: list[Moments]
) -> Iterator[InputRows | None]:
    """The input rows of each step, normalised a chunk of steps at a time.

    Args:
        raw: ``[T, B, n, F]`` before the norm, in the product dtype; None with several blocks, where
            the input rows are query rows.
        steps: number of steps, T.
        norm: of the input rows.
        o: the options.
        moments: the moments of each chunk are appended, for the backward pass.
    """
    if raw is None:
        yield from [None] * steps
        return
    raw = raw.flatten(1, 2)
    room = steps_of_a_chunk(raw)
    for first in range(0, steps, room):
        chunk = raw[first : first + room]
        qkv, of_chunk = norm_forward(chunk.to(norm.weight.dtype), norm)
        moments.append(of_chunk)
        yield from unbind(InputRows(qkv, split_qkv(qkv, o)[2]), len(chunk))


def input_rows_backward(
    raw: Tensor | None,
    steps: int,
    norm: Norm,
    o: Options,
    moments: list[Moments],
    d_raw: Tensor | None,
    gradients: WeightGradients,
    *,
    again: bool,
) -> Iterator[InputRowsBackward | None]:
    """The input rows of each step, from the last to the first, with room for their gradients.

    Once all steps of a chunk are done, the chunk goes backward through its norm. This happens when
    the next item is requested, so the iterator must be exhausted.

    Args:
        raw: as in `input_rows`.
        steps: as in `input_rows`.
        norm: as in `input_rows`.
        o: the options.
        moments: of each chunk, as `input_rows` appended them.
        d_raw: ``[T, B, n, F]``, written: gradient of `raw`.
        gradients: accumulates the norm's gradients.
        again: normalise the rows again.
    """
    if raw is None or d_raw is None:
        yield from [None] * steps
        return
    raw, d_raw = raw.flatten(1, 2), d_raw.flatten(1, 2)
    room = steps_of_a_chunk(raw)
    # zeros: the queries of input rows are not used, so their gradient stays zero
    d_qkv = raw.new_zeros(min(room, len(raw)), *raw.shape[1:], dtype=norm.weight.dtype)
    d_parts = unbind([*split_qkv(d_qkv, o)], len(d_qkv))
    for number, first in reversed([*enumerate(range(0, steps, room))]):
        chunk = raw[first : first + room]
        qkv = norm_forward(chunk.to(d_qkv.dtype), norm)[0].unbind(0) if again else None
        for step in reversed(range(len(chunk))):
            yield InputRowsBackward(None if qkv is None else qkv[step], d_parts[step])
        d_chunk = gradients.layer_norm(
            "qkv_norm", 0, norm, d_qkv[: len(chunk)], chunk.to(d_qkv.dtype), moments[number]
        )
        d_raw[first : first + room].copy_(d_chunk)


class Attention(ABC):
    """The attention of one block at any step.

    Args:
        tape: of the block.
        batch: number of sequences, b.
        norm: of the query rows.
        o: the options.
    """

    def __init__(self, tape: BlockTape, batch: int, norm: Norm, o: Options) -> None:
        self.batch, self.norm, self.o = batch, norm, o
        self.queries, self.keep = tape.inputs.shape[1], tape.attended.shape[1]

    @cached_property
    def d_rows(self) -> Tensor:
        """``[b Q, F]``. The queries of rows that are not kept get no gradient: that stays zero."""
        return self.norm.weight.new_zeros(self.queries, len(self.norm.weight))

    @abstractmethod
    def forward(
        self, rows: Tensor, inputs: InputRows | None, tape: BlockTape
    ) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            rows: ``[b Q, F]``, the query rows.
            inputs: the input rows, or None.
            tape: of this step, written.

        Returns:
            The values ``[keep, M]``, and the attention weights for the backward pass.
        """

    @abstractmethod
    def backward(
        self,
        d_values: Tensor,
        raw: Tensor,
        inputs: InputRowsBackward | None,
        tape: BlockTape,
        weights: Tensor,
    ) -> Tensor:
        """Gradient of the query rows, and of the input rows into their buffers.

        Args:
            d_values: ``[keep, M]``, gradient of the values.
            raw: ``[b Q, F]``, the query rows before their norm.
            inputs: the input rows, or None.
            tape: of this step.
            weights: from `forward`.

        Returns:
            ``[b Q, F]``; the next call writes into the same tensor.
        """


class PairAttention(Attention):
    """One slot and one input row: a softmax over two scores is a sigmoid of their difference.

    Weights ``[b, H]`` are the slot's. The tape has the difference of the two rows. As the input's
    query is zero, this is the query, and the differences of the keys and of the values.
    """

    @cached_property
    def d_parts(self) -> tuple[Tensor, ...]:
        """Queries, keys and values of `d_rows`."""
        return split_qkv(self.d_rows, self.o)

    def forward(
        self, rows: Tensor, inputs: InputRows | None, tape: BlockTape
    ) -> tuple[Tensor, Tensor]:
        """Interpolate between the values of the two rows."""
        assert inputs is not None
        assert tape.parts is not None
        torch.sub(rows, inputs.qkv, out=tape.difference)
        query, key, value = tape.parts
        weights = torch.linalg.vecdot(query, key).sigmoid_()
        values = torch.addcmul(inputs.values, weights.unsqueeze(-1), value)
        return values.view(self.keep, -1), weights

    def backward(
        self,
        d_values: Tensor,
        raw: Tensor,
        inputs: InputRowsBackward | None,
        tape: BlockTape,
        weights: Tensor,
    ) -> Tensor:
        """Keys and values of the two rows get opposite gradients through the weights."""
        assert inputs is not None
        assert tape.parts is not None
        query, key, value = tape.parts
        d_query, d_key, d_value = self.d_parts
        _, d_input_key, d_input_value = inputs.d_parts
        d_values = d_values.view(value.shape)
        d_score = sigmoid_backward(torch.linalg.vecdot(d_values, value), weights).unsqueeze(-1)
        torch.mul(key, d_score, out=d_query)
        torch.mul(query, d_score, out=d_key)
        torch.mul(d_values, weights.unsqueeze(-1), out=d_value)
        torch.neg(d_key, out=d_input_key)
        torch.sub(d_values, d_value, out=d_input_value)
        return self.d_rows


class GeneralAttention(Attention):
    """Any number of rows. Weights are ``[b, H, keep / b, R]`` over all R rows of a sequence."""

    def _heads(self, part: Tensor) -> Tensor:
        """``[b, H, ., K]`` of queries or keys, V of values, from ``[b ., H, K or V]``."""
        return part.view(self.batch, -1, *part.shape[1:]).transpose(1, 2)

    def _parts(self, rows: Tensor, inputs: Tensor | None) -> tuple[Tensor, ...]:
        """Queries of the kept rows, keys and values of all rows, as `_heads` gives them."""
        if inputs is not None:
            both = [each.view(self.batch, -1, each.shape[-1]) for each in (rows, inputs)]
            rows = torch.cat(both, 1).flatten(0, 1)
        query, key, value = map(self._heads, split_qkv(rows, self.o))
        return query[:, :, : self.keep // self.batch], key, value

    def forward(
        self, rows: Tensor, inputs: InputRows | None, tape: BlockTape
    ) -> tuple[Tensor, Tensor]:
        """The softmax in full."""
        query, key, value = self._parts(rows, None if inputs is None else inputs.qkv)
        weights = (query @ key.mT).softmax(-1)
        return (weights @ value).transpose(1, 2).flatten(2).flatten(0, 1), weights

    def backward(
        self,
        d_values: Tensor,
        raw: Tensor,
        inputs: InputRowsBackward | None,
        tape: BlockTape,
        weights: Tensor,
    ) -> Tensor:
        """Three products and the softmax's gradient; the normalised rows are computed again."""
        rows = norm_forward(raw, self.norm)[0]
        query, key, value = self._parts(rows, None if inputs is None else inputs.qkv)
        d_values = d_values.view(self.batch, -1, self.o.num_heads, self.o.head_size).transpose(1, 2)
        d_scores = torch.ops.aten._softmax_backward_data(
            d_values @ value.mT, weights, -1, weights.dtype
        )
        d_query, *d_own = map(self._heads, split_qkv(self.d_rows, self.o))
        d_query[:, :, : query.shape[2]].copy_(d_scores @ key)
        d_inputs = map(self._heads, [] if inputs is None else inputs.d_parts[1:])
        d_all = d_scores.mT @ query, weights.mT @ d_values  # of keys and values of all rows
        for d_rows, d_query_rows, d_input_rows in zip_longest(d_all, d_own, d_inputs):
            count = d_query_rows.shape[2]
            d_query_rows.copy_(d_rows[:, :, :count])
            if d_input_rows is not None:
                d_input_rows.copy_(d_rows[:, :, count:])
        return self.d_rows


def attentions(
    tapes: list[BlockTape], batch: int, norms: list[Norm], o: Options
) -> list[Attention]:
    """The attention of each block."""
    return [
        (GeneralAttention if tape.difference is None else PairAttention)(tape, batch, norm, o)
        for tape, norm in zip(tapes, norms, strict=True)
    ]
