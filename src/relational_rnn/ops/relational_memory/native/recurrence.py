"""The native path: fold the input weights, then run the recurrence in one call of kernel.cpp."""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...once import refuse_second_derivative
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

SIZES = (
    *("steps", "batch", "rows", "input_size", "slots", "heads", "key_size", "head_size", "layers"),
    *("gate_width", "threads", "keep_tape"),
)
INPUTS = ("parallel", "thread_number", "thread_count", "inputs", "memory")
OUTPUTS = ("memories", "tape", "workspace", "d_memories", "d_last", "d_memory", "d_inputs")


class Problem(ctypes.Structure):
    """``struct Problem`` of kernel.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in SIZES),
        *((name, ctypes.c_void_p) for name in INPUTS),
        *((name, ctypes.c_void_p) for name in WEIGHTS),
        *((name, ctypes.c_void_p) for name in OUTPUTS),
        *((f"d_{name}", ctypes.c_void_p) for name in WEIGHTS),
    )


def why_not(inputs: Tensor, memory: Tensor, p: Parameters) -> str | None:
    """Why the native core cannot run this problem here; None if it can. May compile it."""
    return why_not_problem(inputs, memory, p) or build.why_not()


def why_not_problem(inputs: Tensor, memory: Tensor, p: Parameters) -> str | None:
    """Why the native core cannot run this problem on any machine."""
    if memory.device.type != "cpu":
        return f"the tensors must be on the CPU, they are on {memory.device.type!r}"
    if len(p.qkv_weight) > 1:
        return f"num_blocks must be 1, got {len(p.qkv_weight)}"
    for kind, dtype in zip(("products", "memory"), dtypes(inputs, memory), strict=True):
        if dtype != torch.float32:
            return f"{kind} must be in float32, they are in {dtype}"
    return None


def unroll(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """All steps. Arguments and results as in `reference.unroll`; see `why_not` for the limits."""
    with torch.autocast("cpu", enabled=False):
        rows, weights = input_weights(inputs.to(torch.float32), p, o)
        tensors = memory.to(torch.float32), rows, *weights
        names = WEIGHTS[len(weights) :]
        rest = [getattr(p, name) for name in names]
        memories, last = Recurrence.apply(  # type: ignore[no-untyped-call]
            o, needs_tape((*tensors, *rest)), *tensors, *rest
        )
    return memories.to(memory.dtype), last.to(memory.dtype)


def input_weights(inputs: Tensor, p: Parameters, o: Options) -> tuple[Tensor, list[Tensor | None]]:
    """The input's rows and what they are multiplied with, by ordinary autograd.

    The projection is folded into the weights that follow where that is fewer multiplications;
    otherwise the rows are projected.

    Args:
        inputs: ``[T, B, n, I]``.
        p: the parameters.
        o: the options.

    Returns:
        Rows ``[T, B, n, J]`` with J either I or M, and weight ``[F, J]`` and bias ``[F]`` of their
        qkv, weight ``[2 G, n J]`` and bias ``[2 G]`` of their gate logits (None without gates).
    """
    size, memory = inputs.shape[-1], p.projection_weight.shape[0]
    width = p.qkv_weight.shape[1] + (0 if p.gate_input_weight is None else len(p.gate_input_weight))
    rows = inputs.shape[:-1].numel()
    fold = rows * memory * (size + width) > size * width * (rows + memory)
    if not fold:
        inputs = torch.nn.functional.linear(inputs, p.projection_weight, p.projection_bias)

    def folded(weight: Tensor, bias: Tensor) -> list[Tensor | None]:
        if not fold:
            return [weight, bias]
        each = weight.view(len(weight), -1, memory)  # side by side: a weight for each input row
        bias = bias + each.sum(1) @ p.projection_bias
        return [(each @ p.projection_weight).flatten(1), bias]

    qkv = folded(p.qkv_weight.squeeze(0), p.qkv_bias.squeeze(0))
    if p.gate_input_weight is None or p.gate_input_bias is None or p.gate_memory_bias is None:
        return inputs, [*qkv, None, None]
    constants = p.gate_input_bias.new_tensor([o.input_bias, o.forget_bias])
    bias = p.gate_input_bias + p.gate_memory_bias
    bias = bias + constants.repeat_interleave(len(bias) // 2)
    return inputs, [*qkv, *folded(p.gate_input_weight, bias)]


class Recurrence(torch.autograd.Function):
    """The loop over time, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, o: Options, keep_tape: bool, memory: Tensor, inputs: Tensor, *weights: Any
    ) -> tuple[Tensor, Tensor]:
        """Memories ``[T, B, N, M]`` and the last one, from memory, input rows and `WEIGHTS`."""
        memory, inputs = memory.contiguous(), inputs.contiguous()
        weights = tuple(None if x is None else x.contiguous() for x in weights)
        problem = _problem(o, memory, inputs, weights)
        problem.keep_tape = keep_tape
        floats = (ctypes.c_int64 * 3)()
        library = build.library()
        library.rrnn_sizes(ctypes.byref(problem), floats)
        memories = memory.new_empty(len(inputs), *memory.shape)
        tape, workspace = memory.new_empty(floats[0]), memory.new_empty(floats[1])
        problem.memories, problem.tape = memories.data_ptr(), tape.data_ptr()
        problem.workspace = workspace.data_ptr()
        library.rrnn_forward(ctypes.byref(problem))
        if keep_tape:
            ctx.save_for_backward(memory, inputs, memories, tape, *weights)
            ctx.options, ctx.threads, ctx.floats = o, problem.threads, floats[2]
            ctx.set_materialize_grads(False)
        return memories, memories[-1].clone()

    @staticmethod
    def backward(
        ctx: Any, d_memories: Tensor | None, d_last: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Gradients of memory, input rows and `WEIGHTS`."""
        refuse_second_derivative("the native core", 'take backend="reference"')
        memory, inputs, memories, tape, *weights = ctx.saved_tensors
        problem = _problem(ctx.options, memory, inputs, weights)
        problem.keep_tape, problem.threads = True, ctx.threads  # the tape's layout depends on them
        problem.memories, problem.tape = memories.data_ptr(), tape.data_ptr()
        d_memories = None if d_memories is None else d_memories.contiguous()
        d_last = None if d_last is None else d_last.contiguous()
        problem.d_memories = None if d_memories is None else d_memories.data_ptr()
        problem.d_last = None if d_last is None else d_last.data_ptr()
        workspace, d_memory = memory.new_empty(ctx.floats), torch.empty_like(memory)
        d_inputs = torch.empty_like(inputs) if ctx.needs_input_grad[3] else None
        d_weights = [None if x is None else torch.empty_like(x) for x in weights]
        problem.workspace, problem.d_memory = workspace.data_ptr(), d_memory.data_ptr()
        problem.d_inputs = None if d_inputs is None else d_inputs.data_ptr()
        for name, x in zip(WEIGHTS, d_weights, strict=True):
            setattr(problem, f"d_{name}", None if x is None else x.data_ptr())
        build.library().rrnn_backward(ctypes.byref(problem))
        return None, None, d_memory, d_inputs, *d_weights


def _problem(
    o: Options, memory: Tensor, inputs: Tensor, weights: tuple[Tensor | None, ...]
) -> Problem:
    """What forward and backward have in common; the tensors are contiguous and outlive it."""
    problem = Problem()
    problem.steps, problem.batch, problem.rows, problem.input_size = inputs.shape
    problem.slots = memory.shape[1]
    problem.heads, problem.key_size, problem.head_size = o.num_heads, o.key_size, o.head_size
    for name, x in zip(WEIGHTS, weights, strict=True):
        setattr(problem, name, None if x is None else x.data_ptr())
        if x is not None and name == "mlp_weight":
            problem.layers = len(x)
        if x is not None and name == "gate_memory_weight":
            problem.gate_width = len(x) // 2
    problem.inputs, problem.memory = inputs.data_ptr(), memory.data_ptr()
    team = _openmp()
    problem.threads = 1
    if team is not None:
        problem.threads = min(torch.get_num_threads(), len(memory))
        problem.parallel, problem.thread_number, problem.thread_count = team
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
