"""Whether bfloat16 is worth anything here, and what products are made in.

A CPU without AVX-512 (nor the like of other makers) has no bfloat16 products in oneDNN: PyTorch
then multiplies such matrices one number at a time, 30 times slower than float32 or more, and its
``nn.LSTM`` cannot be trained at all.
"""

from functools import cache

import torch
from torch import Tensor


@cache
def multiplies_bfloat16(device: str) -> bool:
    """Whether this type of device ("cpu", "cuda", "mps") multiplies bfloat16 matrices well.

    On a CPU that takes oneDNN. PyTorch promises no way to ask that; where its own way is gone, the
    answer is yes.
    """
    if device != "cpu":
        return True
    # PyTorch gives this function no types.
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    ask = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return ask is None or bool(ask())


def autocast(device: str, *, low: bool) -> torch.autocast:
    """Products in bfloat16 if `low` is set and the device is good at them, else nothing."""
    return torch.autocast(device, torch.bfloat16, enabled=low and multiplies_bfloat16(device))


def product_dtype(tensor: Tensor) -> torch.dtype:
    """Dtype of the matrix products with a tensor.

    float64 stays float64. Otherwise it is autocast's dtype where that is on, else the tensor's own;
    float32 in place of bfloat16 on a device that is bad at that.
    """
    device, dtype = tensor.device.type, tensor.dtype
    if dtype != torch.float64 and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    slow = dtype == torch.bfloat16 and not multiplies_bfloat16(device)
    return torch.float32 if slow else dtype
