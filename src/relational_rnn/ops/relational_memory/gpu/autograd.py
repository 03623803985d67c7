"""The GPU path: hoist, then the loop over time in `loop`, as one autograd function."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...once import refuse_second_derivative
from ..hoist import dtypes, hoist, needs_tape
from ..parameters import EPSILON, Options, Parameters
from .buffers import Buffers
from .graphs import LIBRARY
from .sizes import Sizes


def unroll(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """All steps: the same as `reference.unroll`, for one block; arguments and results alike.

    `dtypes` says in which dtype what is computed.
    """
    product, state = dtypes(inputs, memory)
    sizes = Sizes(
        steps=inputs.shape[0],
        batch=inputs.shape[1],
        slots=memory.shape[1],
        extra=inputs.shape[2],
        heads=o.num_heads,
        key=o.key_size,
        head=o.head_size,
        layers=len(p.mlp_weight),
        gates=0 if p.gate_memory_weight is None else len(p.gate_memory_weight) // 2,
        product=product,
        state=state,
        device=inputs.device,
    )
    here = torch.cuda.device_of(inputs)  # type: ignore[no-untyped-call]
    with torch.autocast(inputs.device.type, enabled=False), here:
        hoisted = hoist(inputs, p, o, product)
        assert hoisted.qkv is not None
        norm = p.qkv_norm_weight[0].to(state), p.qkv_norm_bias[0].to(state)
        qkv = F.layer_norm(hoisted.qkv.to(state), norm[0].shape, *norm, EPSILON)
        gates = None if hoisted.gates is None else hoisted.gates.to(state)
        tensors = memory.to(state), qkv, gates, *p
        memories, last = Recurrence.apply(  # type: ignore[no-untyped-call]
            sizes, needs_tape(tensors), *tensors
        )
    return memories.to(memory.dtype), last.to(memory.dtype)


class Recurrence(torch.autograd.Function):
    """The loop over time, forward and backward."""

    @staticmethod
    def forward(ctx: Any, sizes: Sizes, keep_tape: bool, *tensors: Any) -> tuple[Tensor, Tensor]:
        """Memories ``[T, B, N, M]`` and the last one.

        From the first memory, the hoisted qkv and gates (or None), and the fields of `Parameters`.
        """
        loan = LIBRARY.borrow(sizes, keep_tape=keep_tape)
        assert loan.run is not None
        memory, extra, gates, *p = tensors
        loan.run.buffers.load(memory, extra, gates, Parameters(*p))
        loan.run.forward()
        if keep_tape:
            ctx.sizes, ctx.loan = sizes, loan
            ctx.save_for_backward(*tensors)
        memories = loan.run.buffers.tape.memories[1:].clone()
        return memories.view(sizes.steps, *memory.shape), memories[-1].clone().view(memory.shape)

    @staticmethod
    def backward(ctx: Any, d_memories: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of everything that `forward` takes."""
        refuse_second_derivative("the core on a GPU", 'take backend="reference"')
        memory, extra, gates, *p = ctx.saved_tensors
        here = torch.cuda.device_of(memory)  # type: ignore[no-untyped-call]
        with torch.autocast(memory.device.type, enabled=False), here:
            if ctx.loan.run is None:  # a second backward pass: the tape is gone
                ctx.loan = LIBRARY.borrow(ctx.sizes, keep_tape=True)
                ctx.loan.run.buffers.load(memory, extra, gates, Parameters(*p))
                ctx.loan.run.forward()
            run = ctx.loan.run
            run.buffers.gradients.memories.copy_(d_memories.flatten(1, 2))
            run.buffers.gradients.direct.copy_(d_last.flatten(0, 1))
            run.backward()
            d_p = parameter_gradients(run.buffers)
            d_memory, d_extra, d_gates = input_gradients(run.buffers)
        ctx.loan.end()
        d_parameters = (d_p.get(name) for name in Parameters._fields)
        return None, None, d_memory.view(memory.shape), d_extra, d_gates, *d_parameters


def input_gradients(b: Buffers) -> tuple[Tensor, Tensor, Tensor | None]:
    """Of the memory before the first step, the hoisted qkv and the hoisted gates."""
    s, d = b.sizes, b.gradients
    assert d is not None
    d_memory = d.direct + d.sums + d.inputs
    if not s.gates:
        return d_memory, d.extra.clone(), None
    d_memory += torch.ops.aten.tanh_backward(d.squashed, b.tape.squashed[0])
    by_slot = d.logits.view(s.steps, s.batch, s.slots, 2 * s.gates)
    return d_memory, d.extra.clone(), by_slot.sum(2, dtype=s.state)


def parameter_gradients(b: Buffers) -> dict[str, Tensor]:
    """Products over all steps and rows at once. The gates' bias was added outside of the loop."""
    s, tape, d = b.sizes, b.tape, b.gradients
    assert d is not None
    d_qkv, d_layers = d.qkv.flatten(0, 1), d.layers.flatten(1, 2)
    inputs = tape.inputs[:-1].flatten(0, 1)
    found = {
        "qkv_weight": (d_qkv.t() @ inputs)[None],
        "qkv_bias": d_qkv.sum(0, keepdim=True, dtype=s.state),
        "mlp_weight": d_layers.mT @ tape.layers[:-1].flatten(1, 2),
        "mlp_bias": d_layers.sum(1, dtype=s.state),
    }
    if s.gates:
        squashed = tape.squashed[:-1].flatten(0, 1)
        found["gate_memory_weight"] = d.logits.flatten(0, 1).t() @ squashed
    norms = ("qkv_norm", "attention_norm", "mlp_norm")
    names = [f"{norm}_{kind}" for norm in norms for kind in ("weight", "bias")]
    for name, part in zip(names, d.norm_parts(s), strict=True):
        found[name] = part.sum(0, keepdim=True)
    return found
