"""Which implementation runs: the table of backends, the meaning of ``"auto"``, recomputation."""

import os
import shutil
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from ..second_derivative import refuse_second_derivative
from . import reference
from .fused import recurrence as fused
from .hoist import dtypes
from .native import build
from .native import recurrence as native_recurrence
from .parameters import Interruptions, Options, Parameters
from .segments import run_segments

Unroll = Callable[[Tensor, Tensor, Parameters, Options], tuple[Tensor, Tensor]]

WIDEST_ROW = 8192
"""Elements of a padded row that a Triton program holds in registers."""
TRITON_DEVICES = ("cuda",)
"""Device types on which ``"auto"`` considers Triton."""


def why_not_triton(memory: Tensor, p: Parameters, o: Options) -> str | None:
    """Why the backend ``"triton"`` cannot run this problem; None if it can."""
    if memory.device.type != "cuda" and not _interpreted():
        return f"the tensors must be on a CUDA device, got {memory.device.type!r}"
    missing = _missing()
    if missing is not None:
        return missing
    if len(p.qkv_weight) > 1:
        return f"num_blocks must be 1, got {len(p.qkv_weight)}"
    heads, size = (1 << (x - 1).bit_length() for x in (o.num_heads, max(o.head_size, o.key_size)))
    if heads * size > WIDEST_ROW:
        return (
            "num_heads times head_size or key_size, each rounded up to a power of two, must be at "
            f"most {WIDEST_ROW}, got {heads} * {size}"
        )
    return None


@cache
def _missing() -> str | None:
    """What Triton lacks on this machine, or None. Cached: it searches paths."""
    if find_spec("triton") is None:
        return "the package 'triton' is not installed"
    if not _interpreted() and not any(map(shutil.which, (os.environ.get("CC", "gcc"), "clang"))):
        return "Triton finds no C compiler (CC, gcc or clang)"
    return None


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"  # Triton's own variable: kernels run on a CPU


def triton(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """The Triton path, imported when first used; arguments and results as in `reference.unroll`."""
    reason = why_not_triton(memory, p, o)
    if reason is not None:
        raise ValueError(f"backend 'triton' cannot run: {reason}")
    from .triton.recurrence import unroll  # Triton is optional, and slow to import

    return unroll(inputs, memory, p, o)


def native(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """The path compiled for this CPU; arguments and results as in `relational_memory`."""
    reason = native_recurrence.why_not(inputs, memory, p)
    if reason is not None:
        raise ValueError(f"backend 'native' cannot run: {reason}")
    return native_recurrence.unroll(inputs, memory, p, o)


BACKENDS: dict[str, Unroll] = {
    "reference": reference.unroll,
    "fused": fused.unroll,
    "native": native,
    "triton": triton,
}


def check_backend(name: object) -> None:
    """Raise a ValueError if it is neither ``"auto"`` nor a name in `BACKENDS`."""
    if not isinstance(name, str) or name not in ("auto", *BACKENDS):
        raise ValueError(f"backend must be 'auto' or one of {list(BACKENDS)}, got {name!r}")


def choose(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> str:
    """The backend that ``"auto"`` means for this problem.

    On a CUDA device ``"triton"`` where it can run and agrees with the reference
    (`triton.self_check`); on a CPU ``"native"`` where it can run: it was the fastest at every size
    measured (docs/speed.md); else ``"fused"``.
    """
    if memory.device.type in TRITON_DEVICES and why_not_triton(memory, p, o) is None:
        from .triton.self_check import passes  # Triton is optional, and slow to import

        return "triton" if passes(inputs, memory, p, o) else "fused"
    runs = (
        native_recurrence.why_not_problem(inputs, memory, p) is None
        and build.available()
        and native_recurrence.why_not_products(inputs, memory) is None
    )
    return "native" if runs else "fused"


def relational_memory(
    inputs: Tensor,
    memory: Tensor,
    p: Parameters,
    o: Options,
    *,
    backend: str = "auto",
    checkpoint_every: int | None = None,
    interruptions: Interruptions | None = None,
) -> tuple[Tensor, Tensor]:
    """Run sequences through the memory.

    Args:
        inputs: ``[T, B, n, I]``.
        memory: ``[B, N, M]``.
        p: the parameters.
        o: the options.
        backend: a name in `BACKENDS`, or ``"auto"``, see `choose`; under `torch.export`
            ``"auto"`` is ``"reference"``.
        checkpoint_every: keep the memory of every so many steps for the backward pass, and
            recompute the rest there; None keeps everything.
        interruptions: where sequences end early or start anew; None: nowhere.

    Returns:
        The memory after each step ``[T, B, N, M]``, zeros after the end of a sequence, and the
        memory after the last step of each sequence ``[B, N, M]``.

    Raises:
        ValueError: for an unknown backend, or one that cannot run, with the reason.
    """
    check_backend(backend)
    if backend == "auto" and torch.compiler.is_exporting():
        backend = "reference"  # the only one whose operations a graph can hold
    if backend == "reference" and checkpoint_every is None:
        if interruptions is None:
            return reference.unroll(inputs, memory, p, o)
        return reference.unroll_masked(inputs, memory, p, o, interruptions)
    run = _run
    # not as a decorator, which would import the compiler: 1.7 s; PyTorch does not annotate it
    if torch.compiler.is_compiling():
        run = torch.compiler.disable(  # type: ignore[no-untyped-call]
            _run, reason="the loop over time is already written out"
        )
    return run(inputs, memory, p, o, backend, checkpoint_every, interruptions)


def _run(
    inputs: Tensor,
    memory: Tensor,
    p: Parameters,
    o: Options,
    backend: str,
    checkpoint_every: int | None,
    interruptions: Interruptions | None,
) -> tuple[Tensor, Tensor]:
    """`relational_memory` outside of torch.compile, which would trace every step."""
    if interruptions is not None:
        if memory.is_meta:
            return reference.unroll_masked(inputs, memory, p, o, interruptions)

        def whole(inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
            return _run(inputs, memory, p, o, backend, checkpoint_every, None)

        return run_segments(whole, inputs, memory, interruptions)
    unroll = BACKENDS.get(backend)
    if unroll is None:
        backend = choose(inputs, memory, p, o)
        # `choose` has asked already whether the native core can run
        unroll = native_recurrence.unroll if backend == "native" else BACKENDS[backend]
    if memory.is_meta or len(memory) == 0:  # only shapes to compute
        unroll = reference.unroll
    if checkpoint_every is None or checkpoint_every >= len(inputs) or not torch.is_grad_enabled():
        return unroll(inputs, memory, p, o)
    dtype = memory.dtype
    if backend != "reference":  # the others round the memory only at the end of a call
        memory = memory.to(dtypes(inputs, memory)[1])
    pieces = []
    for piece in torch.split(inputs, checkpoint_every):
        memories, memory = Recomputed.apply(  # type: ignore[no-untyped-call]
            unroll, o, piece, memory, *p
        )
        pieces.append(memories)
    return torch.cat(pieces).to(dtype), memory.to(dtype)


class Recomputed(torch.autograd.Function):
    """A piece of a sequence that saves only its arguments, and runs again in the backward pass.

    Unlike `torch.utils.checkpoint`, which frees only saved tensors: the Triton path keeps its tape
    in buffers that are lent to a forward pass until its backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any, unroll: Unroll, o: Options, inputs: Tensor, memory: Tensor, *p: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Run `unroll` without gradients."""
        device = inputs.device.type
        ctx.unroll, ctx.options = unroll, o
        ctx.autocast = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        ctx.save_for_backward(inputs, memory, *p)
        return unroll(inputs, memory, Parameters(*p), o)  # type: ignore[arg-type]

    @staticmethod
    def backward(ctx: Any, d_memories: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        """Run it again, with gradients."""
        refuse_second_derivative("a core with checkpoint_every")
        needed = ctx.needs_input_grad[2:]
        given: list[Any] = [  # the parameters of the gates may be None
            None if x is None else x.detach().requires_grad_(need)
            for x, need in zip(ctx.saved_tensors, needed, strict=True)
        ]
        enabled, dtype = ctx.autocast
        device = given[0].device.type
        with torch.enable_grad(), torch.autocast(device, dtype, enabled=enabled):
            inputs, memory, *p = given
            outputs = ctx.unroll(inputs, memory, Parameters(*p), ctx.options)
        wanted = [x for x, need in zip(given, needed, strict=True) if need]
        found = iter(torch.autograd.grad(outputs, wanted, (d_memories, d_last), allow_unused=True))
        return None, None, *(next(found) if need else None for need in needed)
