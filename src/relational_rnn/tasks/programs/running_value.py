"""The value of a program after each of its characters: what a reader of the program could know.

The operations of a program nest from the left, so its value is always an affine function of the
value before the operation that is being read, ``a * left + b``: after ``12+3``, of 12 with a = 1
and b = 30. The coefficients are found for all characters at once; only ``left`` takes a loop.
"""

import torch
from torch import Tensor

from .batched_generator import VOCABULARY

LONGEST = 8  # digits of a literal: a product of two values must fit into int64


def running_values(programs: Tensor) -> tuple[Tensor, Tensor]:
    """Values of the programs of a batch as far as they have been read.

    Digits not yet read count as zeros: after ``12+3`` the value is 12 + 30. An operation counts
    from the first digit of its last operand on: ``AifB<CelseD`` is A until D is read.

    Args:
        programs: ids [T, B] int64 of :data:`VOCABULARY`, padded at the end: programs as the
            generators write them. The literals of a program must have the same number of digits,
            at most :data:`LONGEST`.

    Returns:
        The values [T, B] int64 modulo 10 ** (digits + 1), and the digits of a literal [B] int64.
        In the padding, the value is that of the whole program.
    """
    digits = _first_run((programs >= 1) & (programs <= 10))  # [B]
    modulus = 10 ** (digits + 1)
    kinds = _kinds(programs)
    a, b = _coefficients(programs, kinds, digits)
    replaces = kinds >= _SUM
    left = value = torch.zeros_like(digits)
    values = []
    for replaced, factor, term in zip(replaces, a, b, strict=True):
        left = torch.where(replaced, value, left)
        value = (factor * left + term) % modulus
        values.append(value)
    return torch.stack(values), digits


def _first_run(marked: Tensor) -> Tensor:
    """Length [B] of the first run of ones in each column of ``marked`` [T, B] bool."""
    begun = marked.cumsum(dim=0) > 0
    ended = (begun & ~marked).cumsum(dim=0) > 0
    return (marked & ~ended).sum(dim=0)


# What an operand is: the first one, C or D of "AifB<CelseD", the right one of + - *, B, or the step
# of a loop. From _SUM on, it begins an operation on the value so far.
_NONE, _FIRST, _BOUND, _OTHERWISE, _SUM, _DIFFERENCE, _PRODUCT, _COMPARED, _LOOP = range(-1, 8)


def _kinds(programs: Tensor) -> Tensor:
    """What kind of operand each character announces [T, B]: _NONE, or one of the numbers above."""
    begins = {"+": _SUM, "-": _DIFFERENCE, "*": _PRODUCT, "i": _COMPARED, "f": _LOOP}
    begins |= {"<": _BOUND, ">": _BOUND, "e": _OTHERWISE}
    table = torch.full((len(VOCABULARY),), _NONE, device=programs.device)
    for symbol, kind in begins.items():
        table[VOCABULARY.index[symbol]] = kind
    kinds = table[programs]
    # but the second letter of "if", the "+" of "x+=" and the last letter of "else" announce nothing
    before = programs[:-1]
    second = torch.stack([before == VOCABULARY.index[symbol] for symbol in "ixs"]).any(dim=0)
    kinds[1:].masked_fill_(second, _NONE)
    return kinds


def _coefficients(programs: Tensor, kinds: Tensor, digits: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients a and b [T, B] of the value, ``a * left + b``, after each character."""
    opened = (programs == VOCABULARY.index["["]).cumsum(dim=0)
    in_count = opened > (programs == VOCABULARY.index["]"]).cumsum(dim=0)
    is_digit = (programs >= 1) & (programs <= 10)
    announced = kinds != _NONE

    read = is_digit & ~in_count
    place = _since(read.cumsum(dim=0), announced)  # digits of the operand that have been read
    digit = ((programs - 1) * 10 ** (digits - place).clamp(min=0)).where(read, 0)
    operand = _since(digit.cumsum(dim=0), announced)
    whole = operand.roll(1, dims=0)  # at the next announcement, the operand before it
    kind = _latest(kinds, announced)
    kind = kind.where(announced.cumsum(dim=0) > 0, _FIRST)

    compared = _latest(whole, kinds == _BOUND)
    bound = _latest(whole, kinds == _OTHERWISE)
    greater = _latest(programs, kinds == _BOUND) == VOCABULARY.index[">"]
    holds = torch.where(greater, compared > bound, compared < bound)
    count = _latest(programs - 1, is_digit & in_count)

    zero, one = torch.zeros_like(operand), torch.ones_like(operand)
    a, b = one, zero  # while nothing of the operand has been read, and for _BOUND and _COMPARED
    cases = (
        (kind == _SUM, one, operand),
        (kind == _DIFFERENCE, one, -operand),
        (kind == _PRODUCT, operand, zero),
        ((kind == _OTHERWISE) & ~holds, zero, operand),
        (kind == _LOOP, one, count * operand),
    )
    for where, factor, term in cases:
        where = where & (place > 0)
        a, b = torch.where(where, factor, a), torch.where(where, term, b)
    first = kind == _FIRST
    return torch.where(first, zero, a), torch.where(first, operand, b)


def _since(total: Tensor, marked: Tensor) -> Tensor:
    """How much a running total [T, B], which never falls, has risen since the last mark."""
    return total - total.where(marked, 0).cummax(dim=0).values


def _latest(values: Tensor, marked: Tensor) -> Tensor:
    """The value at the last mark up to each step [T, B]; before the first one, the first value."""
    steps = torch.arange(len(values), device=values.device)[:, None]
    return values.gather(0, steps.where(marked, 0).cummax(dim=0).values)
