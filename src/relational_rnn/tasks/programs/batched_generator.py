"""Batched program generator: samples the distribution of ``generate`` with numpy arrays.

Every symbol that an operation may need has its own column. Unused columns hold ``PAD`` and are
removed at the end. Intermediate values are reduced modulo 10 ** (length + 1), which is exact here:
sums and products allow it, and comparisons involve literals only.

Letters: B programs, N operations, L digits of a literal, S columns of an operation.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..characters import PAD, Characters
from .generator import OPERATORS, longest_program

VOCABULARY = Characters("0123456789()+-*<>=[]xifelsor")  # digits first: digit d has id 1 + d

Ids = NDArray[np.int64]


def sample_programs(
    lengths: Ids,
    nestings: Ids,
    operators: Sequence[str],
    generator: np.random.Generator,
    *,
    max_length: int,
    max_nesting: int,
    counts: Callable[[tuple[int, int], np.random.Generator], Ids],
) -> tuple[Ids, Ids, Ids]:
    """Return programs [B, T], their lengths [B] and answers [B, max_length + 1] as int64 ids.

    Args:
        lengths: [B], digits per literal of each program.
        nestings: [B], operations of each program.
        operators: operators to draw from.
        generator: source of all random numbers.
        max_length: upper bound of ``lengths``.
        max_nesting: upper bound of ``nestings``. The bounds determine T, the characters of the
            longest possible program.
        counts: draws how often the loops run, from 1 to 9, for a shape [B, max_nesting].
    """
    B, L, N = len(lengths), max_length, max_nesting
    chosen = generator.integers(0, len(operators), (B, N))
    chosen = np.array([OPERATORS.index(name) for name in operators])[chosen]  # [B, N]
    digits = generator.integers(0, 10, (B, 1 + 3 * N, L))  # 3 literals per operation, and 1
    digits[..., 0] = generator.integers(1, 10, (B, 1 + 3 * N))
    drawn_counts = counts((B, N), generator)
    greater = generator.integers(0, 2, (B, N))

    depth = np.arange(N)
    bracketed = depth < nestings[:, None] - 1  # [B, N]
    ids = np.where(np.arange(L) < lengths[:, None, None], digits + 1, PAD)  # [B, 1 + 3N, L]
    index = VOCABULARY.index
    table = np.concatenate(
        [
            np.broadcast_to(np.arange(len(VOCABULARY)), (B, N, len(VOCABULARY))),
            np.where(bracketed, index["("], PAD)[..., None],
            np.where(bracketed, index[")"], PAD)[..., None],
            np.where(greater, index[">"], index["<"])[..., None],
            drawn_counts[..., None] + 1,
            ids[:, 1:].reshape(B, N, 3 * L),
        ],
        axis=2,
    )
    symbols = np.take_along_axis(table, _layout(L)[chosen], axis=2)  # [B, N, 3 + S]
    symbols *= (depth < nestings[:, None])[..., None]
    columns = np.concatenate(
        [
            symbols[:, ::-1, :3].reshape(B, -1),  # "(x=" of the outermost operation first
            ids[:, 0],
            symbols[:, :, 3:].reshape(B, -1),
        ],
        axis=1,
    )
    programs, program_lengths = _squeeze(columns, longest_program(L, N, operators))

    powers = np.array([10**k for k in range(L + 2)], dtype=np.int64 if L <= 8 else object)
    values = _values(digits, lengths, nestings, chosen, drawn_counts, greater, powers)
    return programs, program_lengths, _answers(values, powers[:-1])


@cache
def _layout(length: int) -> Ids:
    """Return the table columns that hold the symbols of each operator [5, 3 + S]."""
    index = VOCABULARY.index
    opening, closing, comparison, count, first = range(len(VOCABULARY), len(VOCABULARY) + 5)
    a, b, c = np.arange(first, first + 3 * length).reshape(3, length).tolist()

    def text(symbols: str) -> list[int]:
        return [index[symbol] for symbol in symbols]

    none = [PAD, PAD]
    rows = {name: [opening, *none, index[name], *a, closing] for name in "+-*"}
    rows["if"] = [opening, *none, *text("if"), *a, comparison, *b, *text("else"), *c, closing]
    rows["for"] = [opening, *text("x="), *text("for["), count, *text("]x+="), *a, closing]
    layout = np.full((len(OPERATORS), max(map(len, rows.values()))), PAD)
    for row, name in enumerate(OPERATORS):
        layout[row, : len(rows[name])] = rows[name]
    return layout


def _squeeze(columns: Ids, width: int) -> tuple[Ids, Ids]:
    """Remove the padding between symbols; return ids [B, width] and their lengths [B]."""
    used = columns != PAD
    place = used.cumsum(axis=1)
    rows = np.nonzero(used)[0]
    squeezed = np.full((len(columns), width), PAD)
    squeezed[rows, place[used] - 1] = columns[used]
    return squeezed, place[:, -1]


def _values(
    digits: Ids,
    lengths: Ids,
    nestings: Ids,
    chosen: Ids,
    counts: Ids,
    greater: Ids,
    powers: NDArray[Any],
) -> NDArray[Any]:
    """Return the values [B] modulo 10 ** (length + 1), with the dtype of ``powers``."""
    numbers = np.zeros(digits.shape[:2], dtype=powers.dtype)
    for k in range(digits.shape[2]):
        numbers = np.where(k < lengths[:, None], numbers * 10 + digits[..., k], numbers)
    modulus = powers[lengths + 1]
    value = numbers[:, 0]
    for k in range(chosen.shape[1]):
        a, b, c = numbers[:, 1 + 3 * k : 4 + 3 * k].T
        holds = np.where(greater[:, k] == 1, a > b, a < b)
        results = {
            "+": value + a,
            "-": value - a,
            "*": value * a,  # below 10 ** (2L + 1): int64 up to L = 8
            "if": np.where(holds, value, c),
            "for": value + counts[:, k] * a,
        }
        result = np.choose(chosen[:, k], [results[name] for name in OPERATORS]) % modulus
        value = np.where(k < nestings, result, value)
    return value


def _answers(values: NDArray[Any], powers: NDArray[Any]) -> Ids:
    """Return the digits of the values as ids [B, T_out], left-aligned; ``powers`` has T_out."""
    first = (values[:, None] >= powers[1:]).sum(axis=1)  # exponent of the first digit
    exponents = first[:, None] - np.arange(len(powers))
    digits = values[:, None] // powers[np.maximum(exponents, 0)] % 10
    return np.where(exponents >= 0, digits + 1, PAD).astype(np.int64)
