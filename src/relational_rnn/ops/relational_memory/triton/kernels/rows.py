"""Operations of one program on one row; inlined by Triton, never launched.

A row of width M is held as ``[HP, VP]``: heads by values, both padded to powers of two. A row of
queries, keys and values is held as three such tensors. The padding holds zeros.
"""

import triton
import triton.language as tl


@triton.jit
def offsets(STRIDE: tl.constexpr, HP: tl.constexpr, SP: tl.constexpr):
    """Offsets ``[HP, SP]`` of elements whose heads are STRIDE apart."""
    return tl.arange(0, HP)[:, None] * STRIDE + tl.arange(0, SP)[None, :]


@triton.jit
def inside(HEADS: tl.constexpr, SIZE: tl.constexpr, HP: tl.constexpr, SP: tl.constexpr):
    """Mask ``[HP, SP]`` of the elements that are not padding."""
    return (tl.arange(0, HP)[:, None] < HEADS) & (tl.arange(0, SP)[None, :] < SIZE)


@triton.jit
def tanh(x):
    """Hyperbolic tangent through the sigmoid, with the absolute error of one rounding."""
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0


@triton.jit
def load_row(row, M: tl.constexpr, WIDTH: tl.constexpr):
    """A flat row ``[WIDTH]`` of M elements."""
    column = tl.arange(0, WIDTH)
    return tl.load(row + column, mask=column < M, other=0.0)


@triton.jit
def store_row(row, x, M: tl.constexpr, WIDTH: tl.constexpr):
    """The inverse of `load_row`, in the dtype of the destination."""
    column = tl.arange(0, WIDTH)
    tl.store(row + column, x.to(row.dtype.element_ty), mask=column < M)


@triton.jit
def add_to_row(row, x, M: tl.constexpr, WIDTH: tl.constexpr):
    """Add to a row that no other program accesses."""
    store_row(row, load_row(row, M, WIDTH) + x, M, WIDTH)


@triton.jit
def standardise(x, M: tl.constexpr, WIDTH: tl.constexpr, EPSILON: tl.constexpr):
    """A flat row minus its mean, divided by its standard deviation; and one over the deviation."""
    x = tl.where(tl.arange(0, WIDTH) < M, x - tl.sum(x, axis=0) / M, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / M + EPSILON)
    return x * scale, scale


@triton.jit
def standardise_backward(d_x, x, scale, M: tl.constexpr):
    """Gradient of the input of `standardise`, from the gradient of its output and its results."""
    mean = tl.sum(d_x, axis=0) / M
    return (d_x - mean - x * (tl.sum(d_x * x, axis=0) / M)) * scale


@triton.jit
def load_heads(row, K: tl.constexpr, key_at, key_in, value_at, value_in):
    """Queries and keys ``[HP, KP]`` and values ``[HP, VP]`` of a row in the qkv layout."""
    query = tl.load(row + key_at, mask=key_in, other=0.0)
    key = tl.load(row + K + key_at, mask=key_in, other=0.0)
    value = tl.load(row + 2 * K + value_at, mask=value_in, other=0.0)
    return query, key, value


@triton.jit
def store_heads(row, query, key, value, K: tl.constexpr, key_at, key_in, value_at, value_in):
    """The inverse of `load_heads`, in the dtype of the destination."""
    tl.store(row + key_at, query.to(row.dtype.element_ty), mask=key_in)
    tl.store(row + K + key_at, key.to(row.dtype.element_ty), mask=key_in)
    tl.store(row + 2 * K + value_at, value.to(row.dtype.element_ty), mask=value_in)


@triton.jit
def standardise_heads(
    row,
    STATE: tl.constexpr,
    F: tl.constexpr,
    K: tl.constexpr,
    key_at,
    key_in,
    value_at,
    value_in,
    EPSILON: tl.constexpr,
):
    """`standardise` of a whole qkv row of F elements, all heads together, computed in STATE."""
    query, key, value = load_heads(row, K, key_at, key_in, value_at, value_in)
    query, key, value = query.to(STATE), key.to(STATE), value.to(STATE)
    mean = (tl.sum(query) + tl.sum(key) + tl.sum(value)) / F
    query = tl.where(key_in, query - mean, 0.0)
    key = tl.where(key_in, key - mean, 0.0)
    value = tl.where(value_in, value - mean, 0.0)
    squares = tl.sum(query * query) + tl.sum(key * key) + tl.sum(value * value)
    scale = 1.0 / tl.sqrt(squares / F + EPSILON)
    return query * scale, key * scale, value * scale, scale
