"""Kernels: second residual connection and norm, gates, next memory; and the backward pass.

One program a slot, forward and backward.
"""

import triton
import triton.language as tl

from .rows import (
    add_to_row,
    load_row,
    standardise,
    standardise_backward,
    store_row,
    tanh,
)


@triton.jit
def candidate_row(
    sums, mlp, gain1, bias1, M: tl.constexpr, WIDTH: tl.constexpr, EPSILON: tl.constexpr
):
    """Standardised sum of the MLP's input (the norm of `sums`) and output, and its scale."""
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
    """A gate after its sigmoid, a row or a scalar. WHICH: 0 input gate, 1 forget gate."""
    if UNIT:
        logits = load_row(from_memory + WHICH * M, M, WIDTH).to(from_input.dtype.element_ty)
        logits += load_row(from_input + WHICH * M, M, WIDTH)
    else:
        logits = tl.load(from_memory + WHICH).to(from_input.dtype.element_ty)
        logits += tl.load(from_input + WHICH)
    return tl.sigmoid(logits)


@triton.jit
def gate_update(
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
    inputs,  # [B, N, M], written: the same in the product dtype
    tanh_memory,  # [B, N, M], written: its tanh in the product dtype
    SLOTS: tl.constexpr,
    M: tl.constexpr,
    GATES: tl.constexpr,  # width of a gate: M, 1, or 0 without gates
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
        store_row(tanh_memory + here * M, tanh(x), M, WIDTH)
    store_row(out + here * M, x, M, WIDTH)
    store_row(inputs + here * M, x, M, WIDTH)


@triton.jit
def gate_update_backward(
    d_output,  # [B, N, M], gradient of the memory after the step as an output
    d_direct,  # [B, N, M], gradient from the next step, through its forget gate
    d_residual,  # [B, N, M], likewise, through its residual connection
    d_inputs,  # [B, N, M], likewise, through its queries, keys and values
    d_tanh_memory,  # [B, N, M], of its tanh, through the next gates
    next_tanh_memory,  # [B, N, M], tanh of the memory after the step
    memory,  # this and the next eight arguments as in `gate_update`
    sums,
    mlp,
    gain1,
    bias1,
    gain2,
    bias2,
    from_memory,
    from_input,
    d_logits,  # [B, N, 2 G], written
    d_mlp,  # [B, N, M], written, in the product dtype
    d_sums,  # [B, N, M], written: the same in the state dtype, for the residual connection
    d_gain2,  # [B, N, M], added to
    d_bias2,  # [B, N, M], added to
    SLOTS: tl.constexpr,
    M: tl.constexpr,
    GATES: tl.constexpr,
    LAST: tl.constexpr,  # no next step: d_direct is the gradient of the last memory
    WIDTH: tl.constexpr,
    EPSILON: tl.constexpr,
):
    """Gradient of `gate_update`; `d_direct` becomes this step's."""
    here = tl.program_id(0)
    STATE: tl.constexpr = sums.dtype.element_ty
    row = here * M
    d_x = load_row(d_output + row, M, WIDTH) + load_row(d_direct + row, M, WIDTH)
    if not LAST:
        d_x += load_row(d_residual + row, M, WIDTH)
        d_x += load_row(d_inputs + row, M, WIDTH).to(STATE)
        if GATES > 0:
            after = load_row(next_tanh_memory + row, M, WIDTH).to(STATE)
            d_x += load_row(d_tanh_memory + row, M, WIDTH).to(STATE) * (1.0 - after * after)
    x, scale = candidate_row(sums + row, mlp + row, gain1, bias1, M, WIDTH, EPSILON)
    gain = load_row(gain2, M, WIDTH)
    if GATES > 0:
        from_memory += here * 2 * GATES
        from_input += here // SLOTS * 2 * GATES
        d_logits += here * 2 * GATES
        input_gate = gate_row(from_memory, from_input, 0, GATES == M, M, WIDTH)
        forget_gate = gate_row(from_memory, from_input, 1, GATES == M, M, WIDTH)
        store_row(d_direct + row, d_x * forget_gate, M, WIDTH)
        candidate = tanh(x * gain + load_row(bias2, M, WIDTH))
        d_input_gate = d_x * candidate
        d_forget_gate = d_x * load_row(memory + row, M, WIDTH)
        d_x = d_x * input_gate * (1.0 - candidate * candidate)
        if GATES == M:
            d_input_gate *= input_gate * (1.0 - input_gate)
            d_forget_gate *= forget_gate * (1.0 - forget_gate)
            store_row(d_logits, d_input_gate, M, WIDTH)
            store_row(d_logits + M, d_forget_gate, M, WIDTH)
        else:
            d_input = tl.sum(d_input_gate, axis=0) * input_gate * (1.0 - input_gate)
            d_forget = tl.sum(d_forget_gate, axis=0) * forget_gate * (1.0 - forget_gate)
            tl.store(d_logits, d_input.to(d_logits.dtype.element_ty))
            tl.store(d_logits + 1, d_forget.to(d_logits.dtype.element_ty))
    else:
        store_row(d_direct + row, tl.zeros([WIDTH], STATE), M, WIDTH)
    add_to_row(d_gain2 + row, d_x * x, M, WIDTH)
    add_to_row(d_bias2 + row, d_x, M, WIDTH)
    d_x = standardise_backward(d_x * gain, x, scale, M)
    store_row(d_sums + row, d_x, M, WIDTH)
    store_row(d_mlp + row, d_x, M, WIDTH)
