"""The loop over time: the order of kernels and products. No allocation, no synchronisation.

All results go to `Buffers`, so that the same lines can be launched or captured in a CUDA graph.
"""

from typing import Any

import torch
from torch import Tensor

from ..parameters import EPSILON
from .buffers import Buffers, Sizes
from .kernels.attend import attend, attend_backward, norm_backward
from .kernels.gate_update import gate_update, gate_update_backward

ELEMENTS_PER_WARP = 256  # eight registers a thread for each row that a program holds


def padded(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length()


def attention_arguments(s: Sizes) -> dict[str, Any]:
    """Constants of the attention kernels."""
    heads, key, value = padded(s.heads), padded(s.key), padded(s.head)
    return {
        "SLOTS": s.slots,
        "EXTRA": s.extra,
        "HEADS": s.heads,
        "K": s.key,
        "V": s.head,
        "HP": heads,
        "KP": key,
        "VP": value,
        "SCALE": s.key**-0.5,
        "EPSILON": EPSILON,
        "num_warps": warps(heads * max(key, value)),
    }


def row_arguments(s: Sizes) -> dict[str, Any]:
    """Constants of the kernels that treat a memory row as flat."""
    width = padded(s.memory_width)
    return {"M": s.memory_width, "WIDTH": width, "EPSILON": EPSILON, "num_warps": warps(width)}


def warps(elements: int) -> int:
    """Warps of a program that holds rows of this many elements."""
    return min(16, max(1, elements // ELEMENTS_PER_WARP))


def linear_relu(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    """A linear layer with a ReLU epilogue where this build of PyTorch has it.

    The operator is internal to PyTorch and may be removed, hence the check.
    """
    if hasattr(torch, "_addmm_activation"):
        torch._addmm_activation(bias, x, weight.t(), out=out)
    else:
        torch.addmm(bias, x, weight.t(), out=out).relu_()


def forward(b: Buffers) -> None:
    """Fill the forward buffers, starting from the first memory."""
    s, w, f = b.sizes, b.weights, b.forward
    attention, row = attention_arguments(s), row_arguments(s)
    rows, keep, last = s.batch * s.slots, b.backward is not None, s.layers - 1
    norm1 = w.attention_norm_weight, w.attention_norm_bias
    norm2 = w.mlp_norm_weight, w.mlp_norm_bias
    f.inputs[0].copy_(f.memories[0])
    torch.tanh(f.memories[0], out=f.tanh_memory[0])
    for step in range(s.steps):
        t, after = (step, step + 1) if keep else (0, 0)
        memory, qkv, sums = f.memories[step], f.qkv[t], f.sums[t]
        torch.addmm(w.qkv_bias[0], f.inputs[t], w.qkv_weight[0].t(), out=qkv)
        attend[s.batch, s.slots](
            *(memory, qkv, f.extra[step], w.qkv_norm_weight, w.qkv_norm_bias, *norm1),
            *(f.normaliser[t], sums, f.layers[0, t]),
            **attention,
        )
        for i in range(last):
            linear_relu(f.layers[i, t], w.mlp_weight[i], w.mlp_bias[i], f.layers[i + 1, t])
        mlp = f.layers[s.layers, t]
        torch.addmm(w.mlp_bias[last], f.layers[last, t], w.mlp_weight[last].t(), out=mlp)
        if s.gates:
            gate_weight = w.gate_memory_weight.t()
            torch.mm(f.tanh_memory[t], gate_weight, out=f.from_memory[t])
        gate_update[rows,](
            *(memory, sums, mlp, *norm1, *norm2, f.from_memory[t], f.from_input[step]),
            *(f.memories[step + 1], f.inputs[after], f.tanh_memory[after]),
            SLOTS=s.slots,
            GATES=s.gates,
            **row,
        )


def backward(b: Buffers) -> None:
    """Fill the backward buffers, from the gradients of the memories and of the last memory."""
    s, w, f, d = b.sizes, b.weights, b.forward, b.backward
    assert d is not None
    attention, row = attention_arguments(s), row_arguments(s)
    rows = s.batch * s.slots
    d.norms.zero_()
    qkv_gain, qkv_bias, gain1, bias1, gain2, bias2 = d.norm_parts(s)
    norm1 = w.attention_norm_weight, w.attention_norm_bias
    norm2 = w.mlp_norm_weight, w.mlp_norm_bias
    for t in reversed(range(s.steps)):
        memory, sums = f.memories[t], f.sums[t]
        gate_update_backward[rows,](
            *(d.memories[t], d.direct, d.sums, d.inputs, d.tanh_memory, f.tanh_memory[t + 1]),
            *(memory, sums, f.layers[s.layers, t], *norm1, *norm2),
            *(f.from_memory[t], f.from_input[t], d.logits[t], d.layers[s.layers - 1, t]),
            *(d.residual, gain2, bias2),
            SLOTS=s.slots,
            GATES=s.gates,
            LAST=t == s.steps - 1,
            **row,
        )
        for i in reversed(range(s.layers)):
            d_in = d.layers[i - 1, t] if i else d.rows
            torch.mm(d.layers[i, t], w.mlp_weight[i], out=d_in)
            if i:
                torch.ops.aten.threshold_backward.grad_input(
                    d_in, f.layers[i, t], 0, grad_input=d_in
                )
        if s.gates:
            torch.mm(d.logits[t], w.gate_memory_weight, out=d.tanh_memory)
        norm_backward[rows,](
            *(sums, w.attention_norm_weight, d.residual, d.rows, d.sums, gain1, bias1), **row
        )
        attend_backward[s.batch, s.slots + s.extra](
            *(memory, f.qkv[t], f.extra[t], w.qkv_norm_weight, w.qkv_norm_bias),
            *(f.normaliser[t], sums, d.sums, d.qkv[t], d.extra[t], qkv_gain, qkv_bias),
            **attention,
        )
        torch.mm(d.qkv[t], w.qkv_weight[0], out=d.inputs)
