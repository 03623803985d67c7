"""For functions whose backward pass is written by hand: once, and never silently a second time."""

import torch


def refuse_second_derivative(name: str, instead: str = "") -> None:
    """To be called first in a backward pass.

    `torch.autograd.function.once_differentiable` raises only where the incoming gradient depends on
    something; that of a sum does not, and terms of the second derivative would be lost in silence.

    Args:
        name: of what cannot be differentiated twice.
        instead: what to do about it.

    Raises:
        RuntimeError: if a graph is being made of the backward pass (``create_graph=True``).
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"{name} can be differentiated once only: call backward or grad without create_graph"
            + (f", or {instead}" if instead else "")
        )
