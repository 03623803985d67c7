"""The Muon optimizer for hidden matrices, with AdamW for everything else."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from ..ops.precision import multiplies_bfloat16

MOMENTUM = 0.95
# Coefficients of x, x^3 and x^5, and the number of iterations, of Jordan et al.: five iterations
# bring singular values between 0.005 and 1 to between 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


class Muon(AdamW):
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) beside AdamW.

    A matrix W ``[out, in]`` of gradient G, with Nesterov momentum, moves by the orthogonal matrix
    next to its momentum, scaled to the same root mean square at every size (Liu et al. 2025, "Muon
    is scalable for LLM training", equation 4)::

        momentum = 0.95 momentum + 0.05 G
        O        = orthogonalized(0.05 G + 0.95 momentum)
        W        = (1 - lr weight_decay) W - lr rms sqrt(max(out, in)) O

    A parameter with three dimensions is a stack of such matrices. torch.optim.Muon takes single
    matrices only, and always computes in bfloat16, which is slow on many CPUs.

    Args:
        matrices: parameters ``[out, in]`` or ``[L, out, in]``; the first of the groups.
        groups: parameter groups for AdamW.
        lr: learning rate of all groups.
        betas: of AdamW.
        weight_decay: of ``matrices``.
        rms: about the root mean square of their update, in units of ``lr``.
        low: multiply in bfloat16 where the device is fast at it.
        fused: of AdamW.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        rms: float,
        low: bool,
        fused: bool,
    ) -> None:
        own = {"params": list(matrices), "weight_decay": weight_decay, "rms": rms, "low": low}
        super().__init__([own, *groups], lr=lr, betas=betas, fused=fused)

    # torch's own overloads of step differ between versions.
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; the gradients of all groups come from ``closure`` if it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        self.param_groups = groups[1:]
        try:
            super().step()
        finally:
            self.param_groups = groups
        self._step_matrices(groups[0])
        return loss

    @torch.no_grad()
    def _step_matrices(self, group: dict[str, Any]) -> None:
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:
                state["step"] = torch.zeros(())  # read by AdamW when the state is loaded
                state["momentum_buffer"] = torch.zeros_like(weight)
            momentum = state["momentum_buffer"].lerp_(weight.grad, 1 - MOMENTUM)
            low = group["low"] and multiplies_bfloat16(weight.device.type)
            direction = orthogonalized(weight.grad.lerp(momentum, MOMENTUM), low=low)
            size = float(max(weight.shape[-2:])) ** 0.5
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(direction, alpha=-group["lr"] * group["rms"] * size)


def orthogonalized(matrices: Tensor, *, low: bool = False) -> Tensor:
    """Return an approximation of U Vᵀ for matrices ``[..., m, n]`` with the decomposition U S Vᵀ.

    Newton-Schulz iterations ``x = a x + b (x xᵀ) x + c (x xᵀ)² x`` bring the singular values near 1
    and leave the singular vectors. A matrix of zeros stays zero.

    Args:
        matrices: float32 or float64.
        low: iterate in bfloat16.

    Returns:
        ``[..., m, n]`` in the dtype of the iterations.
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    if low:
        x = x.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:  # the smaller of the two products with itself
        x = x.mT
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x
