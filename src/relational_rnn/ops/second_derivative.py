"""Refuse a second derivative through a hand-written backward pass."""

import torch


def refuse_second_derivative(name: str, instead: str = "") -> None:
    """Raise if the running backward pass is itself being recorded; call it first in `backward`.

    `torch.autograd.function.once_differentiable` raises only where the incoming gradient requires
    a gradient. The gradient of a sum does not, so terms of the second derivative would be dropped
    silently.

    Args:
        name: what cannot be differentiated twice.
        instead: what to do about it.

    Raises:
        RuntimeError: if a graph of the backward pass is being recorded (``create_graph=True``).
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"{name} can be differentiated only once; call backward or grad without create_graph"
            + (f", or {instead}" if instead else "")
        )
