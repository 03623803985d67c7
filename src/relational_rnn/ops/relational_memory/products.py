"""Matrix products with one weight and many inputs: the weight is cast and laid out once."""

from typing import NamedTuple

import torch
from torch import Tensor

from .norms import Norm, qkv_scale
from .parameters import Options, Parameters

USES_TO_PACK = 16  # packing costs about as much as it saves in eight products


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN's packed layout is to be had for this weight in this build of PyTorch.

    The two operators are PyTorch's own and not promised to stay, hence the guard.
    """
    return (
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.bfloat16)
        and bool(torch.backends.mkldnn.enabled)
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


class Product:
    """``x -> x W^T + b``, without autograd.

    Args:
        weight: ``[out, in]``, already in the dtype of the product.
        bias: ``[out]`` likewise, or None.
        rows: rows of a typical x.
        uses: how many products are going to be made.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, rows: int, uses: int) -> None:
        self.dtype = weight.dtype
        self.bias = bias
        self.packed = uses >= USES_TO_PACK and can_pack(weight)
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
            # looked up once: every step makes its products with them
            self._linear = torch.ops.mkldnn._linear_pointwise.default
            self._add = torch.ops.mkldnn._linear_pointwise.binary
        else:
            self.weight = weight.t()

    def __call__(self, x: Tensor, *, relu: bool = False, plus: Tensor | None = None) -> Tensor:
        """The product of x ``[rows, in]``, with a ReLU or plus ``[rows, out]`` on request."""
        if plus is not None:
            return self._sum(x, plus)
        if self.packed:
            after = "relu" if relu else "none"
            out: Tensor = self._linear(x, self.weight, self.bias, after, [], "")
            return out
        if self.bias is None:
            out = torch.mm(x, self.weight)
        else:
            out = torch.addmm(self.bias, x, self.weight)
        return out.relu_() if relu else out

    def _sum(self, x: Tensor, plus: Tensor) -> Tensor:
        """The product plus something, added before rounding; for one without a bias."""
        assert self.bias is None
        if self.packed:
            total: Tensor = self._add(x, plus, self.weight, None, "add")
            return total
        return torch.addmm(plus, x, self.weight)


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
            weight = weight.to(product)
            if back:
                return Product(weight.t(), None, rows=rows, uses=uses)
            return Product(weight, None if bias is None else bias.to(product), rows=rows, uses=uses)

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
