"""Kernel: second residual and norm, gates, next memory. One program a slot."""

import triton
import triton.language as tl

from .rows import load_row, standardise, store_row, tanh


@triton.jit
def candidate_row(
    sums, mlp, gain1, bias1, M: tl.constexpr, WIDTH: tl.constexpr, EPSILON: tl.constexpr
):
    """Standardised sum of the MLP's input (the norm of `sums`) and output; its scale."""
    x, _scale = standardise(load_row(sums, M, WIDTH), M, WIDTH, EPSILON)
    x = x * load_row(gain1, M, WIDTH) + load_row(bias1, M, WIDTH)
    x = x + load_row(mlp, M, WIDTH).to(sums.dtype.element_ty)
    return standardise(x, M, WIDTH, EPSILON)


@triton.jit
def gate_row(
    from_memory,
    from_input,
    WHICH: tl.constexpr,
    UNIT: tl.constexpr,
    M: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """A gate after its sigmoid: a row, or one number. WHICH: 0 input gate, 1 forget gate."""
    if UNIT:
        logits = load_row(from_memory + WHICH * M, M, WIDTH).to(from_input.dtype.element_ty)
        logits += load_row(from_input + WHICH * M, M, WIDTH)
    else:
        logits = tl.load(from_memory + WHICH).to(from_input.dtype.element_ty)
        logits += tl.load(from_input + WHICH)
    return tl.sigmoid(logits)


@triton.jit
def remember(
    memory,  # [B, N, M], before the step
    sums,  # [B, N, M], input of the first norm
    mlp,  # [B, N, M], output of the MLP
    gain1,  # [M], of the first norm
    bias1,  # [M]
    gain2,  # [M], of the second norm
    bias2,  # [M]
    from_memory,  # [B, N, 2 G], the memory's part of the gates' logits
    from_input,  # [B, 2 G], the input's part
    out,  # [B, N, M], written: memory after the step
    inputs,  # [B, N, M], written: the same in the products' dtype
    squashed,  # [B, N, M], written: its tanh in the products' dtype
    SLOTS: tl.constexpr,
    M: tl.constexpr,
    GATES: tl.constexpr,  # numbers per row and gate: M, 1 or 0
    WIDTH: tl.constexpr,
    EPSILON: tl.constexpr,
):
    """From the MLP's output to the next memory."""
    here = tl.program_id(0)
    x, _ = candidate_row(sums + here * M, mlp + here * M, gain1, bias1, M, WIDTH, EPSILON)
    x = x * load_row(gain2, M, WIDTH) + load_row(bias2, M, WIDTH)
    if GATES > 0:
        from_memory += here * 2 * GATES
        from_input += here // SLOTS * 2 * GATES
        input_gate = gate_row(from_memory, from_input, 0, GATES == M, M, WIDTH)
        forget_gate = gate_row(from_memory, from_input, 1, GATES == M, M, WIDTH)
        x = input_gate * tanh(x) + forget_gate * load_row(memory + here * M, M, WIDTH)
        store_row(squashed + here * M, tanh(x), M, WIDTH)
    store_row(out + here * M, x, M, WIDTH)
    store_row(inputs + here * M, x, M, WIDTH)
