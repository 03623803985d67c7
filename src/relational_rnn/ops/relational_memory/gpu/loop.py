"""The loop over time: which kernel and which product runs after which. No allocation, no waiting.

All results go to `Buffers`, so that the same lines can be run, or captured in a CUDA graph.
"""

from typing import Any

import torch
from torch import Tensor

from ..parameters import EPSILON
from .buffers import Buffers
from .kernels.attend import attend
from .kernels.attend_backward import attend_backward
from .kernels.norm_backward import norm_backward
from .kernels.remember import remember
from .kernels.remember_backward import remember_backward
from .sizes import Sizes

ELEMENTS_PER_WARP = 256  # eight registers a thread for each row that a program holds


def padded(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length()


def attention_arguments(s: Sizes) -> dict[str, Any]:
    """Constants of the kernels of the attention."""
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
    """Constants of the kernels that see a memory row as a whole."""
    width = padded(s.memory_width)
    return {"M": s.memory_width, "WIDTH": width, "EPSILON": EPSILON, "num_warps": warps(width)}


def warps(elements: int) -> int:
    """Warps for a program that holds rows of so many elements."""
    return min(16, max(1, elements // ELEMENTS_PER_WARP))


def linear_relu(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    """A linear layer and ReLU in one product where this build of PyTorch has that.

    The operator is PyTorch's own and not promised to stay, hence the guard.
    """
    if hasattr(torch, "_addmm_activation"):
        torch._addmm_activation(bias, x, weight.t(), out=out)
    else:
        torch.addmm(bias, x, weight.t(), out=out).relu_()


def forward(b: Buffers) -> None:
    """Fill the tape, from its first memory on."""
    s, w, tape = b.sizes, b.weights, b.tape
    attention, row = attention_arguments(s), row_arguments(s)
    rows, keep, last = s.batch * s.slots, b.gradients is not None, s.layers - 1
    norm1 = w.attention_norm_weight, w.attention_norm_bias
    norm2 = w.mlp_norm_weight, w.mlp_norm_bias
    tape.inputs[0].copy_(tape.memories[0])
    torch.tanh(tape.memories[0], out=tape.squashed[0])
    for step in range(s.steps):
        t, after = (step, step + 1) if keep else (0, 0)
        memory, qkv, sums = tape.memories[step], tape.qkv[t], tape.sums[t]
        torch.addmm(w.qkv_bias[0], tape.inputs[t], w.qkv_weight[0].t(), out=qkv)
        attend[s.batch, s.slots](
            *(memory, qkv, tape.extra[step], w.qkv_norm_weight, w.qkv_norm_bias, *norm1),
            *(tape.normaliser[t], sums, tape.layers[0, t]),
            **attention,
        )
        for i in range(last):
            linear_relu(tape.layers[i, t], w.mlp_weight[i], w.mlp_bias[i], tape.layers[i + 1, t])
        mlp = tape.layers[s.layers, t]
        torch.addmm(w.mlp_bias[last], tape.layers[last, t], w.mlp_weight[last].t(), out=mlp)
        if s.gates:
            gate_weight = w.gate_memory_weight.t()
            torch.mm(tape.squashed[t], gate_weight, out=tape.from_memory[t])
        remember[rows,](
            *(memory, sums, mlp, *norm1, *norm2, tape.from_memory[t], tape.from_input[step]),
            *(tape.memories[step + 1], tape.inputs[after], tape.squashed[after]),
            SLOTS=s.slots,
            GATES=s.gates,
            **row,
        )


def backward(b: Buffers) -> None:
    """Fill the gradients, from those of the memories and of the last memory."""
    s, w, tape, d = b.sizes, b.weights, b.tape, b.gradients
    assert d is not None
    attention, row = attention_arguments(s), row_arguments(s)
    rows = s.batch * s.slots
    d.norms.zero_()
    qkv_gain, qkv_bias, gain1, bias1, gain2, bias2 = d.norm_parts(s)
    norm1 = w.attention_norm_weight, w.attention_norm_bias
    norm2 = w.mlp_norm_weight, w.mlp_norm_bias
    for t in reversed(range(s.steps)):
        memory, sums = tape.memories[t], tape.sums[t]
        remember_backward[rows,](
            *(d.memories[t], d.direct, d.sums, d.inputs, d.squashed, tape.squashed[t + 1]),
            *(memory, sums, tape.layers[s.layers, t], *norm1, *norm2),
            *(tape.from_memory[t], tape.from_input[t], d.logits[t], d.layers[s.layers - 1, t]),
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
                    d_in, tape.layers[i, t], 0, grad_input=d_in
                )
        if s.gates:
            torch.mm(d.logits[t], w.gate_memory_weight, out=d.squashed)
        norm_backward[rows,](
            *(sums, w.attention_norm_weight, d.residual, d.rows, d.sums, gain1, bias1), **row
        )
        attend_backward[s.batch, s.slots + s.extra](
            *(memory, tape.qkv[t], tape.extra[t], w.qkv_norm_weight, w.qkv_norm_bias),
            *(tape.normaliser[t], sums, d.sums, d.qkv[t], d.extra[t], qkv_gain, qkv_bias),
            **attention,
        )
        torch.mm(d.qkv[t], w.qkv_weight[0], out=d.inputs)
