"""The fused path: hoist, then a loop over time with a backward of its own."""

from typing import Any

import torch
from torch import Tensor

from ..once import refuse_second_derivative
from .backward import Step
from .forward import attentions, step_forward
from .gradients import Gradients
from .hoist import dtypes, hoist, needs_tape
from .others import Others, OthersBack
from .parameters import Options, Parameters
from .prepared import Prepared
from .tape import Hoisted, Tape, pack, steps_of, unpack


def unroll(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """All steps: the same as `reference.unroll`, arguments and results alike.

    `dtypes` says in which dtype what is computed.
    """
    product, state = dtypes(inputs, memory)
    with torch.autocast(inputs.device.type, enabled=False):
        hoisted = hoist(inputs, p, o, product)
        tensors = memory.to(state).contiguous(), *hoisted, *p  # a resumed memory has gaps
        memories, last = Recurrence.apply(  # type: ignore[no-untyped-call]
            o, product, needs_tape(tensors), *tensors
        )
    return memories.to(memory.dtype), last.to(memory.dtype)


class Recurrence(torch.autograd.Function):
    """The loop over time, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, o: Options, product: torch.dtype, keep_tape: bool, memory: Tensor, *tensors: Any
    ) -> tuple[Tensor, Tensor]:
        """Memories ``[T, B, N, M]`` and the last one, from memory, `Hoisted` and `Parameters`."""
        hoisted, p = Hoisted(*tensors[:3]), Parameters(*tensors[3:])
        steps = next(len(x) for x in hoisted if x is not None)
        rows = memory.shape[:2].numel()
        prepared = Prepared.of(p, product, memory.dtype, o, rows=rows, uses=steps)
        tape = Tape.empty(steps if keep_tape else 1, memory, hoisted, p, product)
        pages = tape.pages(o) if keep_tape else tape.pages(o) * steps
        memories = memory.new_empty(steps, *memory.shape)
        attend = attentions(tape, len(memory), prepared, o)
        others = Others(hoisted.qkv, prepared.others_norm, o, moments=[])
        statistics, now = [], memory.flatten(0, 1)
        given = steps_of(hoisted._replace(qkv=None), steps)
        for t, out in enumerate(memories.flatten(1, 2).unbind(0)):
            of_step = step_forward(now, given[t], others[t], pages[t], prepared, attend, out)
            if keep_tape:
                statistics.append(of_step)
            now = out
        if keep_tape:
            saved: list[Tensor] = []
            tree = [memory, memories, p, tape, statistics, hoisted.qkv, others.moments]
            ctx.saved_tree = pack(tree, saved)
            ctx.save_for_backward(*saved)
            ctx.shapes = [None if x is None else x.shape for x in hoisted]
            ctx.options, ctx.product = o, product
        # detached: the tape may have views of `memories`, which must not become views of an output
        return memories.detach(), memories[-1].clone()

    @staticmethod
    def backward(ctx: Any, d_memories: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of memory, `Hoisted` and `Parameters`."""
        refuse_second_derivative("the fused core", 'take backend="reference"')
        memory, memories, p, tape, statistics, qkv, moments = unpack(
            ctx.saved_tree, ctx.saved_tensors
        )
        steps = len(memories)
        rows = memory.shape[:2].numel()
        o, product = ctx.options, ctx.product
        back = Prepared.of(p, product, memory.dtype, o, rows=rows, uses=steps, back=True)
        d_hoisted = Hoisted(
            *(None if x is None else memory.new_empty(x, dtype=product) for x in ctx.shapes)
        )
        gradients = Gradients(p, tape, d_hoisted.gates)
        others = OthersBack(qkv, back.others_norm, o, moments, d_hoisted.qkv)
        step_backward = Step(back, o, gradients, others, tape, len(memory))
        befores = [memory.flatten(0, 1), *memories[:-1].flatten(1, 2)]
        pages, d_given = tape.pages(o), steps_of(d_hoisted._replace(qkv=None), steps)
        d_outs = d_memories.flatten(1, 2).unbind(0)
        d_now = d_last.flatten(0, 1).clone(memory_format=torch.contiguous_format)
        with torch.autocast(memory.device.type, enabled=False):  # backward may be called under it
            for t in reversed(range(steps)):
                d_now += d_outs[t]
                step_backward(t, d_now, befores[t], pages[t], statistics[t], d_given[t])
                others.end_step(t, gradients)
                gradients.end_step(t)
        d_p = gradients.all_sums(o)
        d_memory = d_now.view(memory.shape)
        return None, None, None, d_memory, *d_hoisted, *(d_p.get(name) for name in p._fields)
