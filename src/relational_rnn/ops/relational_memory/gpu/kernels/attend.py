"""Kernel: norm of queries, keys and values, attention, residual, norm. One program a slot."""

import triton
import triton.language as tl

from .rows import inside, load_heads, offsets, standardise_heads


@triton.jit
def take(top, weight, values, score, value):
    """Add a row to a softmax-weighted sum that is kept relative to its largest score."""
    new = tl.maximum(top, score)
    before, now = tl.exp(top - new), tl.exp(score - new)
    return new, weight * before + now, values * before[:, None] + value * now[:, None]


@triton.jit
def attend(
    memory,  # [B, N, M]
    qkv,  # [B, N, F], before the norm
    extra,  # [B, n, F], normalised rows that are only attended to
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
    """Slots attend to slots and to extra rows."""
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
        top, weight, values = take(top, weight, values, score, value * gain_v + bias_v)
    for row in range(EXTRA):
        there = batch * EXTRA + row
        _other, key, value = load_heads(extra + there * F, K, key_at, key_in, value_at, value_in)
        score = tl.sum(query * key, axis=1)
        top, weight, values = take(top, weight, values, score, value)

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
