"""The grammar of the programs, parsed and evaluated in one pass without recursion.

::

    program = operand
            | operand "+" operand | operand "-" operand | operand "*" operand
            | operand "if" operand ("<" | ">") operand "else" operand
            | "x=" operand "for[" count "]x+=" operand
    operand = number | "(" program ")"
    number  = digit {digit}          count = "1" ... "9"

``A if B < C else D`` is A where the comparison holds, else D; the loop is A + count * B.
"""

from collections.abc import Generator
from decimal import MAX_EMAX, MAX_PREC, Context, Decimal, localcontext
from typing import NoReturn, TypeAlias

from ..argument_checks import InvalidArgumentError, between

_DIGITS = frozenset("0123456789")
_EXCERPT = 24  # characters shown on either side of a syntax error
_LONGEST = 10_000_000  # digits of an answer

# Integers of any size, exactly. Decimal reads, multiplies and writes a million digits at once,
# where int needs quadratic time and refuses str() of more than 4300 digits.
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX)


class GrammarError(InvalidArgumentError):
    """A syntax error in a program; the message gives the position and what was expected there."""


def evaluate(program: str, length: int) -> str:
    """Return the answer to a program, e.g. ``evaluate("(65125+15306)+77013", 5) == "157444"``.

    Intermediate results are exact integers. The final value is reduced modulo
    ``10 ** (length + 1)`` with the sign of the modulus, so an answer has at most ``length + 1``
    digits and no minus sign. Any operand may be in brackets, at any depth.

    Args:
        program: a program without spaces; the outermost brackets are optional.
        length: maximum decimal digits of the task's literals.

    Raises:
        GrammarError: the program does not match the grammar.
        InvalidArgumentError: ``length`` is below 1, or above ten million.
    """
    length = between("length", length, 1, _LONGEST)
    reader = _Reader(program)
    with localcontext(_EXACT):
        modulus = Decimal(1).scaleb(length + 1)
        value = _run(_program(reader))
        if not reader.at_end:
            hint = "" if reader.at(")") else " (put an operation inside another in brackets)"
            reader.fail("the end of the program" + hint)
        rest = value % modulus  # with the sign of the value
        return format(rest + modulus if rest < 0 else abs(rest), "f")


# Parser of a part of a program: yields the parsers of its parts, is sent their values, returns
# its own value.
_Part: TypeAlias = "Generator[_Part, Decimal, Decimal]"


def _run(part: _Part) -> Decimal:
    """Run nested parts on an explicit stack instead of the call stack: depth has no limit."""
    waiting = [part]
    value: Decimal | None = None
    while waiting:
        try:
            inner = next(waiting[-1]) if value is None else waiting[-1].send(value)
        except StopIteration as done:
            waiting.pop()
            value = done.value
        else:
            waiting.append(inner)
            value = None
    assert value is not None
    return value


def _program(reader: "_Reader") -> _Part:
    if reader.take("x="):
        start = yield _operand(reader)
        reader.expect("for[")
        count = reader.count()
        reader.expect("]x+=")
        step = yield _operand(reader)
        return start + count * step
    first = yield _operand(reader)
    if reader.take("+"):
        return first + (yield _operand(reader))
    if reader.take("-"):
        return first - (yield _operand(reader))
    if reader.take("*"):
        return first * (yield _operand(reader))
    if reader.take("if"):
        left = yield _operand(reader)
        less = reader.take("<")
        if not less and not reader.take(">"):
            reader.fail('"<" or ">"')
        right = yield _operand(reader)
        reader.expect("else")
        otherwise = yield _operand(reader)
        return first if (left < right if less else left > right) else otherwise
    if not reader.at_end and not reader.at(")"):
        reader.fail('"+", "-", "*", "if", ")" or the end')
    return first


def _operand(reader: "_Reader") -> _Part:
    if reader.take("("):
        value = yield _program(reader)
        reader.expect(")")
        return value
    return reader.number()


class _Reader:
    """A position in a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    @property
    def at_end(self) -> bool:
        return self.position == len(self.text)

    def at(self, token: str) -> bool:
        return self.text.startswith(token, self.position)

    def take(self, token: str) -> bool:
        found = self.at(token)
        if found:
            self.position += len(token)
        return found

    def expect(self, token: str) -> None:
        if not self.take(token):
            self.fail(f'"{token}"')

    def count(self) -> int:
        digit = self.text[self.position : self.position + 1]
        if digit not in _DIGITS or digit == "0":
            self.fail("a count from 1 to 9")
        self.position += 1
        return int(digit)

    def number(self) -> Decimal:
        start = self.position
        while self.text[self.position : self.position + 1] in _DIGITS:
            self.position += 1
        if self.position == start:
            self.fail('"x=", a number or "("' if self._opens_a_program else 'a number or "("')
        return Decimal(self.text[start : self.position])

    @property
    def _opens_a_program(self) -> bool:
        return self.position == 0 or self.text[self.position - 1] == "("

    def fail(self, expected: str) -> NoReturn:
        at, text = self.position, self.text
        before = ("..." if at > _EXCERPT else "") + text[max(0, at - _EXCERPT) : at]
        after = text[at : at + _EXCERPT] + ("..." if len(text) > at + _EXCERPT else "")
        found = f"{text[at]!r}" if at < len(text) else "the end"
        raise GrammarError(
            f"program: syntax error at character {at + 1}, in {before + after!r}: "
            f"found {found}, expected {expected}"
        )
