"""Generate one program at a time, with the random numbers of the original (Sonnet v1)."""

import random
from collections.abc import Collection, Sequence

from ..argument_checks import InvalidArgumentError, between, one_of
from .grammar import evaluate

OPERATORS = ("+", "-", "*", "if", "for")

LONGEST, DEEPEST = 1_000, 10_000  # length and nesting, at most

CATEGORIES: dict[str, tuple[str, ...]] = {
    "addition": ("+",),
    "control": ("if", "for"),
    "full": OPERATORS,
    "algebra": ("+", "-", "*"),
    "alg_ctrl": ("+", "-", "if"),
}
"""Operators of each category, in the order of the original, which its random draws depend on."""


def generate(
    length: int, nesting: int, operators: Sequence[str], rng: random.Random
) -> tuple[str, str]:
    """Return a random program of ``nesting`` operations and its answer.

    Every literal has exactly ``length`` digits and no leading 0. The first operand of an operation
    is the previous operation, the other operands are literals. For every operation the draws are:
    the operator, the literals from left to right, then the comparison of an ``if`` or the count of
    a ``for``. ``random.Random(seed)`` therefore reproduces the original generator's output for
    ``seed``.

    Raises:
        InvalidArgumentError: length or nesting out of range, no operator, or an unknown operator.
    """
    length = between("length", length, 1, LONGEST)
    nesting = between("nesting", nesting, 1, DEEPEST)
    if not operators:
        raise InvalidArgumentError(
            f"operators must hold at least one of {', '.join(map(repr, OPERATORS))}, got none"
        )
    for operator in operators:
        one_of("operator", operator, OPERATORS)
    smallest, largest = 10 ** (length - 1), 10**length - 1

    def literals(count: int) -> list[str]:
        return [str(rng.randint(smallest, largest)) for _ in range(count)]

    program = ""
    for _ in range(nesting):
        operator = rng.choice(operators)
        inner = [f"({program})"] if program else []
        a, *rest = inner + literals((4 if operator == "if" else 2) - len(inner))
        if operator == "if":
            comparison = "<>"[rng.randint(0, 1)]
            program = f"{a}if{rest[0]}{comparison}{rest[1]}else{rest[2]}"
        elif operator == "for":
            program = f"x={a}for[{rng.randint(1, 9)}]x+={rest[0]}"
        else:
            program = f"{a}{operator}{rest[0]}"
    return program, evaluate(program, length)


def longest_program(length: int, nesting: int, operators: Collection[str]) -> int:
    """Return the length in characters of the longest program that can be generated."""
    added = {"if": 3 * length + len("if<else"), "for": length + len("x=for[9]x+=")}
    brackets = 2 * (nesting - 1)
    return length + brackets + nesting * max(added.get(name, length + 1) for name in operators)
