"""Matrix products with one weight and many inputs: the weight is laid out once."""

import torch
from torch import Tensor


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
        pack: lay the weight out as oneDNN likes it, where that is to be had; pays after some uses.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, rows: int, pack: bool) -> None:
        self.dtype = weight.dtype
        self.bias = bias
        self.packed = pack and can_pack(weight)
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
