"""The fused path: hoist, then a loop over time with a backward of its own."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .backward import Step
from .forward import Statistics, step_forward
from .gradients import Gradients
from .hoist import hoist
from .parameters import Options, Parameters
from .products import Prepared
from .tape import Hoisted, Tape, pack, steps_of, unpack
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
        hoisted = hoist(inputs, p, o, product)
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
        steps = next(len(x) for x in hoisted if x is not None)
        memories = memory.new_empty(steps, *memory.shape)
        parts = split_batch(len(memory), memory.device)
        rows = memory.shape[:2].numel() // len(parts)
        prepared = Prepared.of(p, product, memory.dtype, rows=rows, uses=steps)
        keep_tape = any(ctx.needs_input_grad)

        def work(part: slice) -> tuple[Tape, list[list[Statistics]]]:
            now = memory[part]
            tape = Tape.empty(steps if keep_tape else 1, now, hoisted, p, product)
            pages = steps_of(tape, len(tape.blocks[0].raw))
            statistics = []
            outs, given = memories[:, part].unbind(0), steps_of(hoisted, steps, part)
            for t in range(steps):
                page = pages[t if keep_tape else 0]
                one = step_forward(now, given[t], page, prepared, o, outs[t])
                now = outs[t]
                if keep_tape:
                    statistics.append(one)
            return tape, statistics

        done = run(work, parts)
        if keep_tape:
            saved: list[Tensor] = []
            tapes = [tape for tape, _ in done]
            ctx.saved_tree = pack([memory, memories, hoisted, p, tapes], saved)
            ctx.save_for_backward(*saved)
            ctx.statistics = [statistics for _, statistics in done]
            ctx.parts, ctx.options, ctx.product, ctx.prepared = parts, o, product, prepared
        # detached: the tape has views of `memories`, which must not become views of an output
        return memories.detach(), memories[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_memories: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of memory, `Hoisted` and `Parameters`."""
        memory, memories, hoisted, p, tapes = unpack(ctx.saved_tree, ctx.saved_tensors)
        steps = len(memories)
        d_start = torch.empty_like(memory)
        d_hoisted = Hoisted(*(None if x is None else torch.empty_like(x) for x in hoisted))
        rows = memory.shape[:2].numel() // len(ctx.parts)
        back = Prepared.of(p, ctx.product, memory.dtype, rows=rows, uses=steps, back=True)

        def work(job: tuple[slice, Tape, list[list[Statistics]]]) -> Gradients:
            part, tape, statistics = job
            gradients = Gradients(tape)
            step_backward = Step(ctx.prepared, back, ctx.options, gradients)
            befores = [memory[part], *memories[:-1, part].unbind(0)]
            d_outs, pages = d_memories[:, part].unbind(0), steps_of(tape, steps)
            d_given = steps_of(d_hoisted, steps, part)
            d_now = d_last[part]
            for t in reversed(range(steps)):
                d_now = step_backward(
                    d_now + d_outs[t], befores[t], pages[t], statistics[t], d_given[t]
                )
                gradients.end_step(t)
            d_start[part] = d_now
            return gradients

        d_p: dict[str, Tensor] = {}
        jobs = list(zip(ctx.parts, tapes, ctx.statistics, strict=True))
        for gradients in run(work, jobs):
            for (name, place), value in gradients.sums.items():
                whole = getattr(p, name)
                if name not in d_p:
                    d_p[name] = torch.zeros_like(whole, dtype=memory.dtype)
                (d_p[name] if whole.dim() == value.dim() else d_p[name][place]).add_(value)
        return None, None, d_start, *d_hoisted, *(d_p.get(name) for name in p._fields)
