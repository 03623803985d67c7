"""The parameters as the loop uses them: cast, packed and scaled once. Layer norms included."""

from typing import NamedTuple

import torch
from torch import Tensor

from ...packed_linear import PackedLinear
from ..parameters import EPSILON, Options, Parameters

USES_TO_PACK = 16
"""Products from which a weight is packed: packing costs about what eight products save."""

layer_norm_backward = torch.ops.aten.native_layer_norm_backward.default


class Norm(NamedTuple):
    """Gain and bias of a layer norm."""

    weight: Tensor
    bias: Tensor


class Moments(NamedTuple):
    """Saved by a layer norm for its backward pass."""

    mean: Tensor
    inverse_std: Tensor


def norm_forward(rows: Tensor, norm: Norm) -> tuple[Tensor, Moments]:
    """Layer norm over the last axis."""
    normal, *moments = torch.native_layer_norm(rows, norm.weight.shape, *norm, EPSILON)
    return normal, Moments(*moments)


def norm_backward(
    d_out: Tensor, rows: Tensor, moments: Moments, norm: Norm
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the rows before the norm, of its gain and of its bias."""
    d_rows, d_weight, d_bias = layer_norm_backward(
        d_out, rows, norm.weight.shape, *moments, *norm, [True] * 3
    )
    return d_rows, d_weight, d_bias


def qkv_scale(like: Tensor, queries: float, o: Options) -> Tensor:
    """Factors ``[F]`` of the qkv norm's gain and bias: `queries` for the queries, 1 for the rest.

    `queries` is ``K ** -0.5`` for rows whose queries are used: the softmax then needs no scaling.
    It is 0 for rows whose queries are not used.
    """
    scale = torch.ones_like(like).view(o.num_heads, -1)
    scale[:, : o.key_size] = queries
    return scale.flatten()


class Weights(NamedTuple):
    """The parameters of the loop; lists over blocks or layers."""

    qkv: list[PackedLinear]
    qkv_norm: list[Norm]
    input_norm: Norm  # the qkv norm of the input rows, with one block
    attention_norm: list[Norm]
    mlp: list[PackedLinear]
    mlp_norm: list[Norm]
    gate_memory: PackedLinear | None

    @classmethod
    def prepare(
        cls,
        p: Parameters,
        product: torch.dtype,
        state: torch.dtype,
        o: Options,
        *,
        rows: int,
        uses: int,
        transposed: bool = False,
    ) -> "Weights":
        """Cast, scale and pack.

        Args:
            p: the parameters.
            product: dtype of the matrix products.
            state: dtype of the norms.
            o: the options.
            rows: rows of a product.
            uses: products with each weight.
            transposed: for the backward pass: weights transposed, no biases.
        """

        def linear(weight: Tensor, bias: Tensor | None) -> PackedLinear:
            weight, pack = weight.to(product), uses >= USES_TO_PACK
            if transposed:
                return PackedLinear(weight.t(), None, rows=rows, pack=pack)
            bias = None if bias is None else bias.to(product)
            return PackedLinear(weight, bias, rows=rows, pack=pack)

        def linears(weights: Tensor, biases: Tensor) -> list[PackedLinear]:
            return [linear(w, b) for w, b in zip(weights, biases, strict=True)]

        def norms(weights: Tensor, biases: Tensor) -> list[Norm]:
            return [Norm(w.to(state), b.to(state)) for w, b in zip(weights, biases, strict=True)]

        def qkv_norms(queries: float) -> list[Norm]:
            scale = qkv_scale(p.qkv_norm_weight[0], queries, o)
            return norms(p.qkv_norm_weight * scale, p.qkv_norm_bias * scale)

        return cls(
            linears(p.qkv_weight, p.qkv_bias),
            qkv_norms(o.key_size**-0.5),
            qkv_norms(0)[0],
            norms(p.attention_norm_weight, p.attention_norm_bias),
            linears(p.mlp_weight, p.mlp_bias),
            norms(p.mlp_norm_weight, p.mlp_norm_bias),
            None if p.gate_memory_weight is None else linear(p.gate_memory_weight, None),
        )
