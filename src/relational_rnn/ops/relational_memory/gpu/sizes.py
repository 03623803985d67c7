"""What a run depends on besides numbers: the key that runs are found by."""

from typing import NamedTuple

import torch


class Sizes(NamedTuple):
    """What buffers and kernels depend on; letters as in `Options`, R = B * N rows of memory."""

    steps: int
    batch: int
    slots: int
    extra: int  # n, input rows
    heads: int
    key: int
    head: int
    layers: int
    gates: int  # G; 0 without gates
    product: torch.dtype  # of matrix products
    state: torch.dtype  # of everything else
    device: torch.device

    @property
    def memory_width(self) -> int:
        """M."""
        return self.heads * self.head

    @property
    def qkv_width(self) -> int:
        """F."""
        return self.heads * (2 * self.key + self.head)
