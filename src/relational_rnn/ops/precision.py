"""Detect fast bfloat16 matrix products, and choose the dtype of products.

A CPU without AVX-512 (or the equivalent of other vendors) has no bfloat16 kernels in oneDNN.
PyTorch then falls back to scalar loops that are at least 30 times slower than float32, and
``nn.LSTM`` cannot be trained at all.
"""

from functools import cache

import torch
from torch import Tensor


@cache
def multiplies_bfloat16(device: str) -> bool:
    """Whether this type of device ("cpu", "cuda", "mps") has fast bfloat16 matrix products.

    On a CPU this requires oneDNN. PyTorch has no stable API to query it; in a build without the
    internal query the answer is yes.
    """
    if device != "cpu":
        return True
    # PyTorch does not annotate this function.
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    query = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return query is None or bool(query())


def autocast(device: str, *, low: bool) -> torch.autocast:
    """Autocast to bfloat16 if `low` is set and the device is fast at it, else disabled autocast."""
    return torch.autocast(device, torch.bfloat16, enabled=low and multiplies_bfloat16(device))


def product_dtype(tensor: Tensor) -> torch.dtype:
    """Dtype of the matrix products with a tensor.

    float64 stays float64. Otherwise it is the dtype of autocast where that is enabled, else the
    tensor's own; bfloat16 becomes float32 on a device without fast bfloat16 products.
    """
    device, dtype = tensor.device.type, tensor.dtype
    if dtype != torch.float64 and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    slow = dtype == torch.bfloat16 and not multiplies_bfloat16(device)
    return torch.float32 if slow else dtype
