"""Which implementation runs: the backend table, and what ``"auto"`` means."""

from torch import Tensor

from . import autograd, reference
from .parameters import Options, Parameters

BACKENDS = {"reference": reference.unroll, "fused": autograd.unroll}


def relational_memory(
    inputs: Tensor, memory: Tensor, p: Parameters, o: Options, *, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Run a sequence through the memory.

    Args:
        inputs: ``[T, B, n, I]``.
        memory: ``[B, N, M]``.
        p: the parameters.
        o: the options.
        backend: ``"auto"`` or a name in `BACKENDS`.

    Returns:
        The memory after each step ``[T, B, N, M]`` and after the last ``[B, N, M]``.
    """
    return BACKENDS["fused" if backend == "auto" else backend](inputs, memory, p, o)
