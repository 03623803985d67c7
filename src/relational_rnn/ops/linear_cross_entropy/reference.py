"""The reference: all logits at once, in float32 or float64."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """``cross_entropy(linear(hidden, weight, bias), targets)``; arguments as in `chunked`."""
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    with torch.autocast(hidden.device.type, enabled=False):
        logits = F.linear(
            hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        )  # [..., V]
        loss = F.cross_entropy(
            logits.reshape(-1, len(weight)),
            targets.flatten(),
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
    return loss.view_as(targets) if reduction == "none" else loss
