"""A weight packed once for many products."""

import torch
from torch import Tensor


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN's packed layout is available for this weight in this build of PyTorch.

    The two operators are internal to PyTorch and may be removed, hence the check.
    """
    return (
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.bfloat16)
        and bool(torch.backends.mkldnn.enabled)
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


class PackedLinear:
    """``x -> x W^T + b`` without autograd.

    Args:
        weight: ``[out, in]``, in the dtype of the products.
        bias: ``[out]`` in the same dtype, or None.
        rows: number of rows of a typical x; oneDNN chooses the layout for it.
        pack: use oneDNN's packed layout where it is available. Packing pays off after several
            products.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, rows: int, pack: bool) -> None:
        self.bias = bias
        self.packed = pack and can_pack(weight)
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
            # looked up once, not at every step of a loop
            self._linear = torch.ops.mkldnn._linear_pointwise.default
            self._add = torch.ops.mkldnn._linear_pointwise.binary
        else:
            self.weight = weight.t()

    def __call__(self, x: Tensor, *, relu: bool = False, plus: Tensor | None = None) -> Tensor:
        """The product ``[rows, out]`` of x ``[rows, in]``.

        Args:
            x: ``[rows, in]``.
            relu: apply a ReLU.
            plus: ``[rows, out]``, added before rounding; only for a layer without a bias.
        """
        if plus is not None:
            return self._sum(x, plus)
        if self.packed:
            epilogue = "relu" if relu else "none"
            out: Tensor = self._linear(x, self.weight, self.bias, epilogue, [], "")
            return out
        if self.bias is None:
            out = torch.mm(x, self.weight)
        else:
            out = torch.addmm(self.bias, x, self.weight)
        return out.relu_() if relu else out

    def _sum(self, x: Tensor, plus: Tensor) -> Tensor:
        assert self.bias is None
        if self.packed:
            total: Tensor = self._add(x, plus, self.weight, None, "add")
            return total
        return torch.addmm(plus, x, self.weight)
