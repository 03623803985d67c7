"""Kernels: norm of queries, keys and values, attention, residual, norm; and their backward pass.

Forward, `attend` does it all, one program a slot. Backward, `norm_backward` goes through the last
norm and the residual connection, one program a slot, and `attend_backward` through attention and
the qkv norm, one program a slot or input row.
"""

import triton
import triton.language as tl

from .rows import (
    add_to_row,
    inside,
    load_heads,
    load_row,
    offsets,
    standardise,
    standardise_backward,
    standardise_heads,
    store_heads,
    store_row,
)


@triton.jit
def add_to_softmax(top, weight, values, score, value):
    """Add a row to a softmax-weighted sum whose weights are relative to the largest score."""
    new = tl.maximum(top, score)
    before, now = tl.exp(top - new), tl.exp(score - new)
    return new, weight * before + now, values * before[:, None] + value * now[:, None]


@triton.jit
def attend(
    memory,  # [B, N, M]
    qkv,  # [B, N, F], before the norm
    extra,  # [B, n, F], normalised input rows, which are only attended to
    qkv_gain,  # [F]
    qkv_bias,  # [F]
    gain,  # [M]
    bias,  # [M]
    normaliser,  # [B, N, H], written: logarithm of the softmax's denominator
    sums,  # [B, N, M], written: memory plus attended values
    rows,  # [B, N, M], written: their norm
    SLOTS: tl.constexpr,
    EXTRA: tl.constexpr,
    HEADS: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    HP: tl.constexpr,
    KP: tl.constexpr,
    VP: tl.constexpr,
    SCALE: tl.constexpr,
    EPSILON: tl.constexpr,
):
    """Slots attend to slots and to input rows."""
    batch, slot = tl.program_id(0), tl.program_id(1)
    F: tl.constexpr = HEADS * (2 * K + V)
    M: tl.constexpr = HEADS * V
    STATE: tl.constexpr = sums.dtype.element_ty
    here = batch * SLOTS + slot
    key_at, key_in = offsets(2 * K + V, HP, KP), inside(HEADS, K, HP, KP)
    value_at, value_in = offsets(2 * K + V, HP, VP), inside(HEADS, V, HP, VP)
    gain_q, gain_k, gain_v = load_heads(qkv_gain, K, key_at, key_in, value_at, value_in)
    bias_q, bias_k, bias_v = load_heads(qkv_bias, K, key_at, key_in, value_at, value_in)

    query, key, value, _scale = standardise_heads(
        qkv + here * F, STATE, F, K, key_at, key_in, value_at, value_in, EPSILON
    )
    query = (query * gain_q + bias_q) * SCALE
    top = tl.sum(query * (key * gain_k + bias_k), axis=1)  # [HP]
    weight = tl.full([HP], 1.0, STATE)
    values = value * gain_v + bias_v  # [HP, VP]
    for step in range(1, SLOTS):
        there = batch * SLOTS + (slot + step) % SLOTS
        _other, key, value, _scale = standardise_heads(
            qkv + there * F, STATE, F, K, key_at, key_in, value_at, value_in, EPSILON
        )
        score = tl.sum(query * (key * gain_k + bias_k), axis=1)
        top, weight, values = add_to_softmax(top, weight, values, score, value * gain_v + bias_v)
    for row in range(EXTRA):
        there = batch * EXTRA + row
        _other, key, value = load_heads(extra + there * F, K, key_at, key_in, value_at, value_in)
        score = tl.sum(query * key, axis=1)
        top, weight, values = add_to_softmax(top, weight, values, score, value)

    head = tl.arange(0, HP)
    tl.store(normaliser + here * HEADS + head, top + tl.log(weight), mask=head < HEADS)
    at = offsets(V, HP, VP)
    x = tl.load(memory + here * M + at, mask=value_in, other=0.0) + values / weight[:, None]
    tl.store(sums + here * M + at, x, mask=value_in)
    x = tl.where(value_in, x - tl.sum(x) / M, 0.0)
    x = x / tl.sqrt(tl.sum(x * x) / M + EPSILON)
    x = x * tl.load(gain + at, mask=value_in, other=0.0)
    x = x + tl.load(bias + at, mask=value_in, other=0.0)
    tl.store(rows + here * M + at, x.to(rows.dtype.element_ty), mask=value_in)


@triton.jit
def norm_backward(
    sums,  # [B, N, M], as `attend` wrote them
    gain,  # [M]
    d_residual,  # [B, N, M], gradient of the MLP's input, through the residual connection
    d_rows,  # [B, N, M], likewise, through the MLP
    d_sums,  # [B, N, M], written
    d_gain,  # [B, N, M], added to
    d_bias,  # [B, N, M], added to
    M: tl.constexpr,
    WIDTH: tl.constexpr,
    EPSILON: tl.constexpr,
):
    """Gradient of memory plus attended values."""
    row = tl.program_id(0) * M
    x, scale = standardise(load_row(sums + row, M, WIDTH), M, WIDTH, EPSILON)
    d_x = load_row(d_residual + row, M, WIDTH)
    d_x += load_row(d_rows + row, M, WIDTH).to(sums.dtype.element_ty)
    add_to_row(d_gain + row, d_x * x, M, WIDTH)
    add_to_row(d_bias + row, d_x, M, WIDTH)
    d_x = standardise_backward(d_x * load_row(gain, M, WIDTH), x, scale, M)
    store_row(d_sums + row, d_x, M, WIDTH)


@triton.jit
def load_query_gradients(
    memory, sums, d_sums, normaliser, HEADS: tl.constexpr, HP: tl.constexpr, at, value_in
):
    """Of one query: gradient of its values, its inner product with the values, its normaliser."""
    d_values = tl.load(d_sums + at, mask=value_in, other=0.0)
    values = tl.load(sums + at, mask=value_in, other=0.0)
    values -= tl.load(memory + at, mask=value_in, other=0.0)
    head = tl.arange(0, HP)
    logarithm = tl.load(normaliser + head, mask=head < HEADS, other=0.0)
    return d_values, tl.sum(d_values * values, axis=1), logarithm


@triton.jit
def score_backward(query, key, value, d_values, inner, logarithm, SCALE: tl.constexpr):
    """Attention weight of a key for a query and gradient of their product, ``[HP, 1]`` each."""
    weight = tl.exp(tl.sum(query * key, axis=1) * SCALE - logarithm)
    d_score = weight * (tl.sum(d_values * value, axis=1) - inner)
    return weight[:, None], (d_score * SCALE)[:, None]


@triton.jit
def attend_backward(
    memory,  # this and the next six arguments as in `attend`
    qkv,
    extra,
    qkv_gain,
    qkv_bias,
    normaliser,
    sums,
    d_sums,  # [B, N, M]
    d_qkv,  # [B, N, F], written
    d_extra,  # [B, n, F], written
    d_qkv_gain,  # [B, N, F], added to
    d_qkv_bias,  # [B, N, F], added to
    SLOTS: tl.constexpr,
    EXTRA: tl.constexpr,
    HEADS: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    HP: tl.constexpr,
    KP: tl.constexpr,
    VP: tl.constexpr,
    SCALE: tl.constexpr,
    EPSILON: tl.constexpr,
):
    """Gradient of queries, keys and values of all rows."""
    batch, this = tl.program_id(0), tl.program_id(1)
    F: tl.constexpr = HEADS * (2 * K + V)
    M: tl.constexpr = HEADS * V
    STATE: tl.constexpr = sums.dtype.element_ty
    qkv += batch * SLOTS * F
    extra += batch * EXTRA * F
    memory += batch * SLOTS * M
    sums += batch * SLOTS * M
    d_sums += batch * SLOTS * M
    normaliser += batch * SLOTS * HEADS
    at = offsets(V, HP, VP)
    key_at, key_in = offsets(2 * K + V, HP, KP), inside(HEADS, K, HP, KP)
    value_at, value_in = offsets(2 * K + V, HP, VP), inside(HEADS, V, HP, VP)
    gain_q, gain_k, gain_v = load_heads(qkv_gain, K, key_at, key_in, value_at, value_in)
    bias_q, bias_k, bias_v = load_heads(qkv_bias, K, key_at, key_in, value_at, value_in)
    if this < SLOTS:
        _query, key, value, _scale = standardise_heads(
            qkv + this * F, STATE, F, K, key_at, key_in, value_at, value_in, EPSILON
        )
        key, value = key * gain_k + bias_k, value * gain_v + bias_v
    else:
        _query, key, value = load_heads(
            extra + (this - SLOTS) * F, K, key_at, key_in, value_at, value_in
        )

    d_query = tl.zeros([HP, KP], STATE)
    d_key = tl.zeros([HP, KP], STATE)
    d_value = tl.zeros([HP, VP], STATE)
    for slot in range(SLOTS):  # whose queries attend to this row
        query, _key, _value, _ = standardise_heads(
            qkv + slot * F, STATE, F, K, key_at, key_in, value_at, value_in, EPSILON
        )
        query = query * gain_q + bias_q
        d_values, inner, logarithm = load_query_gradients(
            memory + slot * M,
            sums + slot * M,
            d_sums + slot * M,
            normaliser + slot * HEADS,
            HEADS,
            HP,
            at,
            value_in,
        )
        weight, d_score = score_backward(query, key, value, d_values, inner, logarithm, SCALE)
        d_key += d_score * query
        d_value += weight * d_values
    if this >= SLOTS:
        place = d_extra + (batch * EXTRA + this - SLOTS) * F
        store_heads(place, d_query, d_key, d_value, K, key_at, key_in, value_at, value_in)
    else:
        here = (batch * SLOTS + this) * F
        x_q, x_k, x_v, scale = standardise_heads(
            qkv + this * F, STATE, F, K, key_at, key_in, value_at, value_in, EPSILON
        )
        query = x_q * gain_q + bias_q
        d_values, inner, logarithm = load_query_gradients(
            memory + this * M,
            sums + this * M,
            d_sums + this * M,
            normaliser + this * HEADS,
            HEADS,
            HP,
            at,
            value_in,
        )
        for slot in range(SLOTS):  # that this row attends to
            _query, key, value, _ = standardise_heads(
                qkv + slot * F, STATE, F, K, key_at, key_in, value_at, value_in, EPSILON
            )
            key, value = key * gain_k + bias_k, value * gain_v + bias_v
            _weight, d_score = score_backward(query, key, value, d_values, inner, logarithm, SCALE)
            d_query += d_score * key
        for row in range(EXTRA):
            _query, key, value = load_heads(extra + row * F, K, key_at, key_in, value_at, value_in)
            _weight, d_score = score_backward(query, key, value, d_values, inner, logarithm, SCALE)
            d_query += d_score * key

        place = d_qkv_gain + here
        q, k, v = load_heads(place, K, key_at, key_in, value_at, value_in)
        q, k, v = q + d_query * x_q, k + d_key * x_k, v + d_value * x_v
        store_heads(place, q, k, v, K, key_at, key_in, value_at, value_in)
        place = d_qkv_bias + here
        q, k, v = load_heads(place, K, key_at, key_in, value_at, value_in)
        q, k, v = q + d_query, k + d_key, v + d_value
        store_heads(place, q, k, v, K, key_at, key_in, value_at, value_in)
        q, k, v = d_query * gain_q, d_key * gain_k, d_value * gain_v
        mean = (tl.sum(q) + tl.sum(k) + tl.sum(v)) / F
        along = (tl.sum(q * x_q) + tl.sum(k * x_k) + tl.sum(v * x_v)) / F
        q, k, v = q - mean - x_q * along, k - mean - x_k * along, v - mean - x_v * along
        q, k, v = q * scale, k * scale, v * scale
        store_heads(d_qkv + here, q, k, v, K, key_at, key_in, value_at, value_in)
