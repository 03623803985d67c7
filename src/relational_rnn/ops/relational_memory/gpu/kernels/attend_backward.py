"""Kernel: backward of the attention and of the norm of queries, keys and values."""

import triton
import triton.language as tl

from .rows import inside, load_heads, offsets, standardise_heads, store_heads


@triton.jit
def asked(memory, sums, d_sums, normaliser, HEADS: tl.constexpr, HP: tl.constexpr, at, value_in):
    """Of one query: gradient of its values, its inner product with them, its normaliser."""
    d_values = tl.load(d_sums + at, mask=value_in, other=0.0)
    values = tl.load(sums + at, mask=value_in, other=0.0)
    values -= tl.load(memory + at, mask=value_in, other=0.0)
    head = tl.arange(0, HP)
    logarithm = tl.load(normaliser + head, mask=head < HEADS, other=0.0)
    return d_values, tl.sum(d_values * values, axis=1), logarithm


@triton.jit
def score_backward(query, key, value, d_values, inner, logarithm, SCALE: tl.constexpr):
    """Weight of a key for a query, and the gradient of their product. ``[HP]`` each."""
    weight = tl.exp(tl.sum(query * key, axis=1) * SCALE - logarithm)
    d_score = weight * (tl.sum(d_values * value, axis=1) - inner)
    return weight[:, None], (d_score * SCALE)[:, None]


@triton.jit
def attend_backward(
    memory,  # [B, N, M]; this and the next six as in `attend`
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
    """Gradient of all rows of queries, keys and values: one program a slot or extra row."""
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
    for slot in range(SLOTS):  # that ask this row
        query, _key, _value, _ = standardise_heads(
            qkv + slot * F, STATE, F, K, key_at, key_in, value_at, value_in, EPSILON
        )
        query = query * gain_q + bias_q
        d_values, inner, logarithm = asked(
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
        d_values, inner, logarithm = asked(
            memory + this * M,
            sums + this * M,
            d_sums + this * M,
            normaliser + this * HEADS,
            HEADS,
            HP,
            at,
            value_in,
        )
        for slot in range(SLOTS):  # that this row asks
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
