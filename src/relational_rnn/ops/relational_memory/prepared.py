"""The parameters of a core as the loop takes them: cast, laid out and scaled once."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..product import Product
from .norms import Norm, qkv_scale
from .parameters import Options, Parameters

USES_TO_PACK = 16  # packing costs about as much as it saves in eight products


class Prepared(NamedTuple):
    """The parameters of the loop, ready for use; lists over blocks or layers."""

    qkv: list[Product]
    qkv_norm: list[Norm]
    others_norm: Norm  # of the rows that answer only, with one block
    attention_norm: list[Norm]
    mlp: list[Product]
    mlp_norm: list[Norm]
    gate_memory: Product | None

    @classmethod
    def of(
        cls,
        p: Parameters,
        product: torch.dtype,
        state: torch.dtype,
        o: Options,
        *,
        rows: int,
        uses: int,
        back: bool = False,
    ) -> "Prepared":
        """Prepare for the loop forward, or `back` through the transposed weights."""

        def linear(weight: Tensor, bias: Tensor | None) -> Product:
            weight, pack = weight.to(product), uses >= USES_TO_PACK
            if back:
                return Product(weight.t(), None, rows=rows, pack=pack)
            return Product(weight, None if bias is None else bias.to(product), rows=rows, pack=pack)

        def linears(weights: Tensor, biases: Tensor) -> list[Product]:
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
