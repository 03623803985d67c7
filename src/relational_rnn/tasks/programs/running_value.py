"""The value of a program after each of its characters: what a reader of the program could know."""

import torch
from torch import Tensor

from .batched_generator import VOCABULARY

LONGEST = 8  # digits of a literal: a product of two values must fit into int64


def running_values(programs: Tensor) -> tuple[Tensor, Tensor]:
    """Values of the programs of a batch as far as they have been read.

    Digits not yet read count as zeros: after ``12+3`` the value is 12 + 30. An operation counts
    from the first digit of its last operand on: ``AifB<CelseD`` is A until D is read.

    Args:
        programs: ids [T, B] int64 of :data:`VOCABULARY`, padded at the end. The literals of a
            program must have the same number of digits, at most :data:`LONGEST`.

    Returns:
        The values [T, B] int64 modulo 10 ** (digits + 1), and the digits of a literal [B] int64.
        In the padding, the value is that of the whole program.
    """
    is_digit = (programs >= 1) & (programs <= 10)
    digits = _first_run(is_digit)  # [B]
    modulus = 10 ** (digits + 1)
    state = _State(digits)
    values = []
    for ids, digit in zip(programs, is_digit, strict=True):
        value = state.value() % modulus
        state.read(ids, digit, value)
        values.append(state.value() % modulus)
    return torch.stack(values), digits


def _first_run(marked: Tensor) -> Tensor:
    """Length [B] of the first run of ones in each column of ``marked`` [T, B] bool."""
    begun = marked.cumsum(dim=0) > 0
    ended = (begun & ~marked).cumsum(dim=0) > 0
    return (marked & ~ended).sum(dim=0)


class _State:
    """A reader of B programs, one character of each at a time.

    Attributes:
        operation: [B] what the operand in progress belongs to, one of the numbers below.
        left: [B] value before the operation.
        operand: [B] the operand in progress, with zeros for digits not yet read.
        place: [B] digits of the operand that have been read.
    """

    def __init__(self, digits: Tensor) -> None:
        self.digits = digits
        zero = torch.zeros_like(digits)
        self.operation = self.left = self.operand = self.place = zero
        self.compared = self.bound = self.count = zero
        self.greater = self.in_count = zero.bool()

    def read(self, ids: Tensor, is_digit: Tensor, value: Tensor) -> None:
        """Read a character ``ids`` [B] of each program, whose values so far are ``value`` [B]."""
        symbol = {name: ids == VOCABULARY.index[name] for name in "+-*if<>e[]"}
        self.in_count = (self.in_count | symbol["["]) & ~symbol["]"]
        self.count = torch.where(is_digit & self.in_count, ids - 1, self.count)
        of_operand = is_digit & ~self.in_count
        power = 10 ** (self.digits - 1 - self.place).clamp(min=0)
        self.operand = torch.where(of_operand, self.operand + (ids - 1) * power, self.operand)
        self.place = self.place + of_operand.long()

        comparison = symbol["<"] | symbol[">"]
        otherwise = symbol["e"] & (self.operation == _BOUND)
        self.compared = torch.where(comparison, self.operand, self.compared)
        self.greater = torch.where(comparison, symbol[">"], self.greater)
        self.bound = torch.where(otherwise, self.operand, self.bound)
        in_loop_head = (self.operation == _LOOP) & (self.place == 0)  # the "+" of "x+="
        starts = {
            _SUM: symbol["+"] & ~in_loop_head,
            _DIFFERENCE: symbol["-"],
            _PRODUCT: symbol["*"],
            _COMPARED: symbol["i"],
            _LOOP: symbol["f"] & (self.operation != _COMPARED),  # not the "f" of "if"
        }
        for operation, begins in starts.items():
            self.left = torch.where(begins, value, self.left)
            self._begin(operation, begins)
        self._begin(_BOUND, comparison)
        self._begin(_OTHERWISE, otherwise)

    def _begin(self, operation: int, begins: Tensor) -> None:
        self.operation = self.operation.masked_fill(begins, operation)
        self.operand = self.operand.masked_fill(begins, 0)
        self.place = self.place.masked_fill(begins, 0)

    def value(self) -> Tensor:
        """Values [B], not reduced; ``left`` is."""
        left, operand = self.left, self.operand
        holds = torch.where(self.greater, self.compared > self.bound, self.compared < self.bound)
        choices = {
            _FIRST: operand,
            _SUM: left + operand,
            _DIFFERENCE: left - operand,
            _PRODUCT: left * operand,
            _COMPARED: left,
            _BOUND: left,
            _OTHERWISE: torch.where(holds, left, operand),
            _LOOP: left + self.count * operand,
        }
        stacked = torch.stack([choices[operation] for operation in range(len(choices))])
        value = stacked.gather(0, self.operation[None])[0]
        return torch.where((self.place > 0) | (self.operation == _FIRST), value, left)


# What an operand is: the first one, the right one of + - *, B, C or D of "AifB<CelseD", or the
# step of a loop.
_FIRST, _SUM, _DIFFERENCE, _PRODUCT, _COMPARED, _BOUND, _OTHERWISE, _LOOP = range(8)
