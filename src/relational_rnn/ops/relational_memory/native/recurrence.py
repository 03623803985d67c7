"""The native path: fold the input weights, then run the recurrence in one call of kernel.cpp."""

import ctypes
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ...second_derivative import refuse_second_derivative
from ..hoist import dtypes, needs_tape
from ..parameters import Options, Parameters
from . import build

WEIGHTS = (
    "input_qkv_weight",  # [F, I]
    "input_qkv_bias",  # [F]
    "input_gates_weight",  # [2 G, n I]
    "input_gates_bias",  # [2 G]
    "qkv_weight",  # [1, F, M]
    "qkv_bias",  # [1, F]
    "qkv_norm_weight",  # [1, F]
    "qkv_norm_bias",  # [1, F]
    "attention_norm_weight",  # [1, M]
    "attention_norm_bias",  # [1, M]
    "mlp_weight",  # [L, M, M]
    "mlp_bias",  # [L, M]
    "mlp_norm_weight",  # [1, M]
    "mlp_norm_bias",  # [1, M]
    "gate_memory_weight",  # [2 G, M]
)
"""The weights of the kernel, in the order of its ``enum Name``."""

CORE_WEIGHTS = WEIGHTS[4:]
"""Those that are parameters as they are; `input_weights` makes the others."""

SIZES = (
    *("steps", "batch", "rows", "input_size", "slots", "heads", "key_size", "head_size", "layers"),
    *("gate_width", "threads", "keep_tape", "low"),
    *("tape_floats", "forward_floats", "backward_floats"),  # of tape and workspaces; rrnn_measure
)
CONSTANTS = ("input_bias", "forget_bias")
INPUTS = ("parallel", "thread_number", "thread_count", "inputs", "memory")
OUTPUTS = ("memories", "tape", "workspace", "d_memories", "d_last", "d_memory", "d_inputs")


class Problem(ctypes.Structure):
    """``struct Problem`` of kernel.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in SIZES),
        *((name, ctypes.c_double) for name in CONSTANTS),
        *((name, ctypes.c_void_p) for name in INPUTS),
        *((name, ctypes.c_void_p) for name in WEIGHTS),
        *((name, ctypes.c_void_p) for name in OUTPUTS),
        *((f"d_{name}", ctypes.c_void_p) for name in WEIGHTS),
    )


def why_not(inputs: Tensor, memory: Tensor, p: Parameters) -> str | None:
    """Why the native core cannot run this problem here; None if it can. May compile it."""
    return why_not_problem(inputs, memory, p) or build.why_not() or why_not_products(inputs, memory)


def why_not_products(inputs: Tensor, memory: Tensor) -> str | None:
    """Why this machine's library cannot multiply in the dtype of the products; None if it can."""
    if dtypes(inputs, memory)[0] != torch.bfloat16 or build.multiplies_bfloat16():
        return None
    return "products in bfloat16 need a CPU with AMX; leave out autocast, or use backend='fused'"


def why_not_problem(inputs: Tensor, memory: Tensor, p: Parameters) -> str | None:
    """Why the native core cannot run this problem on any machine."""
    if memory.device.type != "cpu":
        return f"the tensors must be on the CPU, they are on {memory.device.type!r}"
    if p.qkv_weight.shape[0] > 1:
        return f"num_blocks must be 1, got {p.qkv_weight.shape[0]}"
    products, state = dtypes(inputs, memory)
    if products not in (torch.float32, torch.bfloat16):
        return f"products must be in float32 or bfloat16, they are in {products}"
    for kind, dtype in (("memory", state), ("parameters", p.qkv_weight.dtype)):
        if dtype != torch.float32:
            return f"{kind} must be in float32, they are in {dtype}"
    return None


def unroll(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """All steps. Arguments and results as in `reference.unroll`; see `why_not` for the limits.

    It uses ``torch.get_num_threads()`` threads of PyTorch's OpenMP library. As with all of PyTorch,
    a process that is forked afterwards must not compute with several threads: start it by spawn.
    """
    low = dtypes(inputs, memory)[0] == torch.bfloat16
    with torch.autocast("cpu", enabled=False):
        rows, given = input_weights(inputs.float(), p, raw_gates=o.gate_inputs == "raw", low=low)
        tensors = memory.float(), rows, *given, *(getattr(p, name) for name in CORE_WEIGHTS)
        _check_sizes(o, tensors)
        # a plain call would lose the tangents of forward-mode AD; the attribute is PyTorch's own
        if needs_tape(tensors) or getattr(forward_ad, "_current_level", 0) >= 0:
            memories, last = Recurrence.apply(o, low, *tensors)  # type: ignore[no-untyped-call]
        else:
            memories = _forward(o, low, _contiguous(tensors), keep_tape=False)[0]
            last = memories[-1].clone()
    if memory.dtype == torch.float32:
        return memories, last
    return memories.to(memory.dtype), last.to(memory.dtype)


def input_weights(
    inputs: Tensor, p: Parameters, *, raw_gates: bool, low: bool
) -> tuple[Tensor, list[Tensor | None]]:
    """The input's rows and what they are multiplied with, by ordinary autograd.

    The projection is folded into the weights that follow where that is fewer multiplications;
    otherwise the rows are projected. The kernel reads one kind of rows, so gates that read the raw
    inputs have the projection folded as well.

    Args:
        inputs: ``[T, B, n, I]``.
        p: the parameters.
        raw_gates: whether the gates read the inputs and not their projection.
        low: multiply in bfloat16. The kernel rounds a weight for its products in any case.

    Returns:
        Rows ``[T, B, n, J]`` with J either I or M, and weight ``[F, J]`` and bias ``[F]`` of their
        qkv, weight ``[2 G, n J]`` and bias ``[2 G]`` of their gate logits (None without gates).
        Those of the qkv may have a dimension of size 1 in front.
    """
    steps, batch, count, size = inputs.shape
    rows, memory = steps * batch * count, p.projection_weight.shape[0]
    width, bias = p.qkv_weight.shape[1], None
    if p.gate_input_weight is not None:
        assert p.gate_input_bias is not None
        assert p.gate_memory_bias is not None
        width += p.gate_input_weight.shape[0]
        bias = p.gate_input_bias + p.gate_memory_bias
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=low, cache_enabled=False)
    if not raw_gates and rows * memory * (size + width) <= size * width * (rows + memory):
        with autocast():
            inputs = torch.nn.functional.linear(inputs, p.projection_weight, p.projection_bias)
        return inputs.float(), [p.qkv_weight, p.qkv_bias, p.gate_input_weight, bias]

    def folded(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        each = weight.view(bias.numel(), -1, memory)  # side by side: a weight for each input row
        bias = bias.flatten() + each.sum(1) @ p.projection_bias
        with autocast():
            product = each @ p.projection_weight
        return product.flatten(1).float(), bias

    qkv = folded(p.qkv_weight, p.qkv_bias)
    if p.gate_input_weight is None or bias is None:
        return inputs, [*qkv, None, None]
    if raw_gates:
        return inputs, [*qkv, p.gate_input_weight, bias]
    return inputs, [*qkv, *folded(p.gate_input_weight, bias)]


Given = Sequence[Tensor | None]
"""Memory, input rows, then `WEIGHTS`; None where there is no gate."""


@cache
def _elements(o: Options, rows: int, input_size: int, layers: int) -> tuple[int, ...]:
    """Number of elements of each of `WEIGHTS`."""
    size, width = o.num_heads * o.head_size, o.num_heads * (2 * o.key_size + o.head_size)
    gates = {"unit": 2 * size, "memory": 2, None: 0}[o.gate_style]
    inputs = width * input_size, width, gates * rows * input_size, gates
    mlp = layers * size * size, layers * size, size, size
    return *inputs, width * size, width, width, width, size, size, *mlp, gates * size


def _check_sizes(o: Options, given: Given) -> None:
    """Raise a ValueError if tensors and options do not fit: the kernel would miss their ends."""
    memory, inputs, *weights = given
    mlp = weights[WEIGHTS.index("mlp_weight")]
    assert memory is not None
    assert inputs is not None
    assert mlp is not None
    _, batch, rows, input_size = inputs.shape
    if (memory.shape[0], memory.shape[2]) != (batch, o.num_heads * o.head_size):
        raise ValueError(
            f"memory must have shape [{batch}, N, {o.num_heads * o.head_size}], got "
            f"{list(memory.shape)}"
        )
    expected = _elements(o, rows, input_size, mlp.shape[0])
    found = tuple(0 if x is None else x.numel() for x in weights)
    if found != expected:
        name, wrong, right = next(
            each for each in zip(WEIGHTS, found, expected, strict=True) if each[1] != each[2]
        )
        raise ValueError(f"{name} must have {right} elements for {o}, got {wrong}")


def _contiguous(given: Given) -> Given:
    return [None if x is None else x.contiguous() for x in given]


def _forward(o: Options, low: bool, given: Given, *, keep_tape: bool) -> tuple[Tensor, Tensor, int]:
    """Memories ``[T, B, N, M]``, the tape (empty if it is not kept) and the number of threads."""
    problem = _problem(o, low, given, keep_tape=keep_tape)
    memory, inputs = given[:2]
    assert memory is not None
    assert inputs is not None
    memories = memory.new_empty(inputs.shape[0], *memory.shape)
    tape = memory.new_empty(problem.tape_floats)
    workspace = memory.new_empty(problem.forward_floats)
    problem.memories, problem.tape = memories.data_ptr(), tape.data_ptr()
    problem.workspace = workspace.data_ptr()
    build.library().rrnn_forward(ctypes.byref(problem))
    return memories, tape, problem.threads


class Recurrence(torch.autograd.Function):
    """The loop over time, forward and backward."""

    @staticmethod
    def forward(ctx: Any, o: Options, low: bool, *given: Tensor | None) -> tuple[Tensor, Tensor]:
        """Memories ``[T, B, N, M]`` and the last one, from memory, input rows and `WEIGHTS`."""
        given = tuple(_contiguous(given))
        memories, tape, threads = _forward(o, low, given, keep_tape=True)
        ctx.save_for_backward(memories, tape, *given)
        ctx.options, ctx.low, ctx.threads = o, low, threads
        ctx.set_materialize_grads(False)
        return memories, memories[-1].clone()

    @staticmethod
    def backward(
        ctx: Any, d_memories: Tensor | None, d_last: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Gradients of memory, input rows and `WEIGHTS`."""
        refuse_second_derivative("the native core", 'use backend="reference"')
        memories, tape, *given = ctx.saved_tensors
        memory, inputs, *weights = given
        # as many threads as the tape was laid out for
        problem = _problem(ctx.options, ctx.low, given, keep_tape=True, threads=ctx.threads)
        problem.memories, problem.tape = memories.data_ptr(), tape.data_ptr()
        d_memories = None if d_memories is None else d_memories.contiguous()
        d_last = None if d_last is None else d_last.contiguous()
        problem.d_memories = None if d_memories is None else d_memories.data_ptr()
        problem.d_last = None if d_last is None else d_last.data_ptr()
        d_memory, d_inputs = (
            torch.empty_like(x) if needed else None
            for x, needed in zip((memory, inputs), ctx.needs_input_grad[2:4], strict=True)
        )
        problem.d_memory = None if d_memory is None else d_memory.data_ptr()
        problem.d_inputs = None if d_inputs is None else d_inputs.data_ptr()
        d_weights = [None if x is None else torch.empty_like(x) for x in weights]
        for name, x in zip(WEIGHTS, d_weights, strict=True):
            setattr(problem, f"d_{name}", None if x is None else x.data_ptr())
        workspace = memory.new_empty(problem.backward_floats)
        problem.workspace = workspace.data_ptr()
        build.library().rrnn_backward(ctypes.byref(problem))
        return None, None, d_memory, d_inputs, *d_weights


def _problem(
    o: Options, low: bool, given: Given, *, keep_tape: bool, threads: int | None = None
) -> Problem:
    """What forward and backward have in common; the tensors are contiguous and outlive it."""
    memory, inputs, *weights = given
    assert memory is not None
    assert inputs is not None
    mlp, gates = weights[WEIGHTS.index("mlp_weight")], weights[WEIGHTS.index("gate_memory_weight")]
    assert mlp is not None
    batch, slots = memory.shape[:2]
    team = _openmp()
    if threads is None:
        threads = 1 if team is None else min(torch.get_num_threads(), batch)
    problem = Problem(
        *inputs.shape,
        slots,
        o.num_heads,
        o.key_size,
        o.head_size,
        mlp.shape[0],
        0 if gates is None else gates.shape[0] // 2,
        threads,
        keep_tape,
        low,
        *(0, 0, 0),
        o.input_bias,
        o.forget_bias,
        *(team or (None, None, None)),
        inputs.data_ptr(),
        memory.data_ptr(),
        *(None if x is None else x.data_ptr() for x in weights),
    )
    build.library().rrnn_measure(ctypes.byref(problem))
    return problem


@cache
def _openmp() -> tuple[int, int, int] | None:
    """Addresses of three functions of the OpenMP library that PyTorch uses; None: no threads.

    The kernel calls them instead of being compiled with OpenMP, so that it needs no second
    library, which would have threads of its own.
    """
    folder = Path(torch.__file__).parent / "lib"
    loaded = [None, *sorted(map(str, (*folder.glob("libgomp*"), *folder.glob("libomp*"))))]
    for name in loaded:
        try:
            library = ctypes.CDLL(name)
            found = library.GOMP_parallel, library.omp_get_thread_num, library.omp_get_num_threads
        except (AttributeError, OSError):
            continue
        addresses = [ctypes.cast(function, ctypes.c_void_p).value for function in found]
        if all(addresses):
            return addresses[0] or 0, addresses[1] or 0, addresses[2] or 0
    return None
