"""Which implementation runs: the backend table, and what ``"auto"`` means."""

import os
import shutil
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from . import autograd, reference
from .hoist import dtypes
from .native import build
from .native import recurrence as native_recurrence
from .parameters import Options, Parameters
from .recompute import Recomputed

WIDEST = 8192  # elements of a padded row that a Triton program holds in registers
AUTO_NATIVE = False  # whether "auto" may choose "native"
LEAST_WORK = 1  # steps times batch from which "auto" chooses "native"


@cache
def _missing() -> str | None:
    """What Triton lacks on this machine. Looked up once: it searches paths."""
    if find_spec("triton") is None:
        return "the package 'triton' is not installed"
    if not _interpreted() and not any(map(shutil.which, (os.environ.get("CC", "gcc"), "clang"))):
        return "Triton finds no C compiler (CC, gcc or clang)"
    return None


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"  # Triton's own: kernels on the CPU


def why_not_triton(memory: Tensor, p: Parameters, o: Options) -> str | None:
    """Why the backend ``"triton"`` cannot run this problem; None if it can."""
    if memory.device.type != "cuda" and not _interpreted():
        return f"the tensors are on {memory.device.type!r}, it takes a CUDA device"
    missing = _missing()
    if missing is not None:
        return missing
    if len(p.qkv_weight) > 1:
        return f"num_blocks is {len(p.qkv_weight)}, it takes 1"
    heads, size = (1 << (x - 1).bit_length() for x in (o.num_heads, max(o.head_size, o.key_size)))
    if heads * size > WIDEST:
        return f"heads of {size}, {heads} of them, are too wide; it takes {WIDEST} in all"
    return None


def triton(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """The GPU path; arguments and results as in `relational_memory`."""
    reason = why_not_triton(memory, p, o)
    if reason is not None:
        raise ValueError(f"backend is 'triton' and cannot run: {reason}")
    from .gpu.autograd import unroll  # Triton is optional, and slow to import

    return unroll(inputs, memory, p, o)


def native(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """The path compiled for this CPU; arguments and results as in `relational_memory`."""
    reason = native_recurrence.why_not(inputs, memory, p)
    if reason is not None:
        raise ValueError(f"backend 'native' cannot run: {reason}")
    return native_recurrence.unroll(inputs, memory, p, o)


BACKENDS = {
    "reference": reference.unroll,
    "fused": autograd.unroll,
    "native": native,
    "triton": triton,
}


def auto(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> str:
    """The backend that ``"auto"`` means for this problem."""
    if memory.device.type == "cuda" and why_not_triton(memory, p, o) is None:
        return "triton"
    if (
        AUTO_NATIVE
        and native_recurrence.why_not_problem(inputs, memory, p) is None
        and inputs.shape[:2].numel() >= LEAST_WORK
        and build.available()
    ):
        return "native"
    return "fused"


def check_backend(name: object) -> None:
    """Raise a ValueError if it is neither ``"auto"`` nor a name in `BACKENDS`."""
    if name not in ("auto", *BACKENDS):
        raise ValueError(f"backend is {name!r}; it takes 'auto' or one of {list(BACKENDS)}")


def relational_memory(
    inputs: Tensor,
    memory: Tensor,
    p: Parameters,
    o: Options,
    *,
    backend: str = "auto",
    checkpoint_every: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a sequence through the memory.

    Args:
        inputs: ``[T, B, n, I]``.
        memory: ``[B, N, M]``.
        p: the parameters.
        o: the options.
        backend: a name in `BACKENDS`, or ``"auto"``: ``"triton"`` on a CUDA device where it can
            run, else ``"fused"`` (see `auto`); under `torch.export` ``"reference"``.
        checkpoint_every: steps between the memories that are kept for the backward pass, which
            computes the rest again; None keeps all.

    Returns:
        The memory after each step ``[T, B, N, M]`` and after the last ``[B, N, M]``.

    Raises:
        ValueError: if the backend asked for is none or cannot run, with the reason.
    """
    check_backend(backend)
    if backend == "auto" and torch.compiler.is_exporting():
        backend = "reference"  # the one made of operations that a graph can hold
    if backend == "reference" and checkpoint_every is None:
        return reference.unroll(inputs, memory, p, o)
    run = _run
    # not as a decorator: that would import the compiler, 1.7 s; PyTorch gives it no types
    if torch.compiler.is_compiling():
        run = torch.compiler.disable(  # type: ignore[no-untyped-call]
            _run, reason="the loop over time is written out already"
        )
    return run(inputs, memory, p, o, backend, checkpoint_every)


def _run(
    inputs: Tensor,
    memory: Tensor,
    p: Parameters,
    o: Options,
    backend: str,
    checkpoint_every: int | None,
) -> tuple[Tensor, Tensor]:
    """`relational_memory`, where torch.compile had better not look: it would trace every step."""
    if backend == "auto":
        backend = auto(inputs, memory, p, o)
    unroll = BACKENDS[backend]
    if memory.is_meta or len(memory) == 0:  # nothing to compute, but shapes
        unroll = reference.unroll
    if checkpoint_every is None or checkpoint_every >= len(inputs) or not torch.is_grad_enabled():
        return unroll(inputs, memory, p, o)
    dtype = memory.dtype
    if backend != "reference":  # the others round their memory at the end of a call alone
        memory = memory.to(dtypes(inputs, memory)[1])
    pieces = []
    for piece in torch.split(inputs, checkpoint_every):
        memories, memory = Recomputed.apply(  # type: ignore[no-untyped-call]
            unroll, o, piece, memory, *p
        )
        pieces.append(memories)
    return torch.cat(pieces).to(dtype), memory.to(dtype)
