"""The fused path: hoist, then a loop over time with a backward of its own."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .backward import Deferred, step_backward
from .forward import Hoisted, StepTape, step_forward
from .hoist import hoist
from .parameters import Options, Parameters
from .products import Prepared
from .threads import run, split_batch


def unroll(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """All steps: the same as `reference.unroll`, arguments and results alike.

    Products are made in autocast's dtype where that is on, else in the dtype of the inputs; norms,
    gates and memory in float32 (float64 for float64 inputs).
    """
    device = inputs.device.type
    dtype = torch.promote_types(inputs.dtype, memory.dtype)
    state = torch.float64 if dtype == torch.float64 else torch.float32
    product = inputs.dtype
    if torch.is_autocast_enabled(device) and state != torch.float64:
        product = torch.get_autocast_dtype(device)
    with torch.autocast(device, enabled=False):
        hoisted = hoist(inputs, p, o, product=product, state=state)
        memories, last = Recurrence.apply(  # type: ignore[no-untyped-call]
            o, product, memory.to(state), *hoisted, *p
        )
    return memories.to(memory.dtype), last.to(memory.dtype)


class Recurrence(torch.autograd.Function):
    """The loop over time, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, o: Options, product: torch.dtype, memory: Tensor, *tensors: Any
    ) -> tuple[Tensor, Tensor]:
        """Memories ``[T, B, N, M]`` and the last one, from memory, `Hoisted` and `Parameters`."""
        hoisted, p = Hoisted(*tensors[:3]), Parameters(*tensors[3:])
        keep_tape = any(ctx.needs_input_grad)
        length = next(len(x) for x in hoisted if x is not None)
        memories = memory.new_empty(length, *memory.shape)
        parts = split_batch(len(memory), memory.device)
        rows = memories[0].shape[:2].numel() // len(parts)
        prepared = Prepared.of(p, product, memory.dtype, rows=rows, uses=length)

        def work(part: slice) -> list[StepTape]:
            tapes, now = [], memory[part]
            for out, step in zip(memories[:, part].unbind(0), hoisted.steps(part), strict=True):
                tape = step_forward(now, step, prepared, o, out)
                if keep_tape:
                    tapes.append(tape)
                now = out
            return tapes

        tapes = run(work, parts)
        if keep_tape:
            saved: list[Tensor] = []
            ctx.saved_tree = pack([memory, memories, hoisted, p, tapes], saved)
            ctx.save_for_backward(*saved)
            ctx.parts, ctx.options, ctx.product, ctx.prepared = parts, o, product, prepared
        # detached: the tape has views of `memories`, which must not become views of an output
        return memories.detach(), memories[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_memories: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of memory, `Hoisted` and `Parameters`."""
        memory, memories, hoisted, p, tapes = unpack(ctx.saved_tree, ctx.saved_tensors)
        d_start = torch.empty_like(memory)
        d_hoisted = Hoisted(*(None if x is None else torch.zeros_like(x) for x in hoisted))
        rows = memory.shape[:2].numel() // len(ctx.parts)
        back = Prepared.of(p, ctx.product, memory.dtype, rows=rows, uses=len(memories), back=True)

        def work(job: tuple[slice, list[StepTape]]) -> Deferred:
            part, tape = job
            deferred = Deferred()
            befores = [memory[part], *memories[:-1, part].unbind(0)]
            d_outs = d_memories[:, part].unbind(0)
            steps, d_steps = hoisted.steps(part), d_hoisted.steps(part)
            d_now = d_last[part]
            for t in reversed(range(len(tape))):
                d_now = step_backward(
                    d_now + d_outs[t],
                    befores[t],
                    tape[t],
                    steps[t],
                    d_steps[t],
                    ctx.prepared,
                    back,
                    ctx.options,
                    deferred,
                )
            d_start[part] = d_now
            return deferred

        deferred = run(work, list(zip(ctx.parts, tapes, strict=True)))
        d_p: dict[str, Tensor] = {}
        for name, place, value in Deferred.gradients(deferred):
            whole = getattr(p, name)
            if name not in d_p:
                d_p[name] = torch.zeros_like(whole, dtype=memory.dtype)
            (d_p[name] if whole.dim() == value.dim() else d_p[name][place]).add_(value)
        return None, None, d_start, *d_hoisted, *(d_p.get(name) for name in p._fields)


def pack(tree: Any, tensors: list[Tensor]) -> Any:
    """Nested lists and named tuples with each tensor moved to `tensors`, its place left behind."""
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        tensors.append(tree)
        return len(tensors) - 1
    branches = [pack(branch, tensors) for branch in tree]
    return branches if isinstance(tree, list) else type(tree)(*branches)


def unpack(tree: Any, tensors: tuple[Tensor, ...]) -> Any:
    """The inverse of `pack`."""
    if tree is None:
        return None
    if isinstance(tree, int):
        return tensors[tree]
    branches = [unpack(branch, tensors) for branch in tree]
    return branches if isinstance(tree, list) else type(tree)(*branches)
