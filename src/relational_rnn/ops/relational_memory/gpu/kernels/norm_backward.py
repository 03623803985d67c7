"""Kernel: backward of the norm after the attention. One program a slot."""

import triton
import triton.language as tl

from .rows import add_to_row, load_row, standardise, standardise_backward, store_row


@triton.jit
def norm_backward(
    sums,  # [B, N, M], as `attend` wrote them
    gain,  # [M]
    d_residual,  # [B, N, M], gradient of the MLP's input through the residual connection
    d_rows,  # [B, N, M], ... through the MLP
    d_sums,  # [B, N, M], written
    d_gain,  # [B, N, M], added to
    d_bias,  # [B, N, M], added to
    M: tl.constexpr,
    WIDTH: tl.constexpr,
    EPSILON: tl.constexpr,
):
    """Gradient of memory plus attended values, one program a slot."""
    row = tl.program_id(0) * M
    x, scale = standardise(load_row(sums + row, M, WIDTH), M, WIDTH, EPSILON)
    d_x = load_row(d_residual + row, M, WIDTH)
    d_x += load_row(d_rows + row, M, WIDTH).to(sums.dtype.element_ty)
    add_to_row(d_gain + row, d_x * x, M, WIDTH)
    add_to_row(d_bias + row, d_x, M, WIDTH)
    d_x = standardise_backward(d_x * load_row(gain, M, WIDTH), x, scale, M)
    store_row(d_sums + row, d_x, M, WIDTH)
