"""Kernel: backward of `remember`, and what the next step sends back to its memory."""

import triton
import triton.language as tl

from .remember import candidate_row, gate_row
from .rows import add_to_row, load_row, standardise_backward, store_row, tanh


@triton.jit
def remember_backward(
    d_output,  # [B, N, M], gradient of the memory after the step as an output
    d_direct,  # [B, N, M], the next step's gradient through its gates and its forget gate
    d_residual,  # [B, N, M], ... through its residual connection
    d_inputs,  # [B, N, M], ... through its queries, keys and values
    d_squashed,  # [B, N, M], ... through its gates
    next_squashed,  # [B, N, M], tanh of the memory after the step
    memory,  # this and the next eight as in `remember`
    sums,
    mlp,
    gain1,
    bias1,
    gain2,
    bias2,
    from_memory,
    from_input,
    d_logits,  # [B, N, 2 G], written
    d_mlp,  # [B, N, M], written, in the products' dtype
    d_sums,  # [B, N, M], written: the same gradient, through the residual connection
    d_gain2,  # [B, N, M], added to
    d_bias2,  # [B, N, M], added to
    SLOTS: tl.constexpr,
    M: tl.constexpr,
    GATES: tl.constexpr,
    LAST: tl.constexpr,  # no next step: d_direct is the gradient of the last memory
    WIDTH: tl.constexpr,
    EPSILON: tl.constexpr,
):
    """Gradient of `remember`; `d_direct` becomes this step's."""
    here = tl.program_id(0)
    STATE: tl.constexpr = sums.dtype.element_ty
    row = here * M
    d_x = load_row(d_output + row, M, WIDTH) + load_row(d_direct + row, M, WIDTH)
    if not LAST:
        d_x += load_row(d_residual + row, M, WIDTH)
        d_x += load_row(d_inputs + row, M, WIDTH).to(STATE)
        if GATES > 0:
            after = load_row(next_squashed + row, M, WIDTH).to(STATE)
            d_x += load_row(d_squashed + row, M, WIDTH).to(STATE) * (1.0 - after * after)
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
