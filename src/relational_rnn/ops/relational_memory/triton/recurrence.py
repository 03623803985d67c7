"""The Triton path as one autograd function: hoist, then the loop over time in `loop`."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...second_derivative import refuse_second_derivative
from ..hoist import dtypes, hoist, needs_tape
from ..parameters import EPSILON, Options, Parameters
from .buffers import Buffers, Sizes
from .graphs import LIBRARY


def sizes_of(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> Sizes:
    """The sizes of a problem; arguments as in `reference.unroll`."""
    product, state = dtypes(inputs, memory)
    return Sizes(
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


def unroll(inputs: Tensor, memory: Tensor, p: Parameters, o: Options) -> tuple[Tensor, Tensor]:
    """All steps, with one block; arguments and results as in `reference.unroll`.

    Dtypes as in `hoist.dtypes`.
    """
    sizes = sizes_of(inputs, memory, p, o)
    product, state = sizes.product, sizes.state
    here = torch.cuda.device_of(inputs)  # type: ignore[no-untyped-call]
    with torch.autocast(inputs.device.type, enabled=False), here:
        hoisted = hoist(inputs, p, o, product)
        assert hoisted.qkv is not None
        norm = p.qkv_norm_weight[0].to(state), p.qkv_norm_bias[0].to(state)
        qkv = F.layer_norm(hoisted.qkv.to(state), norm[0].shape, *norm, EPSILON)
        gates = None if hoisted.gates is None else hoisted.gates.to(state)
        tensors = memory.to(state), qkv, gates, *p
        memories, last = TritonRecurrence.apply(  # type: ignore[no-untyped-call]
            sizes, needs_tape(tensors), *tensors
        )
    return memories.to(memory.dtype), last.to(memory.dtype)


class TritonRecurrence(torch.autograd.Function):
    """The loop over time."""

    @staticmethod
    def forward(ctx: Any, sizes: Sizes, keep_tape: bool, *tensors: Any) -> tuple[Tensor, Tensor]:
        """Run all steps.

        Args:
            ctx: of autograd.
            sizes: of the problem.
            keep_tape: whether a backward pass can follow.
            *tensors: the first memory, the input rows' normalised qkv, the hoisted gates or None,
                and the fields of `Parameters`.

        Returns:
            The memories ``[T, B, N, M]`` and the last one ``[B, N, M]``.
        """
        loan = LIBRARY.borrow(sizes, keep_tape=keep_tape)
        assert loan.loop is not None
        memory, extra, gates, *p = tensors
        loan.loop.buffers.load(memory, extra, gates, Parameters(*p))
        loan.loop.forward()
        if keep_tape:
            ctx.sizes, ctx.loan = sizes, loan
            ctx.save_for_backward(*tensors)
        memories = loan.loop.buffers.forward.memories[1:].clone()
        return memories.view(sizes.steps, *memory.shape), memories[-1].clone().view(memory.shape)

    @staticmethod
    def backward(ctx: Any, d_memories: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the tensors that `forward` got."""
        refuse_second_derivative("the Triton core", 'use backend="reference"')
        memory, extra, gates, *p = ctx.saved_tensors
        here = torch.cuda.device_of(memory)  # type: ignore[no-untyped-call]
        with torch.autocast(memory.device.type, enabled=False), here:
            if ctx.loan.loop is None:  # a second backward pass: the buffers were returned
                ctx.loan = LIBRARY.borrow(ctx.sizes, keep_tape=True)
                ctx.loan.loop.buffers.load(memory, extra, gates, Parameters(*p))
                ctx.loan.loop.forward()
            loop = ctx.loan.loop
            loop.buffers.backward.memories.copy_(d_memories.flatten(1, 2))
            loop.buffers.backward.direct.copy_(d_last.flatten(0, 1))
            loop.backward()
            d_p = parameter_gradients(loop.buffers)
            d_memory, d_extra, d_gates = input_gradients(loop.buffers)
        ctx.loan.end()
        d_parameters = (d_p.get(name) for name in Parameters._fields)
        return None, None, d_memory.view(memory.shape), d_extra, d_gates, *d_parameters


def input_gradients(b: Buffers) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of the first memory, the input rows' qkv and the hoisted gates."""
    s, d = b.sizes, b.backward
    assert d is not None
    d_memory = d.direct + d.sums + d.inputs
    if not s.gates:
        return d_memory, d.extra.clone(), None
    d_memory += torch.ops.aten.tanh_backward(d.tanh_memory, b.forward.tanh_memory[0])
    by_slot = d.logits.view(s.steps, s.batch, s.slots, 2 * s.gates)
    return d_memory, d.extra.clone(), by_slot.sum(2, dtype=s.state)


def parameter_gradients(b: Buffers) -> dict[str, Tensor]:
    """Gradients of the parameters by name, each a product over all steps and rows at once.

    Without the gates' biases, which are added outside of the loop.
    """
    s, f, d = b.sizes, b.forward, b.backward
    assert d is not None
    d_qkv, d_layers = d.qkv.flatten(0, 1), d.layers.flatten(1, 2)
    inputs = f.inputs[:-1].flatten(0, 1)
    found = {
        "qkv_weight": (d_qkv.t() @ inputs)[None],
        "qkv_bias": d_qkv.sum(0, keepdim=True, dtype=s.state),
        "mlp_weight": d_layers.mT @ f.layers[:-1].flatten(1, 2),
        "mlp_bias": d_layers.sum(1, dtype=s.state),
    }
    if s.gates:
        tanh_memory = f.tanh_memory[:-1].flatten(0, 1)
        found["gate_memory_weight"] = d.logits.flatten(0, 1).t() @ tanh_memory
    norms = ("qkv_norm", "attention_norm", "mlp_norm")
    names = [f"{norm}_{kind}" for norm in norms for kind in ("weight", "bias")]
    for name, part in zip(names, d.norm_parts(s), strict=True):
        found[name] = part.sum(0, keepdim=True)
    return found
