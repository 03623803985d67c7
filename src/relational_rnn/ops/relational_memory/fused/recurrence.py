"""The loop over time, forward and backward, as one autograd function."""

from typing import Any

import torch
from torch import Tensor

from ...second_derivative import refuse_second_derivative
from ..hoist import Hoisted, dtypes, hoist, needs_tape
from ..parameters import Options, Parameters
from .attention import GeneralAttention, attentions, input_rows, input_rows_backward
from .step import StepBackward, step_forward
from .tape import Tape, pack, unbind, unpack
from .weight_gradients import WeightGradients
from .weights import Moments, Weights


def unroll(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """All steps; arguments and results as in `reference.unroll`, dtypes as in `hoist.dtypes`."""
    product, state = dtypes(inputs, memory)
    with torch.autocast(inputs.device.type, enabled=False):
        hoisted = hoist(inputs, p, o, product)
        tensors = memory.to(state).contiguous(), *hoisted, *p  # a loaded memory may be strided
        memories, last = FusedRecurrence.apply(  # type: ignore[no-untyped-call]
            o, product, needs_tape(tensors), *tensors
        )
    return memories.to(memory.dtype), last.to(memory.dtype)


class FusedRecurrence(torch.autograd.Function):
    """The loop over time."""

    @staticmethod
    def forward(
        ctx: Any, o: Options, product: torch.dtype, keep_tape: bool, memory: Tensor, *tensors: Any
    ) -> tuple[Tensor, Tensor]:
        """Run all steps.

        Args:
            ctx: of autograd.
            o: the options.
            product: dtype of the matrix products.
            keep_tape: whether a backward pass can follow.
            memory: ``[B, N, M]``, before the first step, in the dtype of the state.
            *tensors: the fields of `Hoisted` and of `Parameters`.

        Returns:
            The memories ``[T, B, N, M]`` and the last one ``[B, N, M]``.
        """
        hoisted, p = Hoisted(*tensors[:3]), Parameters(*tensors[3:])
        steps = next(len(x) for x in hoisted if x is not None)
        rows = memory.shape[:2].numel()
        weights = Weights.prepare(p, product, memory.dtype, o, rows=rows, uses=steps)
        tape = Tape.empty(steps if keep_tape else 1, memory, hoisted, p, product)
        tapes = tape.by_step(o) if keep_tape else tape.by_step(o) * steps
        memories = memory.new_empty(steps, *memory.shape)
        attention = attentions(tape.blocks, len(memory), weights.qkv_norm, o)
        moments: list[Moments] = []  # of the input rows' norm
        inputs = input_rows(hoisted.qkv, steps, weights.input_norm, o, moments)
        outs = memories.flatten(1, 2).unbind(0)
        given = unbind(hoisted._replace(qkv=None), steps)
        saved, now = [], memory.flatten(0, 1)
        for out, step_inputs, step_tape, step_given in zip(outs, inputs, tapes, given, strict=True):
            of_step = step_forward(now, step_given, step_inputs, step_tape, weights, attention, out)
            if keep_tape:
                saved.append(of_step)
            now = out
        if keep_tape:
            tensors_to_save: list[Tensor] = []
            tree = [memory, memories, p, tape, saved, hoisted.qkv, moments]
            ctx.saved_tree = pack(tree, tensors_to_save)
            ctx.save_for_backward(*tensors_to_save)
            ctx.shapes = [None if x is None else x.shape for x in hoisted]
            ctx.options, ctx.product = o, product
        # detached: the tape may hold views of `memories`, which must not be views of an output
        return memories.detach(), memories[-1].clone()

    @staticmethod
    def backward(ctx: Any, d_memories: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of memory, `Hoisted` and `Parameters`."""
        refuse_second_derivative("the fused core", 'use backend="reference"')
        memory, memories, p, tape, saved, qkv, moments = unpack(ctx.saved_tree, ctx.saved_tensors)
        steps = len(memories)
        rows = memory.shape[:2].numel()
        o, product = ctx.options, ctx.product
        weights = Weights.prepare(
            p, product, memory.dtype, o, rows=rows, uses=steps, transposed=True
        )
        d_hoisted = Hoisted(
            *(None if x is None else memory.new_empty(x, dtype=product) for x in ctx.shapes)
        )
        gradients = WeightGradients(p, tape, d_hoisted.gates)
        attention = attentions(tape.blocks, len(memory), weights.qkv_norm, o)
        backward = StepBackward.prepare(weights, attention, o, gradients, tape)
        inputs = input_rows_backward(
            qkv,
            steps,
            weights.input_norm,
            o,
            moments,
            d_hoisted.qkv,
            gradients,
            again=isinstance(attention[0], GeneralAttention),
        )
        befores = [memory.flatten(0, 1), *memories[:-1].flatten(1, 2)]
        tapes, d_given = tape.by_step(o), unbind(d_hoisted._replace(qkv=None), steps)
        d_outs = d_memories.flatten(1, 2).unbind(0)
        d_now = d_last.flatten(0, 1).clone(memory_format=torch.contiguous_format)
        with torch.autocast(memory.device.type, enabled=False):  # backward may run under autocast
            for t, step_inputs in zip(reversed(range(steps)), inputs, strict=True):
                d_now += d_outs[t]
                backward.step(d_now, befores[t], step_inputs, tapes[t], saved[t], d_given[t])
                gradients.end_step(t)
        d_p = gradients.result(o)
        d_memory = d_now.view(memory.shape)
        return None, None, None, d_memory, *d_hoisted, *(d_p.get(name) for name in p._fields)
