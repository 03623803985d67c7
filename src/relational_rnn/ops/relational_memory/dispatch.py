"""Which implementation runs: the backend table, and what ``"auto"`` means."""

from torch import Tensor

from .parameters import Options, Parameters
from .reference import unroll as reference

BACKENDS = {"reference": reference}


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
    return BACKENDS["reference" if backend == "auto" else backend](inputs, memory, p, o)
