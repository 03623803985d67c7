"""One program at a time, in the random order of the original generator (dataset of Sonnet v1)."""

import random
from collections.abc import Collection, Sequence

from ..argument_checks import InvalidArgumentError, at_least, one_of
from .grammar import evaluate

OPERATORS = ("+", "-", "*", "if", "for")

# Operators by category, in the order in which the original draws them.
CATEGORIES: dict[str, tuple[str, ...]] = {
    "addition": ("+",),
    "control": ("if", "for"),
    "full": OPERATORS,
    "algebra": ("+", "-", "*"),
    "alg_ctrl": ("+", "-", "if"),
}


def generate(
    length: int, nesting: int, operators: Sequence[str], rng: random.Random
) -> tuple[str, str]:
    """Return a random program of ``nesting`` operations and its answer.

    Every literal has exactly ``length`` digits, the first of them not 0. The first operand of an
    operation is the operation before it, the other operands are literals. Numbers are drawn in
    this order: for every operation its operator, then its literals from left to right, then the
    comparison of an ``if`` or the count of a ``for``; ``random.Random(seed)`` thus reproduces
    what the original makes from ``seed``.

    Raises:
        InvalidArgumentError: length or nesting below 1, no operator or an unknown one.
    """
    length = at_least("length", length, 1)
    nesting = at_least("nesting", nesting, 1)
    check_operators(operators)
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
    """Return the number of characters of the longest program that can be generated."""
    added = {"if": 3 * length + len("if<else"), "for": length + len("x=for[9]x+=")}
    brackets = 2 * (nesting - 1)
    return length + brackets + nesting * max(added.get(name, length + 1) for name in operators)


def check_operators(operators: Collection[str]) -> None:
    """Raise :class:`InvalidArgumentError` unless there are operators, and known ones."""
    if not operators:
        raise InvalidArgumentError(f"operators is empty; it takes some of {OPERATORS}")
    for operator in operators:
        one_of("operator", operator, OPERATORS)
